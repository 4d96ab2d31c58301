"""The whole of synthesis as a run: interrupted or not, it writes the same data set."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_world import SmallWorld, small_world

from agents.base import Agent
from experiments.data.synth import DATASET_FOLDER, SynthRun, main
from experiments.data.synth_models import CaptionsConfig
from experiments.view.tags import write_tags
from synth.dataset import read_dataset
from synth.teacher import ScriptedTeacher
from vt_env.errors import ConfigError
from vt_env.types import Item

pytestmark = pytest.mark.slow

__all__ = ["small_world"]

INTERRUPTED_AT = 5


@pytest.fixture
def config(small_world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SynthRun:
    """A run on twelve tasks of the small world, read from a file as a user's own tasks are."""
    monkeypatch.setenv("VT_ENV_CACHE", str(small_world.library.cache_dir))
    lines = []
    for task in small_world.tasks.head(12):
        task.prepare(task.item.video)
        lines.append(
            {
                "video": task.item.video.path,
                "subtitles": task.item.video.subtitles_path,
                "captions": task.item.video.captions_path,
                "question": task.item.question,
                "options": task.item.options,
                "answer": task.gold.answer_idx,
                "task_id": task.item.task_id,
                "family": task.item.family,
                "split": "train",
            }
        )
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return SynthRun(out=tmp_path / "run", tasks=str(path), profile="world")


def written(run: Path) -> dict[str, bytes]:
    """Read what a run wrote, less what speaks of the machine and the clock."""
    files = [run / "journal.jsonl", *sorted((run / DATASET_FOLDER).iterdir())]
    return {path.name: path.read_bytes() for path in files}


def test_the_data_set_holds_right_trajectories_with_frames_and_a_card_that_adds_up(config: SynthRun):
    main(config)
    kept = list(read_dataset(config.out / DATASET_FOLDER))
    assert kept and all(it.correct and it.perception == "frames" and not it.errors for it in kept)
    card = json.loads((config.out / DATASET_FOLDER / "data_card.json").read_text())
    assert sum(card["stages"]["attempts"].values()) == 12 * 3
    lost = sum(card["rejected"]["filters"].values()) + sum(card["rejected"]["replay"].values())
    assert len(kept) + lost == 12 * 3
    assert card["settings"]["seed"] == 0 and card["settings"]["teacher"]["persistence"] == 0.8


def test_an_interrupted_run_goes_on_and_equals_an_unbroken_one(
    config: SynthRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    unbroken = written(main(replace(config, out=tmp_path / "unbroken")))
    make_agent = ScriptedTeacher.agent

    def interrupted(teacher: ScriptedTeacher, item: Item, sample: int, rng: np.random.Generator) -> Agent:
        if item.task_id.endswith(f"{INTERRUPTED_AT:08d}-0"):
            raise KeyboardInterrupt
        return make_agent(teacher, item, sample, rng)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ScriptedTeacher, "agent", interrupted)
        main(config)
    assert len((config.out / "journal.jsonl").read_bytes().splitlines()) == INTERRUPTED_AT * 3
    assert written(main(config)) == unbroken


def test_a_torn_last_line_is_made_again(config: SynthRun):
    whole = written(main(config))
    journal = config.out / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-200])
    assert written(main(config)) == whole


def test_a_run_directory_of_another_seed_is_refused(config: SynthRun):
    main(replace(config, limit=1))
    with pytest.raises(ConfigError, match="seed=0, now seed=1"):
        main(replace(config, limit=1, seed=1))


def test_captions_that_lose_words_cost_right_answers(config: SynthRun):
    main(replace(config, captions=CaptionsConfig(loss=0.9)))
    card = json.loads((config.out / DATASET_FOLDER / "data_card.json").read_text())
    right, attempts = (card["stages"][stage] for stage in ("right", "attempts"))
    assert right.get("needle", 0) < 0.7 * attempts["needle"]
    assert right["subtitle"] == attempts["subtitle"]


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"limit": 0}, {"mode": "papper"}, {"budget": "rich"}])
def test_an_impossible_run_is_refused_before_it_starts(tmp_path: Path, wrong: dict[str, object]):
    with pytest.raises(ConfigError, match=r"need|allowed"):
        SynthRun(out=tmp_path / "run", **wrong)


def test_attempts_that_a_reader_has_tagged_leave_the_data_set_when_the_run_is_done_again(config: SynthRun):
    main(config)
    kept = list(read_dataset(config.out / DATASET_FOLDER))
    write_tags(config.out, (kept[0].task_id, kept[0].sample), ["misread"])
    write_tags(config.out, (kept[1].task_id, 99), ["bad-question"])
    main(replace(config, exclude_tags=("misread", "bad-question")))
    left = {(it.task_id, it.sample) for it in read_dataset(config.out / DATASET_FOLDER)}
    assert (kept[0].task_id, kept[0].sample) not in left
    assert left and kept[1].task_id not in {task_id for task_id, _ in left}, "a bad question loses all its attempts"
    main(config)
    assert len(list(read_dataset(config.out / DATASET_FOLDER))) == len(kept)
