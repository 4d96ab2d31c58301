"""Play several evaluations side by side, task by task, so that pairs are complete whenever the run is stopped.

Each evaluation has its own run directory, journal and provenance, as `vt-env eval` writes them, and `vt-env eval` can
resume each. No evaluation starts a task that is more than `lead` ahead of the slowest, so that the server is busy with
several conversations and no evaluation runs away.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from threading import Condition

from agents.seeds import attempt_seed
from experiments.evaluate.eval import EvalRun, add_provenance, play, setting_of
from experiments.runs.journal import drop_failed
from experiments.runs.run_dir import Run, open_run
from experiments.settings.policies import SeededAttempt, build_policy
from experiments.settings.prompts import IF_MISSING, choose_prompts, prompts_record
from vt_env.episode.trajectory import Trajectory
from vt_env.task_sources import load_tasks


@dataclass(frozen=True)
class _Evaluation:
    """One open evaluation: what is left of it, and how to play one task."""

    directory: Run
    left: frozenset[str]
    """Ids of the tasks that its journal does not hold."""
    play: Callable[[SeededAttempt], Trajectory]


class _Pace:
    """Lets nobody start a place that is more than `lead` ahead of the slowest."""

    def __init__(self, count: int, lead: int) -> None:
        self._done = [0] * count
        self._lead = lead
        self._changed = Condition()
        self._is_broken = False

    def wait(self, place: int) -> bool:
        """Wait until a place may be started; false if another evaluation failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_broken or place <= min(self._done) + self._lead)
            return not self._is_broken

    def finish(self, number: int) -> None:
        """Count a place of one evaluation as done."""
        with self._changed:
            self._done[number] += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let all evaluations end after their present task."""
        with self._changed:
            self._is_broken = True
            self._changed.notify_all()


def play_paired(runs: Sequence[EvalRun], lead: int = 2) -> None:
    """Play what is missing of evaluations of the same tasks.

    Args:
        runs: The evaluations, which differ in their prompts and directories alone.
        lead: Tasks by which one may be ahead of the slowest.

    Raises:
        ConfigError: As `experiments.evaluate.eval.evaluate`.
    """
    first = runs[0]
    tasks = load_tasks(first.tasks, first.split).head(first.n)
    attempts = [SeededAttempt(it, attempt_seed(first.seed, it.item.task_id, 0)) for it in tasks]
    with ExitStack() as stack:
        opened = [_open(run, stack) for run in runs]
        pace = _Pace(len(opened), lead)

        def play_one(number: int) -> None:
            try:
                for place, attempt in enumerate(attempts):
                    if not pace.wait(place):
                        return
                    if attempt.task.item.task_id in opened[number].left:
                        opened[number].directory.journal(opened[number].play(attempt))
                    pace.finish(number)
            except BaseException:
                pace.stop()
                raise

        with ThreadPoolExecutor(len(opened)) as threads:
            for it in [threads.submit(play_one, number) for number in range(len(opened))]:
                it.result()


def _open(run: EvalRun, stack: ExitStack) -> _Evaluation:
    run = run.filled()
    prompts = choose_prompts(run.prompts, None, run.out)
    directory = stack.enter_context(open_run(run.out, "eval", run, prompts_record(prompts), IF_MISSING))
    tasks = load_tasks(run.tasks, run.split).head(run.n)
    journal = drop_failed(directory)
    library = run.open_library()
    setting = setting_of(run, tasks, library, prompts)
    policy = stack.enter_context(closing(build_policy(run.agent, run.model, setting, run.gate, run.batch)))
    key = add_provenance(directory, journal, policy, tasks, library, run)
    left = frozenset(it.item.task_id for it in tasks) - {it.task_id for it in journal}
    return _Evaluation(directory, left, lambda attempt: next(iter(play(policy, [attempt], library, run, key))))
