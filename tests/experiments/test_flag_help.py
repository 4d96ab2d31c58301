"""Every flag of every command says what it does, in whole lines."""

import dataclasses
import importlib
from dataclasses import dataclass, field

import pytest
import tyro

from experiments.cli import COMMANDS
from experiments.flag_help import write_flag_help


@dataclass(frozen=True)
class Inherited:
    """What both have."""

    first: int = 1
    """One line."""


@dataclass(frozen=True)
class Inner:
    """Nested."""

    depth: int = 0
    """How deep it lies, which takes
    two lines."""


@dataclass(frozen=True)
class Outer(Inherited):
    """The whole."""

    second: int = field(default=2, metadata={"kept": True})
    """It begins here
    and ends there."""
    inner: Inner = field(default_factory=Inner)
    """Another one."""


def test_lines_of_a_docstring_are_joined_in_inherited_and_nested_fields_too(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    write_flag_help(Outer)
    with pytest.raises(SystemExit):
        tyro.cli(Outer, args=["--help"])
    shown = capsys.readouterr().out
    for text in ("One line.", "It begins here and ends there.", "How deep it lies, which takes two lines."):
        assert text in shown


def test_other_metadata_of_a_field_stays():
    write_flag_help(Outer)
    assert next(it for it in dataclasses.fields(Outer) if it.name == "second").metadata["kept"]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_flag_of_a_command_has_a_sentence(command):
    config = getattr(importlib.import_module(command.module), command.config)
    write_flag_help(config)
    pending = [config]
    while pending:
        for it in dataclasses.fields(pending.pop()):
            if dataclasses.is_dataclass(it.type):
                pending.append(it.type)
            else:
                assert it.metadata.get("help", "").endswith((".", ")")), f"{config.__name__}.{it.name}"
