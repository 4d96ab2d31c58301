"""Settings of all tests, and their order.

Programming errors are loud: nothing unforeseen becomes the fault of a file.

Property tests have no deadline, since how long an example takes says nothing about it. Environments in processes of
their own are forked from a process without threads: by then that of the tests has many, whose locks a fork would keep.
"""

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
os.environ["VT_ENV_LOUD"] = "1"
multiprocessing.set_forkserver_preload(["pytest", "vt_env.testing"])

LONGEST = "test_reproduce.py"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files that are slow as a whole unread in the quick loop.

    Their imports (torch, TRL) alone take half a minute in each process.
    """
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text() or None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the files that tests have written for a reader."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "written" and report.when == "call":
                    terminalreporter.write_line(str(value))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left alone with it in the end."""

    def place(item: pytest.Item) -> tuple[bool, bool]:
        return item.path.name != LONGEST, item.get_closest_marker("slow") is None

    items.sort(key=place)
