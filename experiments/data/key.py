"""One-turn demonstrations from answer keys, to train policies without tools.

    vt-env key --tasks world/all --frames 8 --answer-form letter --notes --out runs/uniform-data
    vt-env key --tasks world/all --looks retrieval --budget tiny --out runs/direct-data

The counterpart of `vt-env synth` for `uniform`, `blind`, `retrieval-only` and the first stage of the confidence gate.
The prompt shows the frames that the policy would see, with no call left, and the reply is the right answer. Trained on
the same questions with the same trainer as searches, such a policy separates missing frames from missing training;
mixed with searches (`vt-env sft --trajectories A B`), a model learns to answer both ways.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agents.language.confidence_gate import gate_looks, looks_budget
from agents.language.one_turn import OneTurnPolicy, RetrievedClips, spread_frames
from agents.rollout import AgentBatch, run_many
from experiments.runs.run_dir import open_run
from experiments.settings.profile import is_world
from experiments.settings.prompts import (
    IF_MISSING,
    EpisodeConfig,
    choose_prompts,
    prompts_record,
    student_prompts,
)
from vt_env.actions.parse import render_action
from vt_env.benchmarks.readers.no_training import check_trainable
from vt_env.budget.remaining import Remaining
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig, at_least, resolve_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory, write_trajectories
from vt_env.errors import ConfigError
from vt_env.media.terminal import track
from vt_env.prompts import DEFAULT, PromptSet, option_letter
from vt_env.protocols import Library
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task
from vt_env.timed_lines import TimedLines
from vt_env.tools.builtin import can_search, tools_for
from vt_env.types import Answer, Item, Observation
from vt_env.world2.tasks import with_views

TRAJECTORIES_FILE = "trajectories.jsonl"
AnswerForm = Literal["text", "letter", "short"]

_MEDIA = MediaConfig()


@dataclass(frozen=True)
class KeyRun(EpisodeConfig):
    """Write one-turn demonstrations from answer keys."""

    out: Path = Path("runs/key")
    """Run directory; its `trajectories.jsonl` holds the demonstrations."""
    tasks: str = "world"
    """Name, folder or JSONL file of tasks."""
    split: str = "train"
    """Split of the tasks; do not evaluate on it."""
    limit: int | None = None
    """Number of tasks, the first of the split; by default all."""
    looks: Literal["uniform", "retrieval"] = "uniform"
    """Frames shown with the question: `uniform` spreads them evenly over the video, `retrieval` takes the clips that
    match the question."""
    frames: int = 8
    """With `uniform`: number of frames; 0 shows the question alone."""
    budget: str | None = None
    """With `retrieval`: budget whose first stage is spent, as by the policies `gated` and `retrieval-only`."""
    answer_form: AnswerForm = "text"
    """Form of the answer: the `text` of the option, its `letter`, or `short`: a number as it is and all else by letter.
    Small models copy long options badly, and a letter always names an option."""
    notes: bool = False
    """Write what each shown frame shows before the answer, by the captions of the task (our choice)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, "frames", 0)
        at_least(self, "limit", 1)

    @property
    def plays_world(self) -> bool:
        """Whether the tasks are of the generated world."""
        return is_world(self.tasks)

    @property
    def run_folder(self) -> Path | None:
        """The run directory."""
        return self.out


def main(config: KeyRun) -> Path:
    """Answer all questions and write the trajectories.

    Returns:
        The run directory.

    Raises:
        ConfigError: The tasks do not exist, lack an answer key, or belong to a benchmark.
        DataError: A video cannot be read.
    """
    config = config.filled()
    tasks = load_tasks(config.tasks, config.split)
    check_trainable(tasks)
    # Captions of the second world are of whole clips; its views are of the frames that are shown.
    tasks = with_views(tasks) if config.notes else tasks
    chosen = list(tasks if config.limit is None else tasks.head(config.limit))
    prompts = choose_prompts(config.prompts, None, config.out, student_prompts(config.tasks, config.chosen))
    with open_run(config.out, "key", config, prompts_record(prompts), IF_MISSING) as run:
        budget, looks = budget_and_looks(config)
        form = AnswerStyle(config.answer_form, config.notes)
        answered = list(answer_all(chosen, config.open_library(), budget, looks, prompts, config.chosen.media, form))
        write_trajectories(config.out / TRAJECTORIES_FILE, answered)
        run.metric({"event": "written", "trajectories": len(answered)})
    print(f"{len(answered)} answers in {config.out / TRAJECTORIES_FILE}")
    return config.out


