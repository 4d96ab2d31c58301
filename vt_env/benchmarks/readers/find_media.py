"""Index of the video and subtitle files of a benchmark, by name and regardless of suffix."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vt_env.benchmarks.readers.rows import SubtitleForm, SubtitleSource

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")
"""Case-insensitive, since official archives mix `.mp4` and `.MP4`."""
SUBTITLE_SUFFIXES = {
    SubtitleForm.SRT: (".srt", ".vtt"),
    SubtitleForm.WORDS: (".jsonl",),
    SubtitleForm.LONGVIDEOBENCH: (".json",),
}
"""Suffixes of each format, needed since annotation files may share a stem with subtitles."""
_ALL_SUFFIXES = (*VIDEO_SUFFIXES, *(suffix for suffixes in SUBTITLE_SUFFIXES.values() for suffix in suffixes))


class MediaFolder:
    """Videos and subtitles below a folder, listed once. Names are case-sensitive, as YouTube ids are.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: defaultdict[str, list[Path]] = defaultdict(list)
        for parent, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(parent) / name
                if path.suffix.lower() in _ALL_SUFFIXES:
                    self._files[path.stem].append(path)

    def video(self, names: Sequence[str]) -> Path | None:
        """Return the video of the first name that matches a file, or `None`.

        Folders in a name must match the last folders of the path.
        """
        return self._first(names, VIDEO_SUFFIXES)

    def subtitles(self, source: SubtitleSource) -> Path | None:
        """Return the subtitle file of `source`, or `None`."""
        return self._first([source.name], SUBTITLE_SUFFIXES[source.form])

    def _first(self, names: Sequence[str], suffixes: Sequence[str]) -> Path | None:
        for name in names:
            wanted = PurePosixPath(name)
            stem = wanted.stem if wanted.suffix.lower() in _ALL_SUFFIXES else wanted.name
            folders = wanted.parent.parts
            for path in self._files.get(stem, ()):
                ends = path.parent.parts[len(path.parent.parts) - len(folders) :] == folders
                if ends and path.suffix.lower() in suffixes:
                    return path
        return None
