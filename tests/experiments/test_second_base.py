"""The base for the second world: its tokens, its exercises, and what its tower is taught."""

import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.tiny_model.batches import IGNORED, ExchangeCollator, Exchanges
from experiments.tiny_model.copying_heads import LOUDNESS
from experiments.tiny_model.joined_tokenizer import build_joined_tokenizer, joined_parts
from experiments.tiny_model.probe import ProbeRun, measure, world_of
from experiments.tiny_model.processor import build_processor
from experiments.tiny_model.second_base import SECOND_BASE, STAGES, build_second_model
from experiments.tiny_model.world2.sights import Sight, SightPool, random_sight, things_of
from experiments.tiny_model.world2.skills import SKILLS
from experiments.tiny_model.world2.tower import CLASSES, HELD, SightCollator, Sights
from experiments.train.pretrain import PretrainRun, train
from vt_env.actions.read_answer import AnswerStatus, read_answer
from vt_env.tools.builtin import tools_for
from vt_env.world.vocabulary import NAMES
from vt_env.world2.vocabulary import DIRECTIONS

pytestmark = pytest.mark.slow


@given(st.text())
def test_any_text_survives_the_tokenizer_that_joins_words_and_spaces(text: str):
    tokenizer = build_joined_tokenizer()
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_word_and_the_space_before_it_are_one_token():
    texts = build_joined_tokenizer().tokenize("35:16-35:27 look at kilo now\nred square 12 left high large, dots 5")
    line = ["35:", "16", "-", "35:", "27", " look", " at", " kilo", " now"]
    view = ["red square", " 12", " left", " high", " large", ",", " dots", " 5"]
    assert texts == [*line, "Ċ", *view]


def test_embeddings_begin_as_the_sum_of_their_parts_and_numbers_with_their_values():
    tokenizer = build_joined_tokenizer()
    model = build_second_model(tokenizer, seed=0)
    loud, rows = model.get_input_embeddings().weight.detach(), model.lm_head.weight.detach()
    ids = tokenizer.get_vocab()
    for token, of in joined_parts().items():
        assert torch.allclose(rows[ids[token]] * len(of) ** 0.5, sum(rows[ids[part]] for part in of), atol=1e-5)
    assert torch.allclose(loud, LOUDNESS * rows) and loud.data_ptr() != rows.data_ptr()
    near, far = (float(rows[ids["42"]] @ rows[ids[other]]) for other in ("43", "90"))
    assert near > far + 0.3


def test_the_untrained_model_copies_most_of_a_text_without_a_pattern():
    tokenizer = build_joined_tokenizer()
    model = build_second_model(tokenizer, seed=0).eval()
    exchanges = [SKILLS["echo"](rng, random_sight, rng) for rng in map(np.random.default_rng, range(12))]
    batch = ExchangeCollator(build_processor(tokenizer))(exchanges)
    with torch.inference_mode():
        written = model(**{name: it for name, it in batch.items() if name != "labels"}).logits[:, :-1].argmax(-1)
    wanted = batch["labels"][:, 1:]
    is_reply = wanted != IGNORED
    assert (written == wanted)[is_reply].float().mean() > 0.5


@settings(max_examples=100)
@given(st.sampled_from(sorted(SKILLS)), st.integers(0, 2**32))
def test_no_skill_of_the_second_world_shows_a_tool_or_a_video(skill: str, seed: int):
    rng = np.random.default_rng(seed)
    exchange = SKILLS[skill](rng, random_sight, rng)
    texts = " ".join(it.request + it.reply for it in exchange.rounds)
    assert not any(tool.name in texts for tool in (*tools_for("frames"), *tools_for("captions")))
    assert "tool" not in texts and len(exchange.pictures) <= 12 and all(it.reply for it in exchange.rounds)


@settings(max_examples=50)
@given(st.sampled_from(("one_clip", "few_clips", "unseen", "choose")), st.integers(0, 2**32))
def test_answers_are_one_of_four_different_options(skill: str, seed: int):
    rng = np.random.default_rng(seed)
    (it,) = SKILLS[skill](rng, random_sight, rng).rounds
    options = re.findall(r"^[A-D]\. (.*)$", it.request, re.MULTILINE)
    assert len(set(options)) == 4
    assert (
        read_answer(it.reply.removeprefix("<answer>").removesuffix("</answer>"), options).status is AnswerStatus.MATCHED
    )


@settings(max_examples=50)
@given(st.sampled_from(("find", "hop")), st.integers(0, 2**32))
def test_a_line_that_is_found_is_the_only_one_with_the_name_that_is_asked_for(skill: str, seed: int):
    rng = np.random.default_rng(seed)
    rounds = SKILLS[skill](rng, random_sight, rng).rounds
    lines = rounds[0].request.splitlines()[:-1]
    for it in rounds:
        (name,) = set(NAMES) & set(re.findall(r"[a-z]+", it.request.splitlines()[-1]))
        (line,) = (line for line in lines if name in line.split())
        assert it.reply == line if skill == "find" else line.endswith(f"{name} is the {it.reply}")


