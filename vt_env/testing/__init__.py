"""Fakes and conformance checks for tests of code that plays episodes."""

from vt_env.testing.conformance import conformance, library_conformance
from vt_env.testing.fakes import (
    FakeLibrary,
    FakeOcr,
    FakeSubtitles,
    FakeVideo,
    fake_task,
    fake_tasks,
    paint_second,
    read_second,
)
from vt_env.testing.integrations import Adapter, Conversation, Played, Received, ScriptedTurn, integration_conformance
from vt_env.testing.tiny_vlm import TinyVlm, tiny_vlm

__all__ = [
    "Adapter",
    "Conversation",
    "FakeLibrary",
    "FakeOcr",
    "FakeSubtitles",
    "FakeVideo",
    "Played",
    "Received",
    "ScriptedTurn",
    "TinyVlm",
    "conformance",
    "fake_task",
    "fake_tasks",
    "integration_conformance",
    "library_conformance",
    "paint_second",
    "read_second",
    "tiny_vlm",
]
