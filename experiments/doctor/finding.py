"""Result of a check, printed as one line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Result of one check: a fact, and a remedy where it is not as it should be."""

    name: str
    is_ok: bool
    detail: str
    is_needed: bool = False
    """Whether `vt-env doctor` fails without it; everything else belongs to an extra."""

    def __str__(self) -> str:
        """Return the line."""
        mark = "ok" if self.is_ok else ("BROKEN" if self.is_needed else "-")
        return f"{mark:<7}{self.name:<14}{self.detail}"
