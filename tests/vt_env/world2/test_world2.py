"""Laws of the second world: scenes, lines, events, questions of each family, captions and views."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from vt_env.errors import ConfigError
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.timed_lines import Caption, TimedLines
from vt_env.types import Box
from vt_env.world2.captions import caption_clips, write_captions, write_views
from vt_env.world2.config import World2Config
from vt_env.world2.families import ALL_FAMILIES
from vt_env.world2.layout import LEGIBLE_SIDE, detail_box, lay_out, main_box, place_box
from vt_env.world2.scenes import BURST, DOTS, FLASH, MOVING, SINGLE, TRIPLE, TWICE, dots_windows
from vt_env.world2.script import Burst, Flash, Scene, Stand, VideoScript
from vt_env.world2.sight_questions import difference, place_name
from vt_env.world2.spoken_questions import direction
from vt_env.world2.tasks import World2Video, world2_tasks

SMALL = World2Config(videos=12, tasks_per_video=26)
"""Scripts alone are cheap, so the videos have their full length."""


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return world2_tasks("train", config=SMALL)


@pytest.fixture(scope="module")
def scripts(tasks: TaskSet) -> dict[str, VideoScript]:
    videos = {task.item.video.handle: video_of(task) for task in tasks}
    return {handle: video.script() for handle, video in videos.items()}


def video_of(task: Task) -> World2Video:
    assert isinstance(task.prepare, World2Video)
    return task.prepare


def of_family(tasks: TaskSet, family: str) -> TaskSet:
    chosen = tasks.filter(lambda item: item.family == family)
    assert len(chosen) >= 12
    return chosen


def right(task: Task) -> str:
    assert task.gold
    return task.item.options[task.gold.answer_idx]


def asked_scene(task: Task, script: VideoScript) -> Scene:
    assert task.gold
    return next(it for it in script.scenes if it.interval.contains(task.gold.evidence[0].start_s))


def the_single(script: VideoScript, words: str) -> Scene:
    """The only scene whose main shape is of a colour and shape."""
    (scene,) = [it for it in script.scenes if it.main.name == words]
    return scene


def cue_of(script: VideoScript, name: str):
    (cue,) = [it for it in script.cues if it.name == name]
    return cue


def test_the_same_seed_gives_the_same_tasks_and_other_splits_other_videos(tasks):
    again = world2_tasks("train", config=SMALL)
    assert [(it.item, it.gold) for it in tasks] == [(it.item, it.gold) for it in again]
    others = {it.item.video for it in world2_tasks("test", config=SMALL)}
    assert not others & {it.item.video for it in tasks}
    assert {video_of(it).seed for it in tasks} == set(range(12))


def test_a_family_alone_has_the_questions_that_it_has_among_all(tasks):
    for family in ("flash", "compare"):
        alone = world2_tasks("train", [family], SMALL)
        both = {it.item.task_id: it for it in tasks} | {}
        shared = [it for it in alone if it.item.task_id in both]
        assert len(shared) >= 12
        for it in shared:
            assert (it.item, it.gold) == (both[it.item.task_id].item, both[it.item.task_id].gold)


def test_every_video_has_every_family_with_four_options_that_validate(tasks):
    families = defaultdict(set)
    for task in tasks:
        families[task.item.video.handle].add(task.item.family)
        assert len(task.item.options) == 4
        assert task.item.question == task.item.question.lower()
    assert all(it == set(ALL_FAMILIES) for it in families.values())
    assert tasks.validate() == []


def test_right_letters_are_balanced_in_each_family():
    letters = Counter(
        (it.item.family, it.gold.answer_idx) for it in world2_tasks("val", config=World2Config(videos=16)) if it.gold
    )
    assert letters == {(family, letter): 4 for family in ALL_FAMILIES for letter in range(4)}


def test_scenes_fill_the_video_and_neighbours_differ_in_colour(scripts):
    for script in scripts.values():
        assert 600 <= script.duration_s <= 3600
        assert script.scenes[0].interval.start_s == 0 and script.scenes[-1].interval.end_s == script.duration_s
        for one, other in pairwise(script.scenes):
            assert one.interval.end_s == other.interval.start_s and one.main.kind[0] != other.main.kind[0]
        for scene in script.scenes:
            numbers = [scene.number, scene.main.detail, *([scene.companion.detail] if scene.companion else [])]
            assert len(set(numbers)) == len(numbers)
            assert not scene.dots or scene.dots in DOTS


def test_rare_colours_are_those_of_three_main_shapes_and_of_no_companion(scripts):
    for script in scripts.values():
        companions = {it.companion.kind[0] for it in script.scenes if it.companion}
        mains = Counter(it.main.kind[0] for it in script.scenes)
        rare = {it.main.kind[0] for role in (SINGLE, TRIPLE, TWICE) for it in script.of_role(role)}
        assert len(rare) == 5 and not rare & companions
        assert all(mains[colour] == 3 for colour in rare)
        assert [len(script.of_role(role)) for role in (SINGLE, TRIPLE, TWICE, FLASH, BURST, MOVING)] == [
            10,
            3,
            2,
            1,
            1,
            2,
        ]


def test_single_shapes_are_shown_once_and_have_companion_and_dots(scripts):
    for script in scripts.values():
        for scene in script.of_role(SINGLE):
            assert the_single(script, scene.main.name) is scene
            assert scene.companion and scene.dots


def test_each_name_is_in_one_line_that_matters_and_in_others_that_do_not(scripts):
    for script in scripts.values():
        facts = [*script.cues, *script.codes, *script.namings]
        assert len(script.cues) == 10 and len(script.codes) == 3 and len(script.namings) == 4
        assert len({fact.name for fact in facts}) == len(facts)
        said = Counter(line.text for line in script.subtitles)
        assert all(said[fact.line.text] == 1 for fact in facts)
    others = [sum(cue.name in line.text.split() for line in script.subtitles) for cue in script.cues]
    assert max(others) > 1, "names of cues are said in other lines, too"


def test_a_flash_is_in_no_stored_frame_and_a_burst_in_exactly_one(scripts):
    for script in scripts.values():
        for cue in script.cues:
            start_s, end_s = cue.event.interval.start_s, cue.event.interval.end_s
            stored = [it for it in range(script.duration_s) if start_s <= it < end_s]
            if isinstance(cue.event, Flash):
                assert not stored and end_s - start_s == 0.5 and start_s == cue.line.interval.end_s + 0.5
            if isinstance(cue.event, Burst):
                assert stored == [cue.line.interval.end_s + 1] and end_s - start_s < 2
            assert cue.scene.interval.contains(start_s) and end_s <= cue.scene.interval.end_s


def test_a_needle_is_beside_its_shape_and_two_others_share_its_colour(tasks, scripts):
    for task in of_family(tasks, "needle"):
        script = scripts[task.item.video.handle]
        scene = the_single(script, task.item.question.removeprefix("what number is beside the ").rstrip("?"))
        assert right(task) == str(scene.number) and task.gold.evidence == (scene.interval,)
        alike = [it for it in script.scenes if it.main.kind[0] == scene.main.kind[0] and it is not scene]
        assert {str(it.number) for it in alike} - {right(task)} <= set(task.item.options)


@pytest.mark.parametrize("family", ["detail", "named"])
def test_small_print_is_on_the_shape_and_the_large_number_is_a_wrong_option(tasks, scripts, family):
    for task in of_family(tasks, family):
        script = scripts[task.item.video.handle]
        scene = asked_scene(task, script)
        subject = task.item.question.removeprefix("what is the small number on ").removeprefix("the ").rstrip("?")
        names = [it.name for it in script.namings if it.scene is scene] if family == "named" else [scene.main.name]
        assert subject in names
        assert right(task) == str(scene.main.detail) and str(scene.number) in task.item.options
        assert scene.companion and str(scene.companion.detail) in task.item.options


def test_places_dots_and_differences_are_those_of_the_scene(tasks, scripts):
    for task in tasks:
        scene, question = asked_scene(task, scripts[task.item.video.handle]), task.item.question
        if task.item.family == "place":
            assert question == f"where is the {scene.main.name}?" and right(task) == place_name(scene.main.place)
        if task.item.family == "dots":
            assert question == f"how many dots are beside the {scene.main.name}?" and right(task) == str(scene.dots)
            offered = sorted(map(int, task.item.options))
            assert offered == list(range(offered[0], offered[0] + 4))
        if task.item.family == "compare":
            first, second = scripts[task.item.video.handle].of_role(TWICE)
            assert first.main.kind == second.main.kind and first.size != second.size
            assert question == f"how does the second {second.main.name} differ?"
            assert right(task) == difference(first, second)


def test_a_pair_is_told_from_two_others_by_its_companion_alone(tasks, scripts):
    for task in of_family(tasks, "pair"):
        scenes = scripts[task.item.video.handle].of_role(TRIPLE)
        assert len({it.main.kind for it in scenes}) == 1 and len({it.companion.name for it in scenes}) == 3
        (asked,) = [it for it in scenes if task.item.question.endswith(f"and the {it.companion.name}?")]
        assert right(task) == str(asked.number)
        assert {str(it.number) for it in scenes} <= set(task.item.options)


@pytest.mark.parametrize("family", ["flash", "beside"])
def test_things_are_two_colours_with_two_shapes(tasks, family):
    for task in of_family(tasks, family):
        colours, shapes = zip(*(it.split() for it in task.item.options), strict=True)
        assert sorted(Counter(colours).values()) == sorted(Counter(shapes).values()) == [2, 2]


def test_events_are_what_follows_their_cue_and_the_other_event_is_a_wrong_option(tasks, scripts):
    for task in tasks:
        script = scripts[task.item.video.handle]
        name = task.item.question.rstrip("?").split()[-1]
        if task.item.family in ("flash", "burst", "motion", "spot"):
            cue = cue_of(script, name)
            event, others = cue.event, [it.event for it in script.cues if it.scene is cue.scene and it is not cue]
            if isinstance(event, Flash):
                assert right(task) == " ".join(event.kind) and " ".join(others[0].kind) in task.item.options
            elif isinstance(event, Burst):
                assert right(task) == str(event.number)
                assert {str(cue.scene.number), str(others[0].number)} <= set(task.item.options)
            elif task.item.family == "motion":
                assert right(task) == direction(event.start, event.end)
                assert sorted(it.start == it.end for it in others) == [False, True]
            else:
                assert event.start == event.end and right(task) == place_name(event.start)


def test_a_companion_is_that_of_what_the_line_names(tasks, scripts):
    for task in of_family(tasks, "beside"):
        script = scripts[task.item.video.handle]
        name = task.item.question.removeprefix("what stands beside ").rstrip("?")
        (naming,) = [it for it in script.namings if it.name == name]
        assert naming.line.text == f"{name} is the {naming.scene.main.name}"
        assert naming.scene.companion and right(task) == naming.scene.companion.name


def test_boxes_hold_what_they_are_of_and_places_do_not_overlap(tasks, scripts):
    for task in tasks:
        assert task.gold
        assert len(task.gold.evidence_boxes) == (0 if task.item.family == "subtitle" else len(task.gold.evidence))
        for box in task.gold.evidence_boxes:
            assert 0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1
    for script in scripts.values():
        for scene in script.scenes:
            box, close = main_box(scene), place_box(scene.main.place)
            assert (box.right <= 0.52 or box.left >= 0.48) and (box.bottom <= 0.52 or box.top >= 0.48)
            small = detail_box(scene.main, scene, SMALL.detail_px, SMALL.size_px)
            assert close.left <= small.left and small.right <= close.right
            assert close.top <= small.top and small.bottom <= close.bottom
            assert close.right - close.left <= LEGIBLE_SIDE
            if scene.companion:
                assert lay_out(scene).companion_radius < 0.66 * lay_out(scene).main_radius


def test_captions_say_what_stands_longest_in_each_clip_and_nothing_else(scripts):
    for script in scripts.values():
        captions = write_captions(script)
        assert [it.interval for it in captions] == caption_clips(script.duration_s)
        for caption in captions:
            shares = {it: it.interval.overlap_s(caption.interval) for it in script.scenes}
            longest = max(shares.values())
            texts = {f"{it.main.name} {it.number}" for it, share in shares.items() if share == longest}
            assert caption.text in texts and not caption.close_ups
        told = {it.text for it in captions}
        assert all(f"{it.main.name} {it.number}" in told for it in script.scenes)
        assert not told & {
            f"{it.scene.main.name} {it.event.number}" for it in script.cues if isinstance(it.event, Burst)
        }


def test_views_say_what_the_stored_frame_shows_and_close_ups_what_a_closer_look_does(scripts):
    script = next(iter(scripts.values()))
    views = TimedLines(write_views(script, SMALL))

    def view(time_s: float) -> Caption:
        (line,) = views.on_screen([time_s])
        assert isinstance(line, Caption)
        return line

    for cue in script.cues:
        end_s, event = cue.line.interval.end_s, cue.event
        main = cue.scene.main.name
        if isinstance(event, Burst):
            assert view(end_s + 1.5).text.startswith(f"{main} {event.number} ")
            assert view(end_s).text.startswith(f"{main} {cue.scene.number} ")
        if isinstance(event, Stand):
            before, after = view(event.interval.start_s).text, view(event.interval.end_s).text
            assert f" {place_name(event.start)} " in before and f" {place_name(event.end)} " in after
        if isinstance(event, Flash):
            closer = [it for it in view(end_s + 0.5).close_ups if it.is_legible(Box(0, 0, 1, 1))]
            assert [it.text for it in closer] == [f"flash {' '.join(event.kind)}"]
            assert not any("flash" in it.text for time_s in (end_s, end_s + 1) for it in view(time_s).close_ups)
    scene = script.of_role(SINGLE)[0]
    read = [it.text for it in view(scene.interval.middle_s).close_ups if it.is_legible(place_box(scene.main.place))]
    assert read == [f"small {scene.main.detail}"]


def test_all_numbers_of_dots_in_a_row_are_equally_likely():
    shares = defaultdict(float)
    windows = {count: dots_windows(count) for count in DOTS}
    for count, rows in windows.items():
        for row in rows:
            # A count is as likely as it has rows, and its rows are equally likely.
            shares[row.start, count] += len(rows) * (1 / len(rows))
    assert len(set(shares.values())) == 1 and len(shares) == 5 * 4


def test_mistakes_are_one_line():
    with pytest.raises(ConfigError, match=r"^family 'flsh': world2 has needle, .*; did you mean 'flash'\?$"):
        load_tasks("world2/flsh")
    with pytest.raises(ConfigError, match=r"^split='dev': allowed are 'train', 'val', 'test'$"):
        load_tasks("world2", "dev")
    with pytest.raises(ConfigError, match=r"^world2.duration_min_s=60: need 540 or more$"):
        World2Config(duration_min_s=60)
    with pytest.raises(ConfigError, match=r"^world2.duration_max_s=550: need duration_min_s or more$"):
        World2Config(duration_max_s=550)
    with pytest.raises(ConfigError, match=r"^world2.size_px=449: need an even number, as H.264 does$"):
        World2Config(size_px=449)
    with pytest.raises(ConfigError, match=r"^world2.detail_px=40: need 4 to a twentieth of size_px$"):
        World2Config(detail_px=40)