def test_every_skill_is_trained_and_texts_come_before_pictures():
    trained = {
        skill for stage in STAGES if not isinstance(stage.data, float) for _, group in stage.data for skill in group
    }
    assert trained == set(SKILLS)
    shares = [sum(share for share, _ in stage.data) for stage in STAGES if not isinstance(stage.data, float)]
    assert np.allclose(shares, 1)
    assert len({(stage.trains, stage.seed) for stage in STAGES}) == len(STAGES)
    for stage in STAGES[:2]:
        exchanges = Exchanges(3, 4, 4, stage.data, random_sight, SKILLS)
        assert not any(exchanges[number].pictures for number in range(len(exchanges)))


@settings(max_examples=50)
@given(st.sampled_from(("mark", "text_mark", "pair")), st.integers(0, 2**32))
def test_notes_on_frames_end_with_the_next_step(skill: str, seed: int):
    rng = np.random.default_rng(seed)
    for it in SKILLS[skill](rng, random_sight, rng).rounds:
        note = re.fullmatch(r"(.*) (look|answer|small \d\d:\d\d)", it.reply)
        assert note and re.match(r"\w+ \w+ (yes|near|no)\b", note[1])
        if note[2].startswith("small"):
            assert f"Frames at {note[2].split()[1]}." in it.request


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_moves_are_along_a_side_of_the_frame_and_told_by_their_direction(seed: int):
    rng = np.random.default_rng(seed)
    rounds = SKILLS["way"](rng, random_sight, rng).rounds
    for first, second in zip(rounds[::2], rounds[1::2], strict=True):
        before, now = (sight.shown.main.place for sight in (*first.pictures, *second.pictures))
        assert sum(one != other for one, other in zip(before, now, strict=True)) == 1
        assert second.reply.split()[-1] in DIRECTIONS


def test_a_pool_holds_every_picture_that_exercises_show():
    pool = SightPool(seed=1, size=800)
    known = set(pool.pictures)
    for skill, make in SKILLS.items():
        for seed in range(5):
            rng = np.random.default_rng(seed)
            assert set(make(rng, pool, rng).pictures) <= known, skill
    assert len(known) == len(pool.pictures)


def test_the_tower_is_taught_what_each_place_holds():
    sights = Sights(seed=1, length=40, close_share=0.3)
    drawn = [sights[number] for number in range(len(sights))]
    batch = SightCollator(build_processor(build_joined_tokenizer()))(drawn)
    names = list(CLASSES)
    assert batch["labels"].shape == (40, len(names))
    of_crops = [sight for sight in drawn if sight.crop is not None]
    assert 5 < len(of_crops) < 20
    for sight, row in zip(drawn, batch["labels"].tolist(), strict=True):
        of = dict(zip(names, row, strict=True))
        if sight.crop is not None:
            (thing,) = (it for it in things_of(sight.shown) if it.place == sight.crop)
            assert (of["small_tens"], of["small_units"]) == divmod(thing.detail, 10) and of["tens"] == -100
            continue
        assert of["tens"] * 10 + of["units"] == sight.shown.number and of["small_tens"] == -100
        held = [HELD[of[f"held {' '.join(it.place)}"]] for it in things_of(sight.shown)]
        assert held == ["main", "companion"][: len(held)]
        assert HELD[of[f"held {' '.join(sight.shown.number_place)}"]] == "number"
    assert {sight.is_event for sight in drawn} == {True, False}


def test_an_event_changes_the_picture_and_nothing_else_of_a_scene():
    for seed in range(20):
        scene = random_sight(np.random.default_rng(seed))
        still, event = Sight(scene), Sight(scene, is_event=True)
        assert (still.paint().tobytes() == event.paint().tobytes()) == (scene.role == "plain")
        assert still.shown is scene and event.shown.companion == scene.companion


def test_texts_tower_and_all_are_trained_in_turn_and_the_checkpoint_is_probed_by_its_own_skills(tmp_path):
    stages = [replace(it, steps=1, batch_size=2, warmup=1) for it in STAGES if it.name in ("copying", "tower", "sight")]
    run = PretrainRun(out=tmp_path, world=2, workers=0)
    folder = train(run, replace(SECOND_BASE, stages=tuple(stages)))
    assert world_of(folder) == 2 and sum(it.stat().st_size for it in folder.iterdir()) < 30e6
    assert [(tmp_path / f"{it.name}.safetensors").is_file() for it in stages] == [True] * 3
    assert set(measure(ProbeRun(folder, n=1, batch_size=1))) == set(SKILLS)


def test_the_recipe_takes_three_hours_at_most():
    assert 2 < SECOND_BASE.hours <= 3
