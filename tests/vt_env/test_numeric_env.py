"""The numeric environment: what its features tell, what they do not, and that looking pays without words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray
from support.small_media import SMALL_MEDIA
from support.small_world import SmallWorld, small_world

from vt_env.config import BudgetConfig
from vt_env.envs.numeric_env import LongVideoQANumericEnv
from vt_env.envs.numeric_features import KINDS, HashedWords, NumericConfig
from vt_env.errors import ConfigError
from vt_env.gold import Gold
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.testing import FakeLibrary, FakeVideo, conformance, fake_task, fake_tasks
from vt_env.types import Interval, SubtitleLine

__all__ = ["small_world"]

FAMILIES = ("what number is beside the", "what is the code of", "what number is on screen when the narrator says")


def make(perception: str = "captions", **changes: Any) -> LongVideoQANumericEnv:
    fakes = {"tasks": fake_tasks(), "library": FakeLibrary(), "media": SMALL_MEDIA}
    return LongVideoQANumericEnv(perception=perception, **{**fakes, **changes})


def play(env: LongVideoQANumericEnv, *names: str) -> tuple[NDArray[np.float32], dict[str, Any]]:
    features, info = env.reset(seed=0)
    for name in names:
        features, _, _, _, info = env.step(env.action_names.index(name))
    return features, info


def group(env: LongVideoQANumericEnv, features: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    part = features[env.feature_slices[name]]
    width = {"candidates": 7, "options": 5}.get(name)
    return part if width is None else part.reshape(-1, width)


def allowed(env: LongVideoQANumericEnv, info: dict[str, Any]) -> set[str]:
    return {name for name, bit in zip(env.action_names, info["action_mask"], strict=True) if bit}


SEARCHES = {"search_clips", "search_subtitles", "sum_up_subtitles"}
ANSWERS = {f"answer_{idx}" for idx in range(4)}


def test_the_mask_names_the_actions_that_make_sense():
    env = make()
    _, info = play(env)
    assert allowed(env, info) == SEARCHES | ANSWERS
    _, info = play(env, "search_clips")
    assert allowed(env, info) == SEARCHES | ANSWERS | {f"look_at_{idx}" for idx in range(3)}
    _, info = play(env, "search_clips", "look_at_0")
    assert {"look_before", "look_after", "read_around"} <= allowed(env, info)
    assert env.action_masks().tolist() == info["action_mask"].astype(bool).tolist()
    small = make(budget=BudgetConfig(max_calls=1, max_frames=8))
    _, info = play(small, "search_clips")
    assert allowed(small, info) == ANSWERS
    blind = make(perception="frames", budget=BudgetConfig(max_calls=4, max_frames=2, frames_per_zoom=2))
    _, info = play(blind, "search_clips", "look_at_0")
    assert allowed(blind, info) == SEARCHES | ANSWERS | {"read_around"}


def test_each_macro_action_is_the_call_that_its_name_says():
    env = make("frames", budget="paper")
    play(
        env,
        "search_subtitles",
        "look_at_0",
        "look_before",
        "look_after",
        "read_around",
        "sum_up_subtitles",
        "search_clips",
    )
    assert env.episode is not None
    calls = [(turn.action.name, dict(turn.action.arguments)) for turn in env.episode.turns]
    question = "what number is beside the red square?"
    assert calls == [
        ("subtitle_retrieval", {"query": question, "top_k": 4}),
        ("frame_zoom", {"start_s": 190.0, "end_s": 194.0}),
        ("frame_zoom", {"start_s": 186.0, "end_s": 190.0}),
        ("frame_zoom", {"start_s": 190.0, "end_s": 194.0}),
        ("subtitle_zoom", {"start_s": 180.0, "end_s": 204.0}),
        ("subtitle_summary", {"query": question}),
        ("clip_retrieval", {"query": question, "top_k": 4}),
    ]
    assert [turn.error for turn in env.episode.turns] == [None] * 7


def test_an_action_that_makes_no_sense_yet_costs_a_call_and_is_marked_as_failed():
    env = make()
    features, info = play(env, "look_at_2")
    assert info["error"] == "malformed" and env.episode is not None and env.episode.remaining.calls == 7
    assert group(env, features, "last_kind")[KINDS.index("failed")] == 1.0


def test_reading_the_right_line_marks_its_option_alone():
    env = make()
    options = group(env, play(env, "search_clips")[0], "options")
    assert options[:, 0].tolist() == [1.0] * 4 and not options[:, 1:].any()
    features, _ = play(env, "search_clips", "look_at_0")
    options = group(env, features, "options")
    assert options[:, 3].argmax() == 1 and options[1, 1] == options[1, 2] == 1.0 and options[[0, 2, 3], 1:4].max() == 0
    candidate = group(env, features, "candidates")[0]
    assert candidate[[0, 1, 4]].tolist() == [1.0, 0.0, 1.0] and candidate[5] == pytest.approx(0.5)


def test_a_number_on_screen_at_a_subtitle_counts_as_much_as_the_subtitle_matches():
    lines = (SubtitleLine(Interval(330, 334), "look at the red square"),)
    env = make(
        library=FakeLibrary((FakeVideo(subtitle_lines=lines, captions=(SubtitleLine(Interval(0, 600), "47"),)),))
    )
    features, _ = play(env, "search_subtitles", "look_at_0")
    assert group(env, features, "options")[:, 3].tolist() == [0.0, 0.5, 0.0, 0.0]


def test_frames_are_told_apart_by_the_encoder_and_captions_leave_them_empty():
    frames, captions = make("frames"), make("captions")
    seen = play(frames, "search_clips", "look_at_0")[0]
    assert group(frames, seen, "last_frames").any() and group(frames, seen, "all_frames").any()
    assert not group(captions, play(captions, "search_clips", "look_at_0")[0], "last_frames").any()
    assert group(frames, seen, "budget").tolist() == pytest.approx([6 / 8, 14 / 16])


def test_a_frame_encoder_of_ones_own_makes_options_comparable_with_frames():
    class Knowing:
        key, dim = "knowing", 2

        def encode_frames(self, frames: Any) -> NDArray[np.float32]:
            return np.tile(np.array([[0.6, 0.8]], np.float32), (len(frames), 1))

        def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.array([[0.0, 1.0 if text == "47" else 0.0] for text in texts], np.float32)

    env = make("frames", numeric=NumericConfig(candidates=2, frame_encoder=Knowing()))
    features, _ = play(env, "search_clips", "look_at_0")
    assert group(env, features, "options")[:, 4].tolist() == pytest.approx([0.0, 0.8, 0.0, 0.0])
    assert env.action_space == gym.spaces.Discrete(6 + 2 + 4)


def test_features_and_masks_are_the_same_whatever_the_key():
    told: list[list[bytes]] = []
    rng = np.random.default_rng(0)
    actions = [int(rng.integers(10)) for _ in range(60)]
    for gold in (Gold(0), Gold(2, (Interval(5, 9),)), None):
        env = make(tasks=TaskSet((Task(fake_task().item, gold),)), budget=BudgetConfig(max_calls=99, max_frames=99))
        features, info = env.reset(seed=0)
        told.append([features.tobytes() + info["action_mask"].tobytes()])
        for action in actions:
            features, *_, info = env.step(action)
            told[-1].append(features.tobytes() + info["action_mask"].tobytes())
    assert told[0] == told[1] == told[2]


def test_observations_share_no_memory():
    env = make()
    first, _ = env.reset(seed=0)
    kept = first.copy()
    env.step(0)
    assert np.array_equal(first, kept)
    first[:] = 9
    assert env.reset(seed=0)[0].max() <= 1


def test_hashed_words_are_the_same_everywhere_and_tell_questions_apart():
    encoder = HashedWords()
    assert np.flatnonzero(encoder.encode_texts(["red square"])[0]).tolist() == [6, 21]
    vectors = np.array([encoder.encode_texts([text])[0] for text in FAMILIES])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1) and (vectors @ vectors.T)[np.triu_indices(3, 1)].max() < 0.8
    assert not encoder.encode_texts(["?!"])[0].any()


def test_tools_that_a_macro_action_needs_must_be_on_offer():
    with pytest.raises(ConfigError, match="subtitle_zoom not on offer"):
        make("frames", tools=["clip_retrieval", "subtitle_retrieval", "subtitle_summary", "frame_zoom"])
    with pytest.raises(ConfigError, match=r"candidates=0: need 1 or more"):
        NumericConfig(candidates=0)

    @dataclass
    class Loose:
        dim: int = 8

    with pytest.raises(ConfigError, match=r"numeric.text_encoder: it cannot be hashed"):
        NumericConfig(text_encoder=Loose())  # type: ignore[arg-type]


def by_features(env: LongVideoQANumericEnv, task_id: str) -> float:
    """Play by fixed thresholds on features, which a small network can compute; return the reward."""
    names = env.action_names
    families = np.array([HashedWords().encode_texts([text])[0] for text in FAMILIES])
    features, info = env.reset(options={"task_id": task_id})
    family = int(np.argmax(families @ group(env, features, "question_text")))
    features, *_, info = env.step(names.index("search_subtitles" if family else "search_clips"))
    for name in [] if family == 1 else ["look_at_0"] if family == 2 else [f"look_at_{idx}" for idx in range(4)]:
        if group(env, features, "options")[:, 3].max() < 0.45 and info["action_mask"][names.index(name)]:
            features, *_, info = env.step(names.index(name))
    best = int(np.argmax(group(env, features, "options")[:, 3]))
    return float(env.step(names.index(f"answer_{best}"))[1])


@pytest.mark.parametrize(("perception", "share"), [("captions", 0.9), ("frames", 0.4)])
def test_looking_pays_for_a_policy_that_reads_nothing_but_features(
    small_world: SmallWorld, perception: str, share: float
):
    """Answering at once is right in a quarter of the tasks; frames tell colours, so there only subtitles help."""
    handles = {task.item.video.handle for task in small_world.tasks.head(4)}
    tasks = small_world.tasks.filter(lambda item: item.video.handle in handles)
    env = LongVideoQANumericEnv(tasks, perception=perception, library=small_world.library)
    rewards = [by_features(env, task.item.task_id) for task in tasks]
    assert len(rewards) == 24
    assert float(np.mean(rewards)) >= share


def play_pairs(env: LongVideoQANumericEnv, *actions: tuple[int, int]) -> dict[str, Any]:
    _, info = env.reset(seed=0)
    for action in actions:
        *_, info = env.step(np.array(action))
    return info


def test_two_numbers_say_what_to_do_and_to_what():
    env = make(numeric=NumericConfig(candidates=3, actions="multi_discrete"))
    assert env.action_space == gym.spaces.MultiDiscrete([8, 4])
    info = play_pairs(env, (0, 3), (3, 1))
    assert env.episode is not None
    looked = env.episode.turns[1].action
    named = make(numeric=NumericConfig(candidates=3))
    play(named, "search_clips", "look_at_1")
    assert named.episode is not None and named.episode.turns[1].action == looked
    assert info["action_mask"].tolist() == [1] * 8 + [1] * 4
    *_, info = env.step(np.array([7, 1]))
    assert (info["correct"], info["stop_reason"]) == (True, "answered")


def test_pairs_keep_the_rules_of_all_environments():
    choices = {"tasks": fake_tasks(), "library": FakeLibrary(), "numeric": NumericConfig(actions="multi_discrete")}
    conformance(lambda: gym.make("vt_env/LongVideoQANumeric-v0", **choices))


def test_of_two_numbers_each_has_a_mask_and_what_makes_no_sense_costs_a_call():
    env = make(numeric=NumericConfig(candidates=6, actions="multi_discrete"), budget=BudgetConfig(2, 8, 8))
    mask = play_pairs(env)["action_mask"].tolist()
    assert mask == [1, 1, 1, 0, 0, 0, 0, 1] + [1] * 4 + [0] * 2
    assert play_pairs(env, (3, 5))["error"] == "malformed"
    mask = play_pairs(env, (0, 0), (0, 0))["action_mask"].tolist()
    assert mask == [0] * 7 + [1] + [1] * 4 + [0] * 2


def test_a_pair_outside_the_space_is_refused_with_what_is_allowed():
    env = make(numeric=NumericConfig(actions="multi_discrete"))
    env.reset(seed=0)
    for wrong in (3, (0, 0, 0), np.array([8, 0]), np.array([0, 4]), np.array([0.5, 1]), "look_at_0"):
        with pytest.raises(gym.error.InvalidAction, match="need two whole numbers below 8 and 4"):
            env.step(wrong)
    with pytest.raises(ConfigError, match=r"numeric.actions='pairs': allowed are discrete, multi_discrete"):
        NumericConfig(actions="pairs")  # type: ignore[arg-type]
