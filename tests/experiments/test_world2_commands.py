"""Commands meet the second world: it is written to disk, and models of one world refuse tasks of the other."""

import json
from pathlib import Path

import pytest

from experiments.cli import run
from experiments.data import world
from experiments.evaluate.eval import EvalRun, load_run_tasks
from experiments.settings.policies import tasks_of
from experiments.settings.world_version import check_world, model_world
from vt_env.errors import ConfigError
from vt_env.prompts import DEFAULT, TINY, save_prompts
from vt_env.task_sources import load_tasks
from vt_env.tasks.read_rows import read_task
from vt_env.tasks.task_set import TaskSet
from vt_env.world.config import WorldConfig
from vt_env.world.tasks import world_tasks
from vt_env.world2.config import World2Config
from vt_env.world2.tasks import world2_tasks


def model(folder: Path, world: int | None, prompts=TINY) -> Path:
    folder.mkdir()
    save_prompts(prompts, folder / "vt_env_prompts.json")
    (folder / "config.json").write_text(json.dumps({} if world is None else {"vt_env_world": world}))
    return folder


def of_second() -> TaskSet:
    return world2_tasks("test", ["spot"], World2Config(videos=1))


def test_a_model_says_its_world_and_ordinary_models_have_none(tmp_path):
    assert model_world(model(tmp_path / "first", None)) == 1
    assert model_world(model(tmp_path / "second", 2)) == 2
    assert model_world(model(tmp_path / "qwen", None, DEFAULT)) is None
    assert model_world(None) is model_world("some/name-on-a-hub") is None


def test_a_model_of_one_world_refuses_tasks_of_the_other_in_one_line(tmp_path):
    first, second = model(tmp_path / "first", None), model(tmp_path / "second", 2)
    ones, twos = world_tasks("test", config=WorldConfig(videos=1)), of_second()
    for known, tasks in ((first, ones), (second, twos), (None, twos)):
        check_world(known, tasks)
    with pytest.raises(ConfigError, match=r"first was made for tasks of world, these are of world2: give --tasks of"):
        check_world(first, twos)
    with pytest.raises(ConfigError, match=r"second was made for tasks of world2, these are of world: give --tasks of"):
        check_world(second, TaskSet((*twos, *ones)))


def test_eval_refuses_the_other_world_and_gives_views_to_the_script_alone():
    with pytest.raises(ConfigError, match="base was made for tasks of world, these are of world2"):
        load_run_tasks(EvalRun(agent="base", tasks="world2/spot", n=1))
    for agent, name in (("scripted", "views.jsonl"), ("random", "captions.jsonl")):
        assert [Path(it.captions_path or "").name for it in tasks_of(agent, of_second()).videos] == [name]


def test_the_world_is_written_to_disk_with_its_version(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "run_parallel", lambda work, items, *_: list(map(work, items)))
    flags = ["--version", "2", "--families", "flash", "--world2.videos", "1"]
    short = ["--world2.duration-min-s", "540", "--world2.duration-max-s", "540", "--world2.size-px", "112"]
    assert run(["world", "--out", str(tmp_path), *flags, *short, "--world2.detail-px", "5"]) == 0
    tasks = load_tasks(tmp_path)
    assert {it.item.video.world for it in tasks} == {2} and {it.item.family for it in tasks} == {"flash"}
    video = Path(tasks[0].item.video.path)
    assert sorted(it.name for it in video.parent.iterdir()) == [
        "captions.jsonl", "subtitles.srt", "video.mp4", "views.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--version", "2", "--world.videos", "3"], "version=2: settings of world.* are of version 1; give those of"),
        (["--world2.videos", "3"], "version=1: settings of world2.* are of version 2; give --version 2"),
        (["--version", "2", "--world2.videos", "0"], "videos=0, seed=0: a split holds 1 to 10000000 videos"),
    ],
)
def test_settings_of_the_other_version_are_refused(tmp_path, capsys, flags, message):
    assert run(["world", "--out", str(tmp_path), *flags]) == 2
    assert message in capsys.readouterr().err


def test_rows_of_before_are_of_the_first_world_and_other_versions_are_refused(tmp_path):
    (tmp_path / "v.mp4").touch()
    row = {"video": "v.mp4", "question": "what?", "options": ["a", "b"]}
    worlds = [read_task({**row, **more}, tmp_path).item.video.world for more in ({}, {"world": True}, {"world": 2})]
    assert worlds == [0, 1, 2]
    with pytest.raises(ValueError, match="world=3; need 1 or 2, the version of the generated world"):
        read_task({**row, "world": 3}, tmp_path)
