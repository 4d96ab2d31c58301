"""Finds the videos and subtitles of a benchmark below its folder, by name and whatever their suffix."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")
"""Compared without case, since official archives mix `.mp4` and `.MP4`."""
SUBTITLE_SUFFIXES = (".srt", ".vtt", ".json", ".jsonl")


class MediaFolder:
    """The videos and subtitles below a folder. File names keep their case: those of YouTube differ by it alone."""

    def __init__(self, root: Path) -> None:
        """List the folder once."""
        self.root = root
        self._videos: defaultdict[str, list[Path]] = defaultdict(list)
        self._subtitles: defaultdict[str, list[Path]] = defaultdict(list)
        for parent, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                stem, dot, suffix = name.rpartition(".")
                if f"{dot}{suffix}".lower() in VIDEO_SUFFIXES:
                    self._videos[stem].append(Path(parent) / name)
                elif f"{dot}{suffix}".lower() in SUBTITLE_SUFFIXES:
                    self._subtitles[stem].append(Path(parent) / name)

    def video(self, names: Sequence[str]) -> Path | None:
        """Return the file of the first name that has one; a name may have folders, which must then be its last ones."""
        return _first(self._videos, names)

    def subtitles(self, name: str) -> Path | None:
        """Return the subtitle file of a name, or `None`."""
        return _first(self._subtitles, [name])


def _first(files: dict[str, list[Path]], names: Sequence[str]) -> Path | None:
    for name in names:
        wanted = PurePosixPath(name)
        stem = wanted.stem if wanted.suffix.lower() in VIDEO_SUFFIXES + SUBTITLE_SUFFIXES else wanted.name
        folders = wanted.parent.parts
        for path in files.get(stem, ()):
            if path.parent.parts[len(path.parent.parts) - len(folders) :] == folders:
                return path
    return None
