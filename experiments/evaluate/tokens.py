"""Count what an episode can cost in tokens: `vt-env tokens TASKS --model M`.

Needs the model's processor or tokenizer alone, no weights and no GPU. Videos that were not generated yet are not made,
and nothing is indexed.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import tyro

from experiments.settings.episode_tokens import EpisodeTokens, TokenPart, count_episode_tokens
from experiments.settings.picture_sizes import native_sizes_px
from experiments.settings.profile import is_world
from experiments.settings.prompts import EpisodeConfig, choose_prompts
from vt_env.config import EnvConfig, at_least, resolve_budget
from vt_env.errors import ConfigError
from vt_env.markdown import markdown_table
from vt_env.prompts import resolve_prompts
from vt_env.task_sources import load_tasks
from vt_env.tools.builtin import can_search, tools_for

_SHOWN_ERRORS = 3


@dataclass(frozen=True)
class TokensRun(EpisodeConfig):
    """Count what an episode can cost in tokens, by part, at the limit of its budget."""

    tasks: Annotated[str, tyro.conf.Positional]
    """Task set: a name such as `world` or `talks`, a folder, or a JSONL file."""
    model: str
    """Folder or hub name of a checkpoint; its processor or tokenizer alone is read."""
    split: str = "test"
    """Split of the tasks."""
    perception: Literal["frames", "captions"] = "frames"
    """What looking returns."""
    budget: str | None = None
    """Budget of an episode: a preset, optionally with changes (`paper,max_image_tokens=16000`), or changes alone of the
    profile's."""
    tools: Literal["default", "paper", "adaptive", "none"] | None = None
    """Tool set."""
    reply_tokens: int | None = None
    """Longest reply; by default the checkpoint's own or the profile's, as for `vt-env eval`."""
    context_tokens: int | None = None
    """Longest conversation; by default the checkpoint's own."""
    json: bool = False
    """Print JSON instead of a table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("reply_tokens", "context_tokens"):
            at_least(self, name, 1)

    @property
    def plays_world(self) -> bool:
        """Whether the tasks are of the generated world."""
        return is_world(self.tasks)

    @property
    def known_model(self) -> str | None:
        """The model."""
        return self.model


def main(run: TokensRun) -> int:
    """Count and print.

    Returns:
        0, or 1 if an episode may exceed the model's context.
    """
    counted, notes = count(run)
    for note in notes:
        print(note, file=sys.stderr)
    if run.json:
        print(json.dumps(_as_json(counted), indent=1))
    else:
        print("\n".join(_lines(counted)))
    return int(counted.fits is False)


def count(run: TokensRun) -> tuple[EpisodeTokens, list[str]]:
    """Count the tokens of an episode.

    Returns:
        The tokens, and one line for each thing that was left out or does not fit.

    Raises:
        ConfigError: There is no such task set or checkpoint, or the budget is impossible.
    """
    from agents.backends.load import load_processor
    from agents.backends.own_sampling import own_sampling
    from experiments.settings.models import context_of

    tasks = load_tasks(run.tasks, run.split)
    chosen = run.chosen
    prompts = choose_prompts(run.prompts, run.model, other=resolve_prompts(chosen.prompts))
    config = EnvConfig(run.perception, resolve_budget(chosen.budget), media=chosen.media, prompts=prompts)
    processor = load_processor(run.model)
    searched = can_search(run.open_library(), tasks.videos)
    tools = tools_for(run.perception, run.offered, can_search=searched, answers=prompts.answers)
    context_tokens = run.context_tokens or context_of(run.model)
    own = own_sampling(run.model, processor, context_tokens, chosen.reply_tokens)
    reply_tokens = run.reply_tokens or own.max_new_tokens
    if reply_tokens is None:
        raise ConfigError(f"model {run.model!r} names no longest reply; give --reply-tokens")
    sizes_px, unread = native_sizes_px(tasks)
    counted = count_episode_tokens(
        processor, list(tasks), config, tools, sizes_px, reply_tokens=reply_tokens, context_tokens=context_tokens
    )
    return counted, [*_unread_lines(unread), *_mismatch_lines(counted)]


def _unread_lines(unread: list[str]) -> Iterator[str]:
    yield from (f"not counted: {line}" for line in unread[:_SHOWN_ERRORS])
    if len(unread) > _SHOWN_ERRORS:
        yield f"not counted: {len(unread) - _SHOWN_ERRORS} more videos that cannot be read"


def _mismatch_lines(counted: EpisodeTokens) -> Iterator[str]:
    for it in counted.pictures:
        if it.counted not in (None, it.tokens):
            shown = " x ".join(map(str, it.shown_px))
            yield (
                f"pictures of {shown} px: {it.tokens} image tokens by media.patch_px, the model's processor counts "
                f"{it.counted}, since it resizes them; give --media.patch-px and --media.min-pixels of the model"
            )


def _lines(counted: EpisodeTokens) -> Iterator[str]:
    yield "An episode that sees every frame of its budget; its other calls return the largest text:\n"
    rows = [_row(part) for part in counted.parts]
    limit = "not known" if counted.context_tokens is None else f"context {counted.context_tokens:,}"
    verdict = {True: f"fits, {limit}", False: f"does not fit, {limit}", None: f"context {limit}"}[counted.fits]
    yield from markdown_table(
        ("part", "tokens", "times", "total", ""), [*rows, ("total", "", "", f"{counted.total:,}", verdict)]
    )
    if counted.results:
        yield "\nText of one result, with what is left and what repeats the question:\n"
        rows = [(part.name, f"{part.tokens:,}", part.note) for part in counted.results]
        yield from markdown_table(("result", "tokens", ""), rows)
    yield "\nOne frame, at the shapes of the videos:\n"
    rows = [
        (_sides(it.native_px), it.videos, _sides(it.shown_px), it.tokens, "-" if it.counted is None else it.counted)
        for it in counted.pictures
    ]
    yield from markdown_table(("video, px", "videos", "shown, px", "image tokens", "by the processor"), rows)


def _row(part: TokenPart) -> tuple[str, str, str, str, str]:
    return part.name, f"{part.tokens:,}", f"{part.count:,}", f"{part.total:,}", part.note


def _sides(size_px: tuple[int, int]) -> str:
    return f"{size_px[0]} x {size_px[1]}"


def _as_json(counted: EpisodeTokens) -> dict[str, Any]:
    parts = [{**asdict(part), "total": part.total} for part in counted.parts]
    return {**asdict(counted), "parts": parts, "total": counted.total, "fits": counted.fits}
