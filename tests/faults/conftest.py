"""A tiny world, and the process that commands are forked from; both serve the whole suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_forks import DATA, Commands
from support.killed_commands import WORLD


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="session")
def commands(inputs: Path) -> Iterator[Commands]:
    """Commands of data and evaluation, with the world written to `inputs / "world"`."""
    with Commands(inputs, (*DATA, "experiments.data.world")) as found:
        done = found.run("world", "--out", inputs / "world", *WORLD)
        assert done.code == 0, done.printed
        yield found
