"""Settings of commands that choose attempts by the tags that `vt-env view` has written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.runs.read_run import CONFIG
from experiments.runs.read_tags import BAD_QUESTION, read_tags, tags_path
from vt_env.errors import ConfigError, suggest

TAGS_IF_MISSING: Mapping[str, Sequence[str]] = {"exclude_tags": [], "only_tags": []}
"""Settings of run directories that were written before there were tags."""
TagJudge = Callable[[str, int], str | None]
"""Takes task id and sample; returns why the attempt is left out, `None` if it is not."""


@dataclass(frozen=True, kw_only=True)
class TagConfig:
    """Choice of attempts by their tags."""

    exclude_tags: tuple[str, ...] = ()
    """Leave out attempts with one of these tags of `vt-env view`; with `bad-question`, all attempts at the question."""
    only_tags: tuple[str, ...] = ()
    """Keep only attempts with one of these tags."""

    @property
    def chosen_tags(self) -> tuple[str, ...]:
        """All tags that matter."""
        return (*self.exclude_tags, *self.only_tags)

    def judges(self, paths: Sequence[Path]) -> list[TagJudge]:
        """Read the tags of each path's run.

        Args:
            paths: Run directories, or data sets and journals within one.

        Returns:
            The judge of the attempts of each path.

        Raises:
            ConfigError: No attempt of any of the runs has one of the tags.
            DataError: Tags are damaged.
        """
        if not self.chosen_tags:
            return [lambda task_id, sample: None for _ in paths]
        found = [read_tags(run_of(path)) for path in paths]
        known = sorted({tag for tags in found for own in tags.values() for tag in own})
        for tag in self.chosen_tags:
            if tag not in known:
                where = ", ".join(str(tags_path(run_of(path))) for path in paths)
                allowed = f"its tags are {', '.join(known)}{suggest(tag, known)}" if known else "there are none"
                raise ConfigError(f"tag {tag!r}: no attempt has it in {where}; {allowed}; vt-env view writes tags")
        return [self._judge(tags) for tags in found]

    def _judge(self, tags: dict[tuple[str, int], list[str]]) -> TagJudge:
        bad = {task_id for (task_id, _), own in tags.items() if BAD_QUESTION in own}

        def judge(task_id: str, sample: int) -> str | None:
            own = tags.get((task_id, sample), [])
            excluded = [tag for tag in self.exclude_tags if tag in own or (tag == BAD_QUESTION and task_id in bad)]
            if excluded:
                return f"tagged {', '.join(excluded)}"
            if self.only_tags and not set(self.only_tags) & set(own):
                return f"not tagged {' or '.join(self.only_tags)}"
            return None

        return judge


def run_of(path: Path) -> Path:
    """Return the run directory that a data set or a journal belongs to; the path itself where there is none."""
    near = [path, *path.resolve().parents][:3]
    return next((folder for folder in near if (folder / CONFIG).exists()), path)
