"""Lines for the person at the terminal."""

import multiprocessing
import sys
from functools import cache


@cache
def say_once(line: str) -> None:
    """Print a line on standard error, once per run: not again by this process, and never by its worker processes."""
    if multiprocessing.parent_process() is None:
        sys.stderr.write(f"vt-env: {line}\n")
