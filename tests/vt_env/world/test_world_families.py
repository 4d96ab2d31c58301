"""Question families: one right answer by brute force, no hint in the text, and settings that have their effect."""

from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageFont

from experiments.bench.fixtures.perfect_reader import Seen, possible_options
from experiments.bench.world_ceilings import best_blind_rule, captions_view, evidence_view, uniform_view
from experiments.cli import run
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.decode.video_file import open_video
from vt_env.media.library import VideoLibrary
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Box
from vt_env.world.captions import write_captions
from vt_env.world.config import full_world
from vt_env.world.families import ALL_FAMILIES
from vt_env.world.render import place_box, render_scene, shape_box
from vt_env.world.script import Scene, VideoScript, WorldConfig, write_script
from vt_env.world.tasks import WorldVideo, world_tasks, world_videos
from vt_env.world.vocabulary import COLOURS

FULL = replace(full_world(), videos=12, tasks_per_video=6)
SHORT = replace(full_world(), duration_min_s=120, duration_max_s=200, scene_min_s=4, scene_max_s=6, videos=2)
NEW = ("counting", "ordering", "grounding", "detail", "absence")


@pytest.fixture(scope="module")
def families() -> dict[str, TaskSet]:
    return {family: world_tasks("test", [family], FULL) for family in ALL_FAMILIES}


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_the_whole_video_leaves_exactly_the_gold_option(families: dict[str, TaskSet], family: str):
    assert len(families[family]) >= 40
    for task in families[family]:
        script = whole_script(task)
        everything = Seen(script.scenes, script.subtitles, is_all=True, is_close=True)
        assert task.gold and possible_options(task.item, everything) == [task.gold.answer_idx], task


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_the_evidence_alone_leaves_exactly_the_gold_option(families: dict[str, TaskSet], family: str):
    for task in families[family]:
        assert task.gold and possible_options(task.item, evidence_view(task)) == [task.gold.answer_idx], task


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_captions_tell_the_answer_of_all_but_small_print(families: dict[str, TaskSet], family: str):
    for task in families[family]:
        left = possible_options(task.item, captions_view(task))
        assert task.gold and task.gold.answer_idx in left
        assert len(left) == (3 if family == "detail" else 1)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_eight_frames_never_rule_out_the_gold_option_and_seldom_suffice(families: dict[str, TaskSet], family: str):
    left = [possible_options(task.item, uniform_view(whole_script(task))) for task in families[family]]
    golds = [task.gold.answer_idx for task in families[family] if task.gold]
    assert all(gold in options for gold, options in zip(golds, left, strict=True))
    assert sum(len(options) == 1 for options in left) < len(left) / 2


def whole_script(task: Task) -> VideoScript:
    assert isinstance(task.prepare, WorldVideo)
    return script_of(task.prepare)


@cache
def script_of(video: WorldVideo) -> VideoScript:
    return video.script()


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_sets_are_sound_and_their_evidence_lies_in_the_video(families: dict[str, TaskSet], family: str):
    assert families[family].validate() == []
    for task in families[family]:
        assert task.gold and task.gold.evidence
        assert all(span.end_s <= whole_script(task).duration_s for span in task.gold.evidence)
        assert len(task.gold.evidence_boxes) == (family == "detail")


@pytest.mark.slow
def test_a_written_video_holds_the_evidence_and_its_set_validates(tmp_path):
    tasks = world_tasks("test", ["all"], SHORT, tmp_path)
    assert tasks.families == sorted(ALL_FAMILIES)
    assert tasks.validate(VideoLibrary(MediaConfig(), tmp_path / "media")) == []


@pytest.mark.parametrize("family", NEW)
def test_the_best_rule_over_the_text_alone_is_no_better_than_chance(family: str):
    """Chosen on one half and measured on the other; the bound is four standard errors of a fair guess among four."""
    config = replace(FULL, videos=40, tasks_per_video=4)
    chosen, measured = (world_tasks(split, [family], config) for split in ("val", "test"))
    rule = best_blind_rule(chosen)
    rate = np.mean([task.gold is not None and rule(task.item) == task.gold.answer_idx for task in measured])
    assert abs(rate - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(measured))