@dataclass(frozen=True)
class AnswerStyle:
    """How a demonstration answers."""

    form: AnswerForm = "text"
    """As `KeyRun.answer_form`."""
    has_notes: bool = False
    """As `KeyRun.notes`."""

    def answer(self, options: Sequence[str], answer_idx: int) -> str:
        """Write the option at an index."""
        text = options[answer_idx]
        is_text = self.form == "text" or (self.form == "short" and text.isdecimal())
        return text if is_text else option_letter(answer_idx)


def budget_and_looks(config: KeyRun) -> tuple[BudgetConfig, RetrievedClips | None]:
    """Return the budget and the looks of `answer_all` for a run."""
    if config.looks == "uniform":
        return spread_frames(config.frames), None
    budget, media = resolve_budget(config.chosen.budget), config.chosen.media
    return looks_budget(budget, media), gate_looks(budget, media)


_STYLE = AnswerStyle()


def answer_all(
    tasks: Sequence[Task],
    library: Library,
    budget: BudgetConfig,
    looks: RetrievedClips | None = None,
    prompts: PromptSet = DEFAULT,
    media: MediaConfig = _MEDIA,
    style: AnswerStyle = _STYLE,
) -> Iterator[Trajectory]:
    """Answer each question with its key, in one turn after the frames.

    Args:
        tasks: Tasks with answer keys.
        library: Opens the videos.
        budget: Frames shown with the question, and the budget of the looks.
        looks: Looks before the answer; `None` for none.
        prompts: Prompt set.
        media: Settings of the library, by which pictures are charged.
        style: Form of the answer, and whether notes precede it.

    Raises:
        ConfigError: A task has no answer key, or no captions where notes are wanted.
    """
    videos = [task.item.video for task in tasks]
    tools = () if looks is None else tools_for("frames", can_search=can_search(library, videos))
    for task in track(tasks, "answers"):
        if task.gold is None:
            raise ConfigError(f"{task.item.task_id}: the task has no answer key; give --tasks with answers")
        episode = make_episode(task, library, EnvConfig("frames", budget, media=media, prompts=prompts), tools)
        notes = _captions(task, library) if style.has_notes else None
        agent = AnswerKeyAgent(style.answer(task.item.options, task.gold.answer_idx), notes)
        (played,) = run_many(OneTurnPolicy(AgentBatch([agent]), looks), [episode], policy_name="key")
        yield in_one_turn(played, episode.policy_item, prompts)


def in_one_turn(played: Trajectory, item: Item, prompts: PromptSet) -> Trajectory:
    """Move all frames seen before the answer into the prompt, in the form of `one_turn.seen_so_far`."""
    seen = {ref.time_s: ref for ref in played.frames}
    frames = tuple(seen[time_s] for time_s in sorted(seen))
    text = prompts.opening_text(item, item.duration_s, Remaining(0, 0), played.perception, sorted(seen))
    return replace(
        played,
        prompt_text=text,
        prompt_frames=frames,
        prompt_frames_hash="",
        turns=played.turns[-1:],
        remaining=Remaining(0, 0),
    )


def _captions(task: Task, library: Library) -> TimedLines:
    """Return the captions of a task's video.

    Raises:
        ConfigError: It has none.
    """
    captions = library.open(task.item.video).captions
    if captions is None:
        raise ConfigError(f"notes: {task.item.task_id} has no captions; run vt-env captions, or drop --notes")
    return captions if isinstance(captions, TimedLines) else TimedLines(captions)


class AnswerKeyAgent:
    """Agent that answers with a given text in its first turn.

    Args:
        answer: Text of the answer.
        captions: Written before the answer, for each frame that is shown; `None` for no notes.
    """

    def __init__(self, answer: str, captions: TimedLines | None = None) -> None:
        self._answer, self._captions = answer, captions

    def reset(self, task: Item, observation: Observation) -> None:
        """Do nothing; the answer is fixed."""

    def act(self, observation: Observation) -> str:
        """Return the answer as an action, after the notes."""
        times_s = [] if observation.frames is None else observation.frames.pts_s.tolist()
        shown = [] if self._captions is None else [self._captions.on_screen([time_s]) for time_s in times_s]
        return render_action(Answer(self._answer, "\n".join(line.text for lines in shown for line in lines)))
