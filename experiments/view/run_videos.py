"""Pictures, videos and gold evidence of the episodes of a run, opened by the settings of its `config.json`.

Everything here may be missing: a run is readable where its videos are gone.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.analysis.gold_spans import gold_of
from experiments.settings.library import library_config
from synth.frame_files import read_pictures
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.media.library import Video, VideoLibrary
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task


@dataclass
class RunVideos:
    """Videos of a run."""

    config: Mapping[str, Any]

    def picture(self, episode: Trajectory, number: int) -> bytes:
        """Draw a picture as the policy saw it, as PNG.

        Args:
            episode: The episode.
            number: Place of the picture among all of the episode, those beside the question first.

        Raises:
            DataError: There is no such picture, or the video cannot be read.
            ConfigError: The tasks of the run cannot be loaded.
        """
        frame = _frame(episode, number)
        return _png(Image.fromarray(read_pictures(self._open(episode), [frame])[0]))

    def picture_or_none(self, episode: Trajectory, number: int) -> bytes | None:
        """Draw a picture as `picture`; `None` where the video or the tasks are gone."""
        try:
            return self.picture(episode, number)
        except (ConfigError, DataError):
            return None

    def whole_frame(self, episode: Trajectory, number: int) -> bytes:
        """Draw a whole frame as `whole_image`, as PNG.

        Raises:
            DataError: As `picture`.
            ConfigError: As `picture`.
        """
        return _png(self.whole_image(episode, number))

    def whole_image(self, episode: Trajectory, number: int, max_px: int = 1280) -> Image.Image:
        """Decode the whole frame that a picture shows or is cut from, at the size of the video.

        Args:
            episode: The episode.
            number: As `picture`.
            max_px: Longest side; larger frames are made smaller.

        Raises:
            DataError: As `picture`.
            ConfigError: As `picture`.
        """
        frame = _frame(episode, number)
        picture = Image.fromarray(self._open(episode).store.video.frames_at([frame.time_s]).data[0])
        picture.thumbnail((max_px, max_px))
        return picture

    def video_path(self, episode: Trajectory) -> Path:
        """Return the video file of an episode.

        Raises:
            DataError: It is gone, or is a folder of pictures.
            ConfigError: As `picture`.
        """
        path = Path(self._task(episode.task_id).item.video.path)
        if not path.is_file():
            raise DataError(f"video {episode.video_handle}: its file is not there")
        return path

    def evidence(self, task_id: str) -> list[list[float]]:
        """Return the gold evidence of a task as pairs of start and end in seconds; empty where there is none."""
        return [[start_s, end_s] for start_s, end_s in gold_of(self.config).spans.get(task_id, ())]

    def option_of_key(self, task_id: str) -> int | None:
        """Return the index of the right option; `None` for a task without a key.

        Raises:
            DataError: The task is no longer there.
            ConfigError: As `picture`.
        """
        gold = self._task(task_id).gold
        return None if gold is None else gold.answer_idx

    def option_or_none(self, task_id: str) -> int | None:
        """Return the index of the right option; `None` without a key, or where the tasks are gone."""
        try:
            return self.option_of_key(task_id)
        except (ConfigError, DataError):
            return None

    @cached_property
    def _tasks(self) -> Mapping[str, Task]:
        name, split = str(self.config.get("tasks", "")), str(self.config.get("split", "")) or None
        if not name:
            raise ConfigError("config.json of the run names no tasks, so that its videos cannot be opened")
        return {task.item.task_id: task for task in load_tasks(name, split)}

    @cached_property
    def _library(self) -> VideoLibrary:
        return library_config(self.config).open_library()

    def _task(self, task_id: str) -> Task:
        task = self._tasks.get(task_id)
        if task is None:
            raise DataError(f"{task_id}: no longer among the tasks {self.config.get('tasks')!r}")
        return task

    def _open(self, episode: Trajectory) -> Video:
        task = self._task(episode.task_id)
        task.prepare(task.item.video)
        return self._library.open(task.item.video)


def _frame(episode: Trajectory, number: int) -> Any:
    frames: Sequence[Any] = episode.frames
    if not 0 <= number < len(frames):
        raise DataError(f"picture {number}: the episode has {len(frames)}")
    return frames[number]


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
