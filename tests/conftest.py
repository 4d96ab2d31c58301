"""Settings of all tests, and their order.

Property tests have no deadline, since how long an example takes says nothing about it. Environments in processes of
their own are forked from a process without threads: by then that of the tests has many, whose locks a fork would keep.
"""

import multiprocessing

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
multiprocessing.set_forkserver_preload(["pytest", "vt_env.testing"])

LONGEST = "test_reproduce.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left alone with it in the end."""

    def place(item: pytest.Item) -> tuple[bool, bool]:
        return item.path.name != LONGEST, item.get_closest_marker("train") is None

    items.sort(key=place)
