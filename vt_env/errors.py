"""The error model: two audiences, two kinds of error.

* `ToolError` is written for the model. It is the only error text a model ever sees; it says what was got, what is
  allowed and what to do instead, and the episode goes on.
* A malformed action is not an exception at all: it is parsed into `Malformed` and answered with the schema.
* `DataError` means that a video, an index or an annotation is not what it claims to be. It ends the episode, which is
  then marked invalid: masked in training and reported as unscored in evaluation, never turned into a reward of 0.
* `ConfigError` means that the caller asked for something impossible; the command line prints it and exits with 2.

Everything else is a bug of ours and stays loud.
"""

import difflib
import errno
import os
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager

_MOST = 1000
"""Maximum number of characters of a message for people."""


class VtEnvError(Exception):
    """Base of the errors this package raises on purpose."""


class _OneLine(VtEnvError):
    """A message for people: one line, and without its middle where it quotes a value of thousands of characters."""

    def __init__(self, message: str = "") -> None:
        line = re.sub(r"\s*[\r\n]+\s*", " ", message)
        if len(line) > _MOST:
            line = f"{line[: _MOST // 2]} … {line[-_MOST // 2 :]}"
        super().__init__(line)


class ToolError(VtEnvError):
    """A call the model may correct. The message is shown to the model: got, allowed, remedy."""


class BudgetError(ToolError):
    """A call that the budget no longer allows."""


class DataError(_OneLine):
    """A file or record cannot be used. The message names the file, the defect and the remedy."""


class ConfigError(_OneLine):
    """The caller asked for something impossible. The message says got, allowed, remedy."""


class EpisodeOver(VtEnvError):
    """An action was applied to an episode that has ended; build a fresh episode."""


_SHORTAGES = (errno.EMFILE, errno.ENFILE)

LOUD = "VT_ENV_LOUD"
"""Environment variable for tests; where it is set, `foreign_input` lets unforeseen exceptions through."""


@contextmanager
def foreign_input(name: object) -> Generator[None]:
    """Turn an unforeseen exception of reading one element of a collection, such as a file, into its `DataError`.

    Readers and their libraries cannot foresee all that strangers write, and one element must not end the others. Errors
    of this package, of the system and of memory pass, as they are no fault of the element.

    Args:
        name: The element, which begins the message.

    Raises:
        DataError: The block raised something else; the message has its class.
    """
    try:
        yield
    except (VtEnvError, OSError, MemoryError):
        raise
    except Exception as error:
        if os.environ.get(LOUD):
            raise
        told = f"{name}: cannot be read ({type(error).__name__}: {first_line(error)[:120]})"
        raise DataError(f"{told}; keep what is readable, and report the file if others read it") from error


def is_shortage(error: BaseException) -> bool:
    """Return whether an error of the system says that descriptors are used up, and nothing about the file."""
    return isinstance(error, OSError) and error.errno in _SHORTAGES


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra; ends an error message. `uv` minds what this project overrides."""
    return f"uv pip install -e '.[{extra}]' in the repository"


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` with the known name nearest to `name`, or nothing; ends an error message."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class where there is none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
