"""`--profile` on commands: what is used, where it comes from, and what a resumed run keeps."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cli import run
from experiments.data.index import IndexRun
from experiments.data.search import SearchRun
from experiments.data.synth import SynthRun
from experiments.evaluate.eval import EvalRun
from experiments.evaluate.play import PlayRun
from experiments.runs.run_dir import resolve, write_json
from experiments.settings.library import library_config
from experiments.settings.models import BASE_MODEL, ModelConfig
from experiments.settings.profile import MediaFlags, holds_world, is_world, picture_limits
from experiments.train.grpo_config import PRESETS, GRPORun
from experiments.train.sft import SFTRun
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.terminal import say_once
from vt_env.profiles import FIELD, PAPER, WORLD

ROW = {"video": "film.mp4", "question": "Which?", "options": ["one", "two"], "answer": 0}


@pytest.fixture
def tasks(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"never opened")
    return write_rows(tmp_path / "mine.jsonl", ROW)


def write_rows(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_command_takes_world_for_the_world_and_field_for_everything_else(tasks, tmp_path):
    assert EvalRun().chosen == PlayRun("world/needle").chosen == GRPORun().chosen == WORLD
    assert EvalRun(tasks=tasks).chosen == SynthRun(tasks=tasks).chosen == PlayRun(tasks).chosen == FIELD
    assert EvalRun(tasks="talks").chosen == IndexRun((tmp_path,)).chosen == SearchRun((tasks, "red")).chosen == FIELD
    written = write_rows(tmp_path / "tasks.jsonl", {**ROW, "world": True})
    assert is_world(str(tmp_path)) and EvalRun(tasks=str(tmp_path)).chosen == IndexRun((tmp_path,)).chosen == WORLD
    mixed = write_rows(tmp_path / "mixed.jsonl", {**ROW, "world": True}, ROW)
    assert holds_world(tmp_path) and not is_world(mixed) and not is_world(str(tmp_path / "none.jsonl"))
    assert IndexRun((Path(written), Path(mixed))).chosen == FIELD


def test_flags_replace_parts_of_the_profile_and_all_values_are_recorded(tasks):
    config = EvalRun(tasks=tasks, profile="paper", media=MediaFlags(clip_s=5.0), budget="max_calls=20").filled()
    recorded = resolve(config)
    assert recorded["profile"] == "paper" and recorded["budget"] == "paper,max_calls=20"
    assert recorded["media"] == vars(replace(PAPER.media, clip_s=5.0))
    assert recorded["tools"] == "paper" and recorded["encoder"] == "auto"
    assert config.filled() == config and config.chosen.name == "paper"


def test_the_choice_is_said_once_and_not_where_a_profile_is_given(tasks, capsys):
    say_once.cache_clear()
    for config in (EvalRun(tasks=tasks), EvalRun(tasks=tasks), EvalRun(tasks=tasks, profile="paper")):
        config.filled().open_library()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vt-env: profile field: frames of up to 112,896 pixels (144 image tokens), 12 calls")


def test_frames_have_the_patches_of_the_model_where_it_is_known(tasks, tmp_path):
    def media(**flags):
        return EvalRun(tasks=tasks, agent="full", **flags).chosen.media

    qwen3 = MediaConfig(144 * 32**2, 256 * 256, 32)
    assert media(model=ModelConfig(path="Qwen/Qwen3-VL-8B-Instruct")) == qwen3
    assert media(model=ModelConfig(path="Qwen/Qwen2.5-VL-7B-Instruct")) == FIELD.media
    assert media(media=MediaFlags(patch_px=32)) == qwen3
    assert media(model=ModelConfig(path=str(BASE_MODEL))) == MediaConfig()
    images = {"patch_size": 16, "merge_size": 2, "min_pixels": 65_536, "max_pixels": 100_000}
    write_json(tmp_path / "preprocessor_config.json", images)
    assert media(model=ModelConfig(path=str(tmp_path))).max_pixels == 100_000
    assert picture_limits("some/other-model") is None and picture_limits(None) is None


def test_a_resumed_run_keeps_the_parts_that_it_was_begun_with(tasks, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    before = EvalRun(tasks=tasks, out=out, profile="paper", budget="paper,max_calls=9").filled()
    write_json(out / "config.json", {"run": "eval", **resolve(before)})
    again = EvalRun(tasks=tasks, out=out)
    assert resolve(again.filled()) == resolve(before)
    assert EvalRun(tasks=tasks, out=out, profile="field").chosen == FIELD


def test_a_run_of_before_there_were_profiles_is_resumed_with_its_own_settings(tasks, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    before = {"media": vars(MediaConfig()), "budget": "default", "tools": "default", "encoder": "auto"}
    write_json(out / "config.json", {"run": "eval", **before})
    resumed = resolve(EvalRun(tasks=tasks, out=out).filled())
    assert {name: resumed[name] for name in before} == before and resumed["profile"] == "world"
    assert library_config({"run": "eval", **before}).chosen == WORLD


def test_presets_of_training_replace_parts_as_flags_do(tasks):
    large = replace(PRESETS["qwen3-vl-8b"], tasks=tasks).chosen
    assert large.media == MediaConfig(448 * 448, 256 * 256, 32) and (large.budget, large.tools) == ("paper", "paper")
    assert SFTRun(tasks=tasks, model="Qwen/Qwen2.5-VL-7B-Instruct").chosen == FIELD


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--profile", "filed"), "profile='filed': allowed are world, field, paper; did you mean 'field'?"),
        (("--media.max-pixels", "700"), "media.max_pixels=700: below one patch of 28 x 28 pixels; need 784 or more"),
        (("--budget", "max_cals=3"), "no field 'max_cals'; allowed are max_calls"),
        (("--encoder", "clip"), "encoder='clip': allowed are auto, none, colours, world"),
        (
            ("--encoder", "./no/such/clip"),
            "encoder='./no/such/clip': no such folder; give --encoder OWNER/NAME or a folder",
        ),
    ],
)
def test_what_is_wrong_is_one_line(flags, message, tasks, tmp_path, capsys):
    assert run(["eval", "--tasks", tasks, "--out", str(tmp_path / "run"), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_damaged_processor_file_decides_nothing(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text("{")
    assert picture_limits(str(tmp_path)) is None
    with pytest.raises(ConfigError, match="profile='x'"):
        EvalRun(profile="x")
