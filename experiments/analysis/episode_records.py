"""Episodes of a published evaluation: the numbers of `EpisodeFacts` as compressed lines, without texts and frames.

A published run directory holds `config.json`, `provenance.json` and these records in place of the journal, so that
every table is computed from it as from the run itself.
"""

import gzip
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from experiments.analysis.episode_facts import EpisodeFacts
from vt_env.errors import DataError, first_line
from vt_env.jsonl import decode_record

RECORDS = "records.jsonl.gz"


def read_records(path: Path) -> list[EpisodeFacts]:
    """Read the records of a published run directory.

    Raises:
        DataError: The file is damaged.
    """
    return list(_read(path / RECORDS))


def _read(path: Path) -> Iterator[EpisodeFacts]:
    decode = partial(decode_record, kind=EpisodeFacts)
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield decode(line)
                except (DataError, ValueError, TypeError) as reason:
                    raise DataError(f"{path}:{number}: {first_line(reason)}; publish the run anew") from reason
    except (EOFError, gzip.BadGzipFile) as reason:
        raise DataError(f"{path}: not whole ({reason}); publish the run anew") from reason
