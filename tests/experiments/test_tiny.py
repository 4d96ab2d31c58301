"""The tiny base model: what it is taught, what it is not, and that its training runs and resumes."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import TrainerState

from experiments.settings.models import BASE_MODEL
from experiments.tiny_model.batches import GRID, IGNORED, ExchangeCollator, Exchanges
from experiments.tiny_model.feature_pool import PooledCollator, PooledTower, ScenePool
from experiments.tiny_model.first_base import FIRST_BASE
from experiments.tiny_model.model import build_model
from experiments.tiny_model.muon_adamw import MuonAdamW, orthogonal
from experiments.tiny_model.probe import SKILLS_FILE, ProbeRun, exact_replies, measure, world_of
from experiments.tiny_model.processor import build_processor
from experiments.tiny_model.recipe import Recipe
from experiments.tiny_model.scene_pictures import SceneSource, random_scene
from experiments.tiny_model.skills import SKILLS
from experiments.tiny_model.stage_mixtures import GROUPS, READING, SEEKING, SIGHT, TEXTS
from experiments.tiny_model.tokenizer import TOKENIZER_SIZE, build_tokenizer
from experiments.train import pretrain, pretrain_stage
from experiments.train.pretrain import PretrainRun
from experiments.train.pretrain_stage import StageProgress
from vt_env.actions.parse import parse_action
from vt_env.actions.read_answer import AnswerStatus, read_answer
from vt_env.errors import ConfigError
from vt_env.tools.builtin import tools_for

pytestmark = pytest.mark.slow


def source(seed: int, scenes: SceneSource = random_scene):
    """What a skill is made from; all its draws come from one generator."""
    rng = np.random.default_rng(seed)
    return rng, scenes, rng


@given(st.text())
def test_any_text_survives_the_tokenizer(text: str):
    tokenizer = build_tokenizer()
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@settings(max_examples=100)
@given(st.sampled_from(sorted(SKILLS)), st.integers(0, 2**32))
def test_no_skill_shows_a_tool_or_a_video(skill: str, seed: int):
    exchange = SKILLS[skill](*source(seed))
    told = " ".join(it.request + it.reply for it in exchange.rounds)
    assert not any(tool.name in told for tool in (*tools_for("frames"), *tools_for("captions")))
    assert "tool" not in told and len(exchange.pictures) <= 8


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_a_search_copies_what_it_looks_at_and_ends_with_an_option(seed: int):
    exchange = SKILLS["seek"](*source(seed))
    options = re.findall(r"^[A-Z]\. (.*)$", exchange.rounds[0].request, re.MULTILINE)
    told = ""
    for it in exchange.rounds:
        told += f"{it.request}\n"
        looked_at = re.findall(r"^#\d [\d:-]+$", it.reply, re.MULTILINE)
        assert all(f"{line} " in told for line in looked_at)
        looked_closely_at = re.findall(r" small ([\d:]+)$", it.reply, re.MULTILINE)
        assert all(f"Frames at {time}." in it.request for time in looked_closely_at)
    assert read_answer(parse_action(exchange.rounds[-1].reply).text, options).status is AnswerStatus.MATCHED
    assert "answer>" not in "".join(it.reply for it in exchange.rounds[:-1])


def test_every_skill_is_trained_and_the_first_batches_have_no_pictures():
    trained = {skill for _, group in (*TEXTS, *GROUPS, *READING, *SEEKING, *SIGHT) for skill in group}
    assert trained == set(SKILLS)
    assert {skill for _, group in SEEKING for skill in group} == set(SKILLS) - {"look"}
    exchanges = Exchanges(seed=3, batches=4, batch_size=8, groups=TEXTS)
    assert not any(exchanges[number].pictures for number in range(len(exchanges)))


def test_labels_stand_on_the_replies_alone():
    processor = build_processor()
    exchanges = [SKILLS[name](*source(0)) for name in ("verdict", "walk", "few_clips")]
    batch = ExchangeCollator(processor)(exchanges)
    for ids, exchange in zip(batch["labels"], exchanges, strict=True):
        replies = "".join(f"{it.reply}<|im_end|>" for it in exchange.rounds)
        assert processor.tokenizer.decode(ids[ids != IGNORED]) == replies
    assert (batch["input_ids"] == processor.image_token_id).sum() == 16 * len(batch["image_grid_thw"])


def test_features_of_a_pool_are_those_of_its_pictures():
    processor = build_processor()
    model, pool = build_model(processor.tokenizer, 0).eval(), ScenePool(seed=1, size=800)
    exchange = SKILLS["verdict"](*source(5, pool))
    numbers = [pool.pictures.index(picture) for picture in exchange.pictures]
    with torch.inference_mode():
        expected = model(**ExchangeCollator(processor)([exchange])).logits
        pixels = ExchangeCollator(processor).pixels(exchange.pictures)
        features = torch.zeros(len(pool.pictures), 16, model.config.vision_config.out_hidden_size)
        made = model.model.visual(pixels, grid_thw=torch.tensor([GRID] * len(numbers))).pooler_output
        features[numbers] = made.view(len(numbers), 16, -1)
        model.model.visual = PooledTower(features)
        found = model(**PooledCollator(processor, pool)([exchange])).logits
    assert torch.allclose(expected, found, atol=1e-5)


def test_names_begin_as_the_sum_of_their_words():
    tokenizer = build_processor().tokenizer
    model = build_model(tokenizer, seed=0)
    name, colour, shape = tokenizer.convert_tokens_to_ids(["red square", "red", "square"])
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        assert torch.allclose(layer.weight[name] * 2**0.5, layer.weight[colour] + layer.weight[shape])


def test_a_reply_counts_as_exact_where_each_of_its_tokens_is_the_likeliest():
    processor = build_processor()
    batch = ExchangeCollator(processor)([SKILLS["walk"](*source(1)) for _ in range(3)])

    class Parrot:
        def __call__(self, input_ids, **_):
            logits = torch.nn.functional.one_hot(input_ids.roll(-1, 1), TOKENIZER_SIZE).float()
            logits[1, :, 7] = 2.0
            return SimpleNamespace(logits=logits)

    replies = [int(((row[1:] != IGNORED) & (row[:-1] == IGNORED)).sum()) for row in batch["labels"]]
    exact = exact_replies(Parrot(), batch)
    assert len(exact) == sum(replies)
    assert exact == [True] * replies[0] + [False] * replies[1] + [True] * replies[2]


def tiny_recipe(recipe: Recipe, *names: str, steps: int = 1) -> Recipe:
    """The stages of those names, of a few steps on a few examples; two steps where the tower's change is looked at."""
    stages = tuple(
        replace(it, steps=2 if it.name in ("vision", "skills", "sight") else steps, batch_size=4, lr=1e-3, warmup=1)
        for it in recipe.stages
        if it.name in names or not names
    )
    return replace(recipe, scenes=800, stages=stages)


