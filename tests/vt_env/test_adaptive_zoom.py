"""The tool set `adaptive`: a policy chooses how many frames it looks at and how large, within one budget."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.shaped_video import QWEN2_MEDIA, ShapedVideo
from transformers import Qwen2VLImageProcessor

from synth.frame_files import read_pictures
from synth.ground import ground
from vt_env.config import BudgetConfig, EnvConfig
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory, record_episode
from vt_env.integrations.trl import environment_class, training_rows
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import FakeLibrary, fake_task
from vt_env.tools.builtin import tools_for
from vt_env.types import Answer, Observation, ToolCall

DETAILS = ("low", "medium", "high")
BUDGET = BudgetConfig(max_calls=12, max_frames=200, frames_per_zoom=4, max_image_tokens=2000)
OPEN = {"tools": "adaptive", "budget": BUDGET, "media": QWEN2_MEDIA}


def episode(
    perception: str = "frames", native_px: tuple[int, int] = (640, 360), budget: BudgetConfig = BUDGET
) -> Episode:
    task = fake_task()
    config = EnvConfig(perception, budget, media=QWEN2_MEDIA)
    made = Episode(task.item, task.gold, ShapedVideo(native_px=native_px), config, tools_for(perception, "adaptive"))
    made.start()
    return made


def zoom(tool: str = "frame_zoom", **arguments: Any) -> ToolCall:
    return ToolCall(tool, {"start_s": 300.0, "end_s": 400.0, **arguments})


def counted(observation: Observation) -> int:
    processor: Any = Qwen2VLImageProcessor(
        patch_size=14, merge_size=2, size={"shortest_edge": 3136, "longest_edge": 12_845_056}
    )
    if not observation.pictures:
        return 0
    grids = processor(images=list(observation.pictures), return_tensors="np")["image_grid_thw"].tolist()
    sizes = [(rows * 14, columns * 14) for _, rows, columns in grids]
    assert sizes == [picture.shape[:2] for picture in observation.pictures], "resized"
    return sum(rows * columns // 4 for _, rows, columns in grids)


CALLS = st.lists(st.tuples(st.integers(-1, 40), st.sampled_from(DETAILS)), min_size=1, max_size=6)
SIDES = st.integers(60, 1200)


@given(native_px=st.tuples(SIDES, SIDES), calls=CALLS)
def test_a_look_costs_what_the_processor_counts_and_never_more_than_a_plain_one_or_than_is_left(native_px, calls):
    made = episode(native_px=native_px)
    plain = 4 * made.frame_tokens()
    for frames, detail in calls:
        before = made.remaining
        outcome = made.apply(zoom(frames=frames, detail=detail))
        cost = (before.image_tokens or 0) - (made.remaining.image_tokens or 0)
        assert cost == counted(outcome.observation) <= plain
        assert before.frames - made.remaining.frames == len(outcome.observation.pictures) <= max(0, frames)
        assert (made.remaining.image_tokens or 0) >= 0
        assert outcome.error in (None, "tool_error", "over_budget")


def test_low_detail_shows_more_frames_for_the_same_image_tokens():
    costs = {}
    for detail, frames in (("high", 4), ("medium", 8), ("low", 16)):
        outcome = episode().apply(zoom(frames=frames, detail=detail))
        pictures = outcome.observation.pictures
        costs[detail] = (len(pictures), counted(outcome.observation))
    assert {detail: count for detail, (count, _) in costs.items()} == {"high": 4, "medium": 8, "low": 16}
    assert costs["high"][1] == 4 * 120 and all(0.7 * 480 < tokens <= 480 for _, tokens in costs.values())


def test_without_arguments_a_look_is_a_plain_one():
    assert len(episode().apply(zoom()).observation.pictures) == 4
    assert episode().apply(zoom()).observation.pictures[0].shape == (224, 420, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"frames": 0}, "frames=0: need 1 to 17 at low detail, 1 to 9 at medium detail, 1 to 4 at high detail"),
        ({"frames": 5}, "frames=5: need 1 to 17 at low detail"),
        ({"frames": 10**9, "detail": "low"}, "frames=1000000000: need 1 to 17 at low detail"),
        ({"frames": "many"}, "frames='many': need a whole number"),
        ({"frames": 1.5}, "frames=1.5: need a whole number"),
        ({"detail": "huge"}, "detail='huge': need one of 'low', 'medium', 'high'"),
        ({"detail": 1}, "detail=1: need one of"),
        ({"resize": 0.5}, "frame_zoom has no argument 'resize'; call frame_zoom(start_s, end_s, frames, detail)"),
    ],
    ids=str,
)
def test_a_wrong_value_is_explained_to_the_model_and_shows_nothing(arguments, said):
    outcome = episode().apply(zoom(**arguments))
    assert outcome.error == "tool_error" and said in outcome.observation.text
    assert not outcome.observation.pictures


def test_a_look_that_the_budget_holds_in_part_is_trimmed_and_one_that_it_does_not_hold_is_refused():
    made = episode(budget=BudgetConfig(12, 200, 4, max_image_tokens=300))
    assert len(made.apply(zoom(frames=4, detail="high")).observation.pictures) == 2
    outcome = made.apply(zoom(frames=1, detail="high"))
    assert outcome.error == "over_budget" and "image tokens needed: 120, left: 60" in outcome.observation.text
    assert len(made.apply(zoom(frames=9, detail="low")).observation.pictures) == 2


@pytest.mark.parametrize("detail", DETAILS)
def test_the_record_gives_the_same_pictures_again(detail):
    made = episode()
    shown = made.apply(zoom(frames=4, detail=detail)).observation
    frames = Trajectory.from_json(record_episode(made).to_json()).turns[0].frames
    again = read_pictures(made.video, frames)
    assert [it.shape[1::-1] for it in again] == [frame.size_px for frame in frames]
    assert all(np.array_equal(one, other) for one, other in zip(again, shown.pictures, strict=True))
    assert {frame.stored_px for frame in frames} == ({None} if detail == "high" else {(420, 224)})


def test_calls_in_caption_space_are_charged_what_the_grounded_ones_cost():
    teacher = episode("captions")
    for frames, detail in ((3, "high"), (12, "low"), (4, "medium")):
        outcome = teacher.apply(zoom("caption_zoom", frames=frames, detail=detail))
        assert outcome.error is None, outcome.observation.text
    teacher.apply(Answer("47"))
    source = record_episode(teacher)
    task = fake_task()
    config = EnvConfig("frames", BUDGET, media=QWEN2_MEDIA)
    grounded = ground(source, Episode(task.item, task.gold, ShapedVideo(), config, tools_for("frames", "adaptive")))
    assert grounded.divergences == () or {it.kind for it in grounded.divergences} == {"unseen_caption"}
    assert [len(turn.frames) for turn in grounded.trajectory.turns] == [3, 12, 4, 0]
    assert grounded.trajectory.image_tokens == source.image_tokens
    assert grounded.trajectory.remaining.image_tokens == source.remaining.image_tokens


def test_every_environment_offers_it():
    library = FakeLibrary((ShapedVideo(),))
    tasks = TaskSet((fake_task(),))
    text = LongVideoQATextEnv(tasks=tasks, library=library, **OPEN)
    text.reset(seed=0)
    call = '{"name": "frame_zoom", "arguments": {"start_s": "05:00", "end_s": "06:00", "frames": 10, "detail": "low"}}'
    observation, _, _, _, info = text.step(f"<tool_call>{call}</tool_call>")
    assert len(observation["frames"]) == 10 and info["image_tokens"] == 10 * 28
    typed = LongVideoQAEnv(tasks=tasks, library=library, **OPEN)
    typed.action_space.seed(0)
    for seed in range(5):
        typed.reset(seed=seed)
        assert typed.observation_space.contains(typed.step(typed.action_space.sample())[0])
    kind = environment_class(tasks=tasks, library=library, **OPEN)
    trl = kind()
    trl.reset(**training_rows(kind)[0])
    shown = trl.frame_zoom(start_s="05:00", end_s="06:00", frames=10, detail="low")
    assert sum(block["type"] == "image" for block in shown) == 10


def test_only_this_set_has_these_arguments():
    named = {choice: [tool.line for tool in tools_for("frames", choice)] for choice in ("default", "paper", "adaptive")}
    assert "frame_zoom(start_s, end_s, frames, detail)" in named["adaptive"]
    assert "frame_zoom(start_s, end_s)" in named["default"] and "frame_zoom(start_s, end_s)" in named["paper"]
    assert [it.partition("(")[0] for it in named["adaptive"]] == [it.partition("(")[0] for it in named["default"]]
