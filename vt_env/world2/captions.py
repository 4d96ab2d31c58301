"""Captions of clips by a flawless captioner, and views of a flawless reader.

Captions are written before any question is known, one for each clip of ten seconds, and say what stands longest in it:
colour and shape of the main shape, and the large number. They do not hold the companion, places, sizes, dots, motion,
flashes, numbers that burst in, and small numbers.

Views are for the teacher of demonstrations: they say everything that a frame shows, at the moments whose frames a look
would show. `vt_env.world2.tasks.with_views` gives them to tasks.

Captions by others take the place of these: write one file per video, `HANDLE.jsonl` with the rows of
`vt_env.world.write_files.captions_text`, and hand the folder to `TaskSet.with_captions`. `caption_clips` lists the
clips.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import ceil, floor

from vt_env.timed_lines import Caption, CloseUp
from vt_env.types import Interval
from vt_env.world.captions import small_print_text
from vt_env.world2.config import World2Config
from vt_env.world2.layout import LEGIBLE_SIDE, detail_box, flash_box
from vt_env.world2.script import Scene, VideoScript
from vt_env.world2.shots import ScenePicture, pictures_of, write_shots

CLIP_S = 10
"""Length of a captioned clip in seconds."""


def caption_clips(duration_s: float) -> list[Interval]:
    """Return the clips that have a caption each: ten seconds long, but for the last."""
    return [
        Interval(start_s, min(start_s + CLIP_S, duration_s))
        for start_s in (CLIP_S * number for number in range(ceil(duration_s / CLIP_S)))
    ]


def write_captions(script: VideoScript) -> list[Caption]:
    """Caption every clip; of two pictures that stand equally long, the first one."""
    shown: dict[Interval, defaultdict[str, float]] = {}
    clips = caption_clips(script.duration_s)
    for clip in clips:
        shown[clip] = defaultdict(float)
    for scene in script.scenes:
        first, last = floor(scene.interval.start_s / CLIP_S), ceil(scene.interval.end_s / CLIP_S)
        for clip in clips[first:last]:
            shown[clip][caption_text(scene)] += clip.overlap_s(scene.interval)
    return [Caption(clip, max(lengths_s, key=lambda text: lengths_s[text])) for clip, lengths_s in shown.items()]


def caption_text(scene: Scene) -> str:
    """Return the caption of a scene: `red square 12`."""
    return f"{scene.main.name} {scene.number}"


def write_views(script: VideoScript, config: World2Config) -> list[Caption]:
    """Describe the stored frame of each second; equal neighbours are one line.

    Close-ups hold the small numbers, and what flashes between two stored frames.
    """
    views: list[Caption] = []
    for interval, picture, flash in _stored(script, config):
        view = Caption(interval, view_text(picture), _close_ups(picture, flash, config))
        before = views[-1] if views else None
        if before and before.text == view.text and before.close_ups == view.close_ups:
            view = Caption(Interval(before.interval.start_s, interval.end_s), view.text, view.close_ups)
            views[-1] = view
        else:
            views.append(view)
    return views


def view_text(picture: ScenePicture) -> str:
    """Describe a picture: `red square 12 left high large, blue circle right low, dots 5`."""
    scene = picture.scene
    parts = [f"{scene.main.name} {picture.number} {' '.join(picture.place)} {scene.size}"]
    if scene.companion:
        parts.append(f"{scene.companion.name} {' '.join(scene.companion.place)}")
    if scene.dots:
        parts.append(f"dots {scene.dots}")
    return ", ".join(parts)


def flash_text(kind: Sequence[str]) -> str:
    """Return the close-up text of a thing that flashes."""
    return f"flash {' '.join(kind)}"


def _stored(script: VideoScript, config: World2Config) -> Iterator[tuple[Interval, ScenePicture, ScenePicture | None]]:
    """Yield intervals, the picture of the stored frame, and the picture with a flash, if it flashes then."""
    stored: ScenePicture | None = None
    for interval, picture in pictures_of(write_shots(script, config.detail_px), script.duration_s):
        start_s, first_s = interval.start_s, ceil(interval.start_s)
        if stored is not None and start_s < first_s:
            yield Interval(start_s, min(first_s, interval.end_s)), stored, picture if picture.flash else None
        if first_s < interval.end_s:
            stored = picture
            yield Interval(first_s, interval.end_s), picture, picture if picture.flash else None


def _close_ups(picture: ScenePicture, flash: ScenePicture | None, config: World2Config) -> tuple[CloseUp, ...]:
    scene, size_px = picture.scene, config.size_px
    boxes = [(scene.main.detail, detail_box(scene.main, scene, config.detail_px, size_px, picture.place))]
    if scene.companion:
        boxes.append((scene.companion.detail, detail_box(scene.companion, scene, config.detail_px, size_px)))
    close_ups = tuple(CloseUp(box, small_print_text(detail), LEGIBLE_SIDE) for detail, box in boxes)
    return close_ups if flash is None else (*close_ups, _flash_close_up(flash))


def _flash_close_up(picture: ScenePicture) -> CloseUp:
    assert picture.flash is not None
    return CloseUp(flash_box(picture.scene, picture.flash), flash_text(picture.flash), 1.0)
