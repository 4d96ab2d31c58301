"""Prices of tokens and captions, from a dated JSON file that the user writes, since prices differ by time and seller.

{"date": "2026-11-01", "currency": "USD", "per_million_read": 0.35, "per_million_written": 1.05,
 "per_captioned_hour": 0.12}
"""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from experiments.runs.read_run import read_json
from vt_env.errors import ConfigError


@dataclass(frozen=True)
class Prices:
    """Price list."""

    date: str
    """Date of the prices."""
    currency: str = "USD"
    per_million_read: float = 0.0
    """Price of a million prompt tokens, image tokens included; every request counts in full."""
    per_million_written: float = 0.0
    """Price of a million completion tokens."""
    per_captioned_hour: float = 0.0
    """Price of captions for one hour of video, written before any question is asked."""


def read_prices(path: Path) -> Prices:
    """Read a price list.

    Raises:
        ConfigError: A key is unknown or missing, or a price is not a finite number of at least 0.
        DataError: The file is missing or is not JSON.
    """
    row = read_json(path)
    known = [field.name for field in fields(Prices)]
    unknown = sorted(row.keys() - set(known))
    if unknown or not isinstance(row.get("date"), str):
        wrong = f"unknown key {unknown[0]!r}" if unknown else f"date={row.get('date')!r} is no text"
        raise ConfigError(f"{path}: {wrong}; allowed keys are {', '.join(known)}; 'date' is required, as text")
    for name, value in row.items():
        if name.startswith("per_") and not _is_price(value):
            raise ConfigError(f"{path}: {name}={value!r}; need a finite number of at least 0")
    return Prices(**row)


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