class Killed(Exception):
    """Stands for a killed process."""


def test_training_resumes_where_it_was_and_leaves_the_tower_alone_but_in_its_stages_and_the_last(tmp_path, monkeypatch):
    recipe, run = tiny_recipe(FIRST_BASE), PretrainRun(out=tmp_path, workers=0)
    collators = [PooledCollator] * 2

    def kill(*arguments: object) -> PooledCollator:
        if not collators:
            raise Killed
        return collators.pop()(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "PooledCollator", kill)
        with pytest.raises(Killed):
            pretrain.train(run, recipe)
    stages = [tmp_path / f"{name}.safetensors" for name in ("vision", "close", "matching", "texts")]
    written = [path.stat().st_mtime_ns for path in stages]
    folder = pretrain.train(run, recipe)
    assert [path.stat().st_mtime_ns for path in stages] == written
    tower = {name: it for name, it in load_file(tmp_path / "close.safetensors").items() if name.startswith("tower.")}
    taught = {name: load_file(tmp_path / f"{name}.safetensors") for name in ("seeking", "sight")}
    assert tower and (folder / "model.safetensors").is_file() and world_of(folder) == 1
    for name, value in tower.items():
        place = name.replace("tower", "model.visual", 1)
        assert torch.equal(taught["seeking"][place], value)
        # One step after a warm-up's first, whose rate is 0.
        assert not torch.equal(taught["sight"][place], value)
    with pytest.raises(ConfigError, match="was run with seed=1, now seed=2"):
        pretrain.train(replace(run, seed=2), recipe)
    with pytest.raises(ConfigError, match="was run with scenes=800, now scenes=900"):
        pretrain.train(run, replace(recipe, scenes=900))


