"""Journal of the training rollouts of GRPO with their rewards, one trajectory a line of `journal.jsonl`.

`vt-env grpo --played RUN` reads it, and so does `vt_env.episode.trajectory.read_trajectories`.
"""

from collections.abc import Sequence
from dataclasses import replace

from experiments.runs.read_run import JOURNAL
from experiments.runs.run_dir import Run
from vt_env.episode.trajectory import Trajectory, read_trajectories, write_trajectories

POLICY = "grpo"


class RolloutJournal:
    """Writes the rollouts of each step of GRPO, of all processes, to the journal of a run.

    Rollouts are numbered through: `Trajectory.sample` is the steps done before, times the rollouts of a step, plus the
    place among those of this step; dynamic sampling writes several times a step. Rollouts of steps that a killed run
    has to do again are taken out first.

    Args:
        run: Where the journal is; `None` in all processes but the first.
        rollouts_per_step: Over all processes, the most that a step samples.
        policy: Name of the policy in the journal.
    """

    def __init__(self, run: Run | None, rollouts_per_step: int, policy: str = POLICY) -> None:
        self._run = run
        self._rollouts_per_step = rollouts_per_step
        self._policy = policy
        self._is_begun = False
        self._step, self._written = -1, 0

    def __call__(self, step: int, trajectories: Sequence[Trajectory]) -> None:
        """Write what was rolled out after `step` updates; to be called in every process."""
        from accelerate.utils import gather_object

        gathered: list[Trajectory] = gather_object(list(trajectories))
        if self._run is None:
            return
        if step != self._step:
            self._step, self._written = step, 0
        first = step * self._rollouts_per_step + self._written
        if not self._is_begun:
            self._drop_from(self._run, first)
            self._is_begun = True
        for place, trajectory in enumerate(gathered):
            self._run.journal(replace(trajectory, policy=self._policy, sample=first + place))
        self._written += len(gathered)

    def _drop_from(self, run: Run, first: int) -> None:
        journal = run.path / JOURNAL
        if journal.exists():
            write_trajectories(journal, (it for it in read_trajectories(journal) if it.sample < first))
