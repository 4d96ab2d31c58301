"""Accuracy ceilings of the world's question families: `python -m experiments.bench.world_ceilings`.

| column | policy |
|---|---|
| random | a random option |
| blind | the best rule over the text alone: a position, a rank among the sorted options, the option most or least like the others, the option that is right most often; chosen on other videos, of the split `val` |
| uniform | an errorless reader of 8 frames spread evenly, without subtitles and small print; guesses among the options left |
| captions | an errorless reader of all captions and subtitles; guesses among the options left |
| captions of the base | with `--captions`: an errorless reader of the captions that a model wrote before the question; guesses among the options left, and among all where its errors leave none |
| oracle | an errorless reader of the evidence, small print included |

With `--world world2` these are the families of the second world, with a column of 32 frames more.

All are computed from scripts of videos. Intervals are 95 % cluster bootstraps over videos
(`vt_env.stats`); they have width 0 if all questions agree.
"""  # noqa: E501

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from experiments.bench.fixtures import world2_reader
from experiments.bench.fixtures.perfect_reader import Seen, possible_options
from experiments.bench.fixtures.written_captions import WrittenCaptions, read_view, scene_words
from vt_env.episode.perception import moments
from vt_env.markdown import markdown_table, table_row
from vt_env.stats import Cluster, bootstrap_ci95, mean
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Interval, Item, parse_time
from vt_env.world.captions import write_captions
from vt_env.world.config import full_world
from vt_env.world.families import ALL_FAMILIES
from vt_env.world.script import Scene, VideoScript
from vt_env.world.tasks import WorldVideo, world_tasks
from vt_env.world2.config import World2Config
from vt_env.world2.families import ALL_FAMILIES as WORLD2_FAMILIES
from vt_env.world2.tasks import World2Video, world2_tasks

UNIFORM_FRAMES = 8

BlindRule = Callable[[Item], int]


@dataclass(frozen=True)
class WorldCeilingsBench:
    """Compute the ceilings of all families."""

    world: Literal["world", "world2"] = "world"
    """The generated world: the first or the second."""
    videos: int = 150
    """Videos of the split `test`, and as many of `val` to choose the blind rule on."""
    tasks_per_video: int = 4
    """Maximum number of questions of a family per video."""
    seed: int = 0
    """Seed of guesses and of the bootstrap."""
    captions: Path | None = None
    """Folder of `vt-env captions` for the videos of the split `test`; adds the column of their reader."""


@dataclass(frozen=True)
class Cell:
    """Accuracy of one policy on one family."""

    accuracy: float
    ci95: tuple[float, float]
    n: int

    def __str__(self) -> str:
        """Percentages: `25.3 [22.1, 28.6]`."""
        return f"{100 * self.accuracy:.1f} [{100 * self.ci95[0]:.1f}, {100 * self.ci95[1]:.1f}]"


def main(run: WorldCeilingsBench) -> None:
    """Print the table in Markdown, each row when it is computed."""
    families, make = (ALL_FAMILIES, family_row) if run.world == "world" else (WORLD2_FAMILIES, world2_row)
    for number, (family, row) in enumerate((family, make(family, run)) for family in families):
        if not number:
            print("\n".join(markdown_table(["family", "n", *row], [])))
        print(table_row([family, next(iter(row.values())).n, *row.values()]), flush=True)


def family_row(family: str, run: WorldCeilingsBench) -> dict[str, Cell]:
    """Return policy to accuracy, on one family of the first world."""
    config = replace(full_world(), videos=run.videos, tasks_per_video=run.tasks_per_video)
    tasks, others = (world_tasks(split, [family], config) for split in ("test", "val"))
    rng = np.random.default_rng([run.seed, ALL_FAMILIES.index(family)])
    blind = best_blind_rule(others)
    written = None if run.captions is None else WrittenCaptions(run.captions)
    policies: Mapping[str, Callable[[Task], int]] = {
        "random": lambda task: _guess(range(len(task.item.options)), rng),
        "blind": lambda task: blind(task.item),
        "uniform": lambda task: _guess(possible_options(task.item, uniform_view(_script(task))), rng),
        "captions": lambda task: _guess(possible_options(task.item, captions_view(task)), rng),
        **({"captions of the base": lambda task: _guess(read_options(task, written), rng)} if written else {}),
        "oracle": lambda task: _guess(possible_options(task.item, evidence_view(task)), rng),
    }
    return {name: _cell(tasks, policy, run.seed) for name, policy in policies.items()}


