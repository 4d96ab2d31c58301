"""Code blocks of the README, each with the remark above it."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """One code block and the remark above it."""

    mark: str
    language: str
    text: str


BLOCKS = [
    Block(it["mark"] or "", it["language"], it["text"]) for it in BLOCK.finditer((ROOT / "README.md").read_text())
]


def blocks(language: str, mark: str = "") -> list[Block]:
    return [block for block in BLOCKS if block.language == language and block.mark.startswith(mark)]
