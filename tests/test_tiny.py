"""The tiny base model: what it is taught, what it is not, and that its training runs and resumes."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from experiments import pretrain
from experiments.pretrain import PretrainRun, StageConfig
from experiments.tiny.batches import IGNORED, ExchangeCollator, Exchanges
from experiments.tiny.probes import SKILLS_FILE, ProbeRun, measure
from experiments.tiny.processor import build_processor
from experiments.tiny.skills import GROUPS, SKILLS, TEXTS
from experiments.tiny.tokenizer import build_tokenizer
from vt_env.tools import tools_for

pytestmark = pytest.mark.train

BASE = Path(pretrain.__file__).parent / "tiny" / "base"


@given(st.text())
def test_any_text_survives_the_tokenizer(text: str):
    tokenizer = build_tokenizer()
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@settings(max_examples=100)
@given(st.sampled_from(sorted(SKILLS)), st.integers(0, 2**32))
def test_no_skill_shows_a_tool_or_a_video(skill: str, seed: int):
    exchange = SKILLS[skill](np.random.default_rng(seed))
    told = exchange.request + exchange.reply
    assert not any(tool.name in told for tool in (*tools_for("frames"), *tools_for("captions")))
    assert "tool" not in told and len(exchange.scenes) <= 8


def test_every_skill_is_trained_and_the_first_batches_have_no_pictures():
    trained = {skill for group in (TEXTS, *(group for _, group in GROUPS)) for skill in group}
    assert trained == set(SKILLS)
    exchanges = Exchanges(seed=3, batches=4, batch_size=8, text_batches=2)
    assert not any(exchanges[number].scenes for number in range(16))


def test_labels_stand_on_the_reply_alone():
    processor = build_processor()
    exchanges = [SKILLS[name](np.random.default_rng(0)) for name in ("read", "copy", "few_clips")]
    batch = ExchangeCollator(processor)(exchanges)
    for ids, exchange in zip(batch["labels"], exchanges, strict=True):
        assert processor.tokenizer.decode(ids[ids != IGNORED]) == f"{exchange.reply}<|im_end|>"


def test_training_resumes_where_it_was_and_leaves_the_tower_as_its_own_stage_made_it(tmp_path, monkeypatch):
    run = PretrainRun(
        out=tmp_path,
        vision=StageConfig(steps=2, batch_size=4, lr=1e-3),
        skills=StageConfig(steps=2, batch_size=4, lr=1e-3),
        text_steps=1,
        workers=0,
    )

    class Killed(Exception):
        pass

    def kill(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "ExchangeCollator", kill)
        with pytest.raises(Killed):
            pretrain.main(run)
    vision = (tmp_path / "vision.safetensors").stat().st_mtime_ns
    folder = pretrain.main(run)
    assert (tmp_path / "vision.safetensors").stat().st_mtime_ns == vision
    tower = load_file(tmp_path / "vision.safetensors")
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[f"visual.{name}"], value) for name, value in tower.items())


@pytest.mark.skipif(not BASE.is_dir(), reason="the base model is not there")
def test_the_shipped_model_has_the_skills_that_are_written_beside_it():
    written = json.loads((BASE / SKILLS_FILE).read_text())
    found = measure(ProbeRun(BASE, n=40))
    assert set(found) == set(written["exact"])
    for skill, share in written["exact"].items():
        assert abs(found[skill] - share) <= 3.5 * np.sqrt(0.25 / 40) * (1 if 0.1 < share < 0.9 else 0.6)