def world2_row(family: str, run: WorldCeilingsBench) -> dict[str, Cell]:
    """Return policy to accuracy, on one family of the second world."""
    config = World2Config(videos=run.videos, tasks_per_video=run.tasks_per_video)
    tasks, others = (world2_tasks(split, [family], config) for split in ("test", "val"))
    rng = np.random.default_rng([run.seed, WORLD2_FAMILIES.index(family)])
    blind = best_blind_rule(others)
    written = None if run.captions is None else WrittenCaptions(run.captions)
    views: Mapping[str, Callable[[Task], world2_reader.Seen]] = {
        "uniform, 8 frames": lambda task: world2_reader.uniform_view(task, 8),
        "uniform, 32 frames": lambda task: world2_reader.uniform_view(task, 32),
        "captions": world2_reader.captions_view,
        "oracle": world2_reader.evidence_view,
    }
    return {
        "random": _cell(tasks, lambda task: _guess(range(len(task.item.options)), rng), run.seed),
        "blind": _cell(tasks, lambda task: blind(task.item), run.seed),
        **{name: _cell(tasks, _reading(view, rng), run.seed) for name, view in views.items()},
        **(
            {"captions of the base": _cell(tasks, lambda it: _guess(read_options(it, written), rng), run.seed)}
            if written
            else {}
        ),
    }


def _reading(view: Callable[[Task], world2_reader.Seen], rng: np.random.Generator) -> Callable[[Task], int]:
    return lambda task: _guess(world2_reader.possible_options(task.item, view(task)), rng)


def uniform_ceiling(tasks: Sequence[Task], frames: int = UNIFORM_FRAMES) -> float:
    """Return the expected accuracy of an errorless reader of evenly spread frames; it guesses among the options left.

    Args:
        tasks: Tasks of the generated world.
        frames: Number of frames.
    """

    def left(task: Task) -> list[int]:
        if _is_second(task):
            return world2_reader.possible_options(task.item, world2_reader.uniform_view(task, frames))
        return possible_options(task.item, uniform_view(_script(task), frames))

    return expected_accuracy(tasks, left)


def captions_ceiling(tasks: Sequence[Task], written: WrittenCaptions | None = None) -> float:
    """Return the expected accuracy of an errorless reader of captions and subtitles.

    Args:
        tasks: Tasks of the generated world.
        written: Captions that a model wrote; by default the flawless ones.
    """
    if written is not None:
        return expected_accuracy(tasks, lambda task: read_options(task, written))

    def left(task: Task) -> list[int]:
        if _is_second(task):
            return world2_reader.possible_options(task.item, world2_reader.captions_view(task))
        return possible_options(task.item, captions_view(task))

    return expected_accuracy(tasks, left)


def expected_accuracy(tasks: Sequence[Task], left: Callable[[Task], Sequence[int]]) -> float:
    """Return the expected accuracy of a policy that guesses among the options that are left to it."""
    options = [left(task) for task in tasks]
    right = [task.gold is not None and task.gold.answer_idx in it for task, it in zip(tasks, options, strict=True)]
    return float(np.mean([is_right / len(it) for is_right, it in zip(right, options, strict=True)]))


def uniform_view(script: VideoScript, frames: int = UNIFORM_FRAMES) -> Seen:
    """Return the scenes shown by frames spread evenly over the video."""
    times_s = moments(Interval(0, script.duration_s), frames)
    shown = tuple(scene for scene in script.scenes if any(scene.interval.contains(time_s) for time_s in times_s))
    return Seen(shown)