def test_a_stage_killed_between_two_checkpoints_ends_with_the_weights_of_one_that_was_not(
    tmp_path, monkeypatch, capsys
):
    recipe = tiny_recipe(FIRST_BASE, "matching", steps=5)
    whole = pretrain.train(PretrainRun(out=tmp_path / "whole", workers=0), recipe)
    monkeypatch.setattr(pretrain_stage, "SAVE_EVERY_S", 0.0)
    run, count = PretrainRun(out=tmp_path / "killed", workers=0), StageProgress.on_step_end

    def kill(self: StageProgress, args: object, state: TrainerState, control: object, **_: object) -> None:
        count(self, args, state, control)
        if state.global_step == 3:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(StageProgress, "on_step_end", kill)
        pretrain.train(run, recipe)
    assert [it.name for it in (tmp_path / "killed" / "matching").glob("checkpoint-*")] == ["checkpoint-2"]
    weights = [load_file(folder / "model.safetensors") for folder in (whole, pretrain.train(run, recipe))]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    lines = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert [(it["stage"], it["step"]) for it in lines if "stage" in it] == [("matching", 5)]
    assert "it/s" not in capsys.readouterr().err


def test_a_base_that_would_be_too_large_is_refused_before_it_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "PARAMETERS", 2_000_000)
    with pytest.raises(ConfigError, match="the base would have 2516288 parameters: need 2000000 at most"):
        pretrain.train(PretrainRun(out=tmp_path, workers=0), FIRST_BASE)
    assert not list(tmp_path.iterdir())


def test_a_recipe_is_scaled_to_the_hours_that_are_given():
    half = FIRST_BASE.within(FIRST_BASE.hours / 2)
    assert abs(half.hours - FIRST_BASE.hours / 2) < 0.01
    assert [it.steps for it in half.stages[:2]] == [900, 1200]
    assert [it.steps for it in FIRST_BASE.within(1e-4).stages] == [1] * len(FIRST_BASE.stages)
    with pytest.raises(ConfigError, match=r"hours=0\.0: need more than 0"):
        PretrainRun(hours=0.0)


def test_matrices_are_stepped_as_by_muon_of_torch_and_the_rest_as_by_adamw_also_after_a_resume(monkeypatch):
    # Torch's own orthogonalises in bfloat16; all else is to be equal.
    monkeypatch.setattr("torch.optim._muon._zeropower_via_newtonschulz", lambda matrix, *_: orthogonal(matrix))
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(8, 24), torch.nn.Linear(8, 24)
    theirs.load_state_dict(ours.state_dict())
    shared = {"betas": (0.9, 0.98), "weight_decay": 0.01}
    both = MuonAdamW(ours, 0.01, **shared)
    muon = torch.optim.Muon([theirs.weight], lr=0.02, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW([theirs.bias], lr=0.01, **shared)
    for _ in range(4):
        inputs = torch.randn(16, 8)
        for model, optimizers in ((ours, [both]), (theirs, [muon, adamw])):
            model(inputs).tanh().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
            model.zero_grad()
        resumed = MuonAdamW(ours, 0.01, **shared)
        resumed.load_state_dict(both.state_dict())
        both = resumed
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


def test_orthogonal_steps_have_singular_values_near_one():
    turned = orthogonal(torch.randn(24, 8, generator=torch.Generator().manual_seed(1)))
    values = torch.linalg.svdvals(turned)
    assert 0.6 < values.min() <= values.max() < 1.3


@pytest.mark.skipif(not BASE_MODEL.is_dir(), reason="the base model is not there")
def test_the_shipped_model_has_the_skills_that_are_written_beside_it():
    written = json.loads((BASE_MODEL / SKILLS_FILE).read_text())
    found = measure(ProbeRun(BASE_MODEL, n=40))
    assert set(found) == set(written["exact"])
    for skill, share in written["exact"].items():
        assert abs(found[skill] - share) <= 3.5 * np.sqrt(0.25 / 40) * (1 if 0.1 < share < 0.9 else 0.6)