def test_every_wrong_order_is_about_equally_frequent_beside_the_right_one():
    wrong: Counter[tuple[int, ...]] = Counter()
    tasks = world_tasks("test", ["ordering"], replace(FULL, videos=40, tasks_per_video=4))
    for task in tasks:
        assert task.gold
        right = task.item.options[task.gold.answer_idx].split(", ")
        orders = [tuple(right.index(name) for name in option.split(", ")) for option in task.item.options]
        wrong.update(order for order in orders if order != (0, 1, 2))
    # Three of the five wrong orders are drawn for each question.
    assert len(wrong) == 5
    bound = 4 * np.sqrt(0.6 * 0.4 / len(tasks))
    assert all(abs(count / len(tasks) - 0.6) < bound for count in wrong.values())


def test_every_count_is_about_equally_frequent_in_short_and_long_videos():
    tasks = world_tasks("train", ["counting"], replace(FULL, videos=120))
    counts: dict[bool, Counter[str]] = defaultdict(Counter)
    for task in tasks:
        assert task.gold
        counts[whole_script(task).duration_s > 1300][task.item.options[task.gold.answer_idx]] += 1
    for found in counts.values():
        n = found.total()
        assert n >= 100 and set(found) == {"1", "2", "3", "4"}
        assert all(abs(count / n - 0.25) < 4 * np.sqrt(0.25 * 0.75 / n) for count in found.values())


def test_a_family_is_asked_the_same_alone_as_among_all():
    together = {(it.item.video.handle, it.item.question, it.item.options) for it in world_tasks("test", ["all"], FULL)}
    alone = {
        (it.item.video.handle, it.item.question, it.item.options)
        for family in ALL_FAMILIES
        for it in world_tasks("test", [family], FULL)
    }
    assert together <= alone


def test_all_families_are_reachable_by_name_and_any_head_mixes_them():
    head = load_tasks("world/all", "train").head(80)
    counts = Counter(task.item.family for task in head)
    assert set(counts) == set(ALL_FAMILIES) and max(counts.values()) - min(counts.values()) <= 2
    assert load_tasks("world/counting", "test").families == ["counting"]


@pytest.mark.parametrize(
    ("families", "config", "message"),
    [
        (["counting"], WorldConfig(), "world.events=0: nothing to count"),
        (["detail"], WorldConfig(), "world.detail_px=0: no small print"),
        (["countin"], None, "did you mean 'counting'"),
    ],
)
def test_an_unsupported_family_names_the_setting_to_change(families, config, message: str):
    with pytest.raises(ConfigError, match=message):
        world_tasks("test", families, config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"duration_max_s": 5}, "duration_max_s=5: need duration_min_s or more"),
        ({"scene_min_s": 50}, "scene_max_s=40: need scene_min_s or more"),
        ({"events": 1}, "events=1: need 0, or 2 to 9"),
        ({"facts": 13}, "facts=13: need 0 to 12"),
        ({"detail_px": 19}, "detail_px=19: need 0 to a twelfth of size_px"),
        ({"caption_loss": 1.5}, "caption_loss=1.5: need 0 to 1"),
        ({"distractors": -1}, "distractors=-1: need 0 or more"),
    ],
)
def test_settings_out_of_range_raise(settings: dict[str, float], message: str):
    with pytest.raises(ConfigError, match=message):
        WorldConfig(**settings)


@pytest.mark.parametrize(("events", "distractors"), [(2, 0), (4, 1), (6, 3)])
def test_counted_things_are_shown_up_to_events_times_among_that_many_look_alikes(events: int, distractors: int):
    counts: set[int] = set()
    for seed in range(30):
        script = write_script(seed, WorldConfig(events=events, distractors=distractors))
        for colour, shape in script.repeated:
            same = [scene.shape for scene in script.scenes if scene.colour == colour]
            counts.add(same.count(shape))
            assert len(same) - same.count(shape) >= distractors
    assert counts == set(range(1, events + 1))


def test_more_events_and_small_print_change_neither_times_nor_what_is_said():
    plain, full = (write_script(3, config) for config in (WorldConfig(), full_world()))
    assert [scene.interval for scene in plain.scenes] == [scene.interval for scene in full.scenes]
    assert [scene.colour for scene in plain.scenes] == [scene.colour for scene in full.scenes]
    assert plain.subtitles == full.subtitles