def captions_view(task: Task) -> Seen:
    """Return the content of all captions and subtitles, parsed from the words of the captions."""
    script = _script(task)
    return Seen(_captioned(_video(task)), script.subtitles, is_all=True)


def read_options(task: Task, written: WrittenCaptions) -> list[int]:
    """Return the options that written captions leave; all where their errors rule out every one."""
    if _is_second(task):
        lines = scene_words(written.of(task.item.video))
        seen = world2_reader.read_view(lines, world2_reader.script_of(task).subtitles)
        return world2_reader.possible_options(task.item, seen)
    left = possible_options(task.item, read_view(written.of(task.item.video), _script(task).subtitles))
    return left or list(range(len(task.item.options)))


def evidence_view(task: Task) -> Seen:
    """Return the scenes and subtitles of the evidence, with small print."""
    script, spans = _script(task), task.gold.evidence if task.gold else ()
    scenes = tuple(scene for scene in script.scenes if any(scene.interval.overlap_s(span) for span in spans))
    lines = tuple(line for line in script.subtitles if any(line.interval.overlap_s(span) for span in spans))
    return Seen(scenes, lines, is_all=True, is_close=True)


def best_blind_rule(tasks: TaskSet) -> BlindRule:
    """Return the rule over the text alone with the highest accuracy on the tasks; the first of equal ones."""
    right = Counter(task.item.options[task.gold.answer_idx] for task in tasks if task.gold)
    rules = [*_blind_rules(), lambda item: int(np.argmax([right[option] for option in item.options]))]
    return max(rules, key=lambda rule: sum(rule(task.item) == task.gold.answer_idx for task in tasks if task.gold))


def _blind_rules() -> Iterator[BlindRule]:
    for place in range(9):
        yield lambda item, place=place: place % len(item.options)
        yield lambda item, place=place: sorted(
            range(len(item.options)), key=lambda idx: (_value(item.options[idx]), item.options[idx])
        )[place % len(item.options)]
    yield lambda item: int(np.argmax(_likeness(item.options)))
    yield lambda item: int(np.argmin(_likeness(item.options)))


def _value(option: str) -> float:
    """Return a number or the start of an interval; 0 for other options, which are then sorted as text."""
    return parse_time(option.split("-")[0]) or 0.0


def _likeness(options: Sequence[str]) -> list[int]:
    """Return, for each option, the number of characters equal to those at the same place in all options."""
    return [sum(a == b for other in options for a, b in zip(option, other, strict=False)) for option in options]


@lru_cache(maxsize=1024)
def _captioned(video: WorldVideo) -> tuple[Scene, ...]:
    script = _script_of(video)
    captions = zip(script.scenes, write_captions(script, video.config), strict=True)
    words = [(scene, line, line.text.split()) for scene, line in captions]
    return tuple(
        Scene(line.interval, colour, shape, int(number), scene.look_seed)
        for scene, line, (colour, shape, number, *_) in words
    )


def _guess(options: Sequence[int], rng: np.random.Generator) -> int:
    return options[int(rng.integers(len(options)))]


def _cell(tasks: TaskSet, policy: Callable[[Task], int], seed: int) -> Cell:
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for task in tasks:
        right[task.item.video.handle].append(task.gold is not None and policy(task) == task.gold.answer_idx)
    clusters = {handle: Cluster(sum(values), len(values)) for handle, values in right.items()}
    return Cell(mean(clusters), bootstrap_ci95(clusters, np.random.default_rng(seed)), len(tasks))


def _is_second(task: Task) -> bool:
    return isinstance(task.prepare, World2Video)


def _video(task: Task) -> WorldVideo:
    assert isinstance(task.prepare, WorldVideo), task.item.task_id
    return task.prepare


def _script(task: Task) -> VideoScript:
    return _script_of(_video(task))


@lru_cache(maxsize=1024)
def _script_of(video: WorldVideo) -> VideoScript:
    return video.script()


if __name__ == "__main__":
    main(tyro.cli(WorldCeilingsBench))
