"""Code blocks and inline code of README and docs, each block with the comment above it."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HISTORY = (ROOT / "docs/lab_log.md", ROOT / "CHANGELOG.md")
"""Documents about the past: names in them are those of their time."""
DOCUMENTS = tuple(
    path
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("experiments/**/*.md"))
    if path not in HISTORY
)
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """One code block and the comment above it."""

    document: Path
    mark: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Simple commands of a bash block, without line continuations."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [part.strip() for line in lines for part in line.split("&&")]


BLOCKS = [
    Block(path, it["mark"] or "", it["language"], it["text"])
    for path in DOCUMENTS
    for it in _BLOCK.finditer(path.read_text())
]


def blocks(language: str, mark: str = "") -> list[Block]:
    return [block for block in BLOCKS if block.language == language and block.mark.startswith(mark)]


def inline_code(document: Path) -> list[str]:
    return _INLINE.findall(_BLOCK.sub("", document.read_text()))
