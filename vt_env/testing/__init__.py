"""Fakes and conformance checks for tests of code that plays episodes."""

from vt_env.testing.conformance import conformance, library_conformance
from vt_env.testing.fakes import FakeLibrary, FakeSubtitles, FakeVideo, fake_task, fake_tasks, paint_second, read_second

__all__ = [
    "FakeLibrary",
    "FakeSubtitles",
    "FakeVideo",
    "conformance",
    "fake_task",
    "fake_tasks",
    "library_conformance",
    "paint_second",
    "read_second",
]