def test_a_greater_caption_loss_drops_the_same_words_and_more():
    script = write_script(0, WorldConfig())
    kept = [
        [line.text.split() for line in write_captions(script, WorldConfig(caption_loss=loss))]
        for loss in (0.0, 0.3, 0.6, 1.0)
    ]
    assert [" ".join(words) for words in kept[0]] == [scene.caption for scene in script.scenes]
    sizes = [sum(map(len, words)) for words in kept]
    assert 0.6 < sizes[1] / sizes[0] < 0.8 and sizes[1] > sizes[2] > sizes[3] == len(script.scenes)
    # A caption that lost all its words keeps one, so only longer ones are compared.
    for more, fewer in ((kept[0], kept[1]), (kept[1], kept[2])):
        assert all(set(few) <= set(many) for many, few in zip(more, fewer, strict=True) if len(few) > 1)


def test_a_gold_box_holds_the_shape_and_its_small_number():
    for seed in range(12):
        scene = write_script(seed, full_world()).scenes[0]
        box, size_px = shape_box(scene, 448), 448
        shown = render_scene(scene, size_px, 18).astype(int)
        rows, columns = np.nonzero(np.abs(shown - COLOURS[scene.colour]).sum(axis=-1) < 6)
        inside = (columns >= box.left * size_px - 1) & (columns <= box.right * size_px + 1)
        inside &= (rows >= box.top * size_px - 1) & (rows <= box.bottom * size_px + 1)
        assert inside.mean() > 0.99
        assert columns.min() < box.left * size_px + 3 and columns.max() > box.right * size_px - 4
        without = render_scene(replace(scene, detail=None), size_px).astype(int)
        rows, columns = np.nonzero((shown != without).any(axis=-1))
        middle = (box.left + box.right) / 2 * size_px
        assert abs(columns.mean() - middle) < 0.1 * size_px and len(rows) > 100


def test_digits_of_small_print_are_too_low_in_stored_frames_and_high_enough_in_a_crop_of_the_gold_box():
    """The lowest digits that a matrix font can draw are 5 pixels high."""
    config, stored_px = full_world(), 112
    left, top, right, bottom = ImageFont.load_default(size=config.detail_px).getbbox("80")
    height_px = bottom - top
    assert height_px * stored_px / config.size_px < 4
    for task in world_tasks("test", ["detail"], FULL):
        assert task.gold
        (box,) = task.gold.evidence_boxes
        side_px = max(box.right - box.left, box.bottom - box.top) * config.size_px
        assert height_px * stored_px / side_px > 5.5
        assert right - left < (box.right - box.left) * config.size_px / 3


@pytest.mark.slow
def test_a_decoded_crop_shows_the_small_number_of_its_scene_and_no_other(tmp_path):
    config = replace(SHORT, videos=1)
    (video,) = world_videos("test", config, tmp_path)
    video(video.ref())
    opened = open_video(video.ref().path)
    assert opened.size_px == (448, 448)
    for scene in video.script().scenes[:12]:
        shown = opened.frames_at([scene.interval.middle_s]).data[0].astype(int)
        misfit = {number: np.abs(shown - painted(scene, number, config)).sum() for number in range(10, 100)}
        assert min(misfit, key=lambda number: misfit[number]) == scene.detail


def painted(scene: Scene, detail: int, config: WorldConfig) -> NDArray[np.int64]:
    return render_scene(replace(scene, detail=detail), config.size_px, config.detail_px).astype(np.int64)


def test_a_closer_look_at_the_place_a_caption_names_shows_the_small_print():
    config = full_world()
    script = write_script(5, config)
    for scene, caption in zip(script.scenes, write_captions(script, config), strict=True):
        *_, side, height = caption.text.split()
        (close_up,) = caption.close_ups
        assert close_up.text == f"small {scene.detail}"
        assert close_up.is_legible(place_box(side, height))
        assert not close_up.is_legible(Box(0, 0, 1, 1))


@pytest.mark.slow
def test_the_command_writes_a_world_that_holds_what_is_asked_for(tmp_path):
    assert run(["world", "--out", str(tmp_path), "--families", "all", "--world.videos", "1"]) == 0
    assert {task.item.family for task in load_tasks(tmp_path)} == set(ALL_FAMILIES)
