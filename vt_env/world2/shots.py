"""What is on screen at each moment of a video: scenes and their events become shots."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vt_env.types import Interval
from vt_env.world.content import Shot
from vt_env.world.render import Point
from vt_env.world2.config import FRAME_RATE_HZ
from vt_env.world2.layout import centre, place_of
from vt_env.world2.render import render_picture
from vt_env.world2.script import Cue, Flash, Kind, Place, Scene, Stand, VideoScript


@dataclass(frozen=True, slots=True)
class ScenePicture:
    """A scene at a moment."""

    scene: Scene
    number: int
    """Large number on screen."""
    main_at: Point
    """Where the main shape is; the centre of a place where it stands."""
    flash: Kind | None
    detail_px: int

    @property
    def place(self) -> Place:
        """Place of the main shape; of a moving one, the nearest."""
        return place_of(self.main_at)

    def paint(self, size_px: int) -> NDArray[np.uint8]:
        """Render the picture: uint8[size_px, size_px, 3], RGB."""
        return render_picture(self.scene, self.number, self.main_at, self.flash, self.detail_px, size_px)


def write_shots(script: VideoScript, detail_px: int) -> tuple[Shot, ...]:
    """Return the shots of a video; a moving shape is in another one with each frame of the file."""
    shots: list[Shot] = []
    for scene in script.scenes:
        cues = [cue for cue in script.cues if cue.scene is scene]
        shots += _scene_shots(scene, cues, detail_px)
    return tuple(shots)


def _scene_shots(scene: Scene, cues: Sequence[Cue], detail_px: int) -> Iterator[Shot]:
    times_s = sorted({scene.interval.start_s, *(it for cue in cues for it in _changes_s(cue))})
    before: ScenePicture | None = None
    for time_s in times_s:
        picture = _picture(scene, cues, time_s, detail_px)
        if picture != before:
            yield Shot(time_s, picture)
        before = picture


def _changes_s(cue: Cue) -> Iterator[float]:
    """Yield the times at which an event changes the picture."""
    event = cue.event
    if isinstance(event, Stand):
        steps = int(event.interval.duration_s * FRAME_RATE_HZ) if event.start != event.end else 0
        yield from (event.interval.start_s + (step + 1) / FRAME_RATE_HZ for step in range(steps))
    else:
        yield from (event.interval.start_s, event.interval.end_s)


def _picture(scene: Scene, cues: Sequence[Cue], time_s: float, detail_px: int) -> ScenePicture:
    number, flash, at = scene.number, None, centre(scene.main.place)
    for event in (cue.event for cue in cues):
        if isinstance(event, Stand):
            at = _moved(event, time_s) if time_s >= event.interval.start_s else at
        elif event.interval.contains(time_s):
            if isinstance(event, Flash):
                flash = event.kind
            else:
                number = event.number
    return ScenePicture(scene, number, at, flash, detail_px)


def _moved(event: Stand, time_s: float) -> Point:
    """Return where the main shape is, during its move or after it."""
    share = min(1.0, (time_s - event.interval.start_s) / event.interval.duration_s)
    (x, y), (to_x, to_y) = centre(event.start), centre(event.end)
    return (to_x, to_y) if share == 1 else (x + share * (to_x - x), y + share * (to_y - y))


def pictures_of(shots: Sequence[Shot], duration_s: float) -> Iterator[tuple[Interval, ScenePicture]]:
    """Yield the interval and the picture of each shot."""
    ends_s = [*(shot.start_s for shot in shots[1:]), float(duration_s)]
    for shot, end_s in zip(shots, ends_s, strict=True):
        assert isinstance(shot.picture, ScenePicture)
        yield Interval(shot.start_s, end_s), shot.picture
