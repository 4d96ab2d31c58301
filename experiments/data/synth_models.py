"""The language models of a synthesis run: who teaches, who captions, and what they have cost so far."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents.backends.chat_wire import Complete, Completer
from agents.backends.paid_replies import ReplyJournal
from agents.backends.server_limits import ServerConfig
from agents.language.tool_calling_chat import ChatSampling
from synth.captioner import Captioner, CaptionStyle
from synth.teacher import BatchChatTeacher, BatchTeacher, ChatTeacher, ScriptedTeacher, Teacher
from vt_env.errors import ConfigError, suggest
from vt_env.media.cache.build_once import cache_root
from vt_env.tools.tool import Tool

TEACHER_REPLIES, CAPTIONER_REPLIES = "teacher_replies.jsonl", "captioner_replies.jsonl"
"""Replies that were paid for, in the run directory."""
CAPTIONS_FOLDER = "captions"
"""Captions of all runs, in the cache."""


CaptionSource = Literal["task", "server", "vllm", "transformers"]


@dataclass(frozen=True)
class TeacherConfig:
    """Who writes the demonstrations."""

    kind: Annotated[Literal["scripted", "server", "vllm"], tyro.conf.arg(aliases=["--teacher"])] = "scripted"
    """`scripted` plays the generated world and needs no model; `server` asks any OpenAI-compatible server, with native
    tool calls; `vllm` runs a checkpoint in this process."""
    persistence: float = 0.8
    """Of the script: chance to go on after a wrong candidate. Below 1, so that attempts at a question differ."""
    model: str = ""
    """Of `vllm`: a checkpoint folder or hub name."""
    server: ServerConfig = field(default_factory=ServerConfig)
    sampling: ChatSampling = field(default_factory=ChatSampling)
    batch_size: int = 64
    """Of `vllm`: attempts played at once."""

    def __post_init__(self) -> None:
        if self.kind == "vllm" and not self.model:
            raise ConfigError("teacher.kind='vllm' needs a checkpoint: give --teacher.model")
        if not 0 <= self.persistence <= 1:
            raise ConfigError(f"teacher.persistence={self.persistence}: need a chance in [0, 1]")


@dataclass(frozen=True)
class CaptionsConfig:
    """What the teacher reads where a student will see frames."""

    source: Annotated[CaptionSource, tyro.conf.arg(aliases=["--captions"])] = "task"
    """`task` takes the captions that tasks bring, those of the generated world among them; the others describe the very
    frames of each look with a vision-language model."""
    style: CaptionStyle = "question"
    """`question` conditions captions on the question, as in the paper; `plain` does not."""
    loss: float = 0.0
    """Of `task`: chance to drop a word of a caption, for each word."""
    model: str = ""
    """Of `vllm` and `transformers`: a checkpoint folder or hub name."""
    server: ServerConfig = field(default_factory=ServerConfig)
    max_tokens: int = 256
    """Length at which a caption is cut off; such a one is not used."""

    def __post_init__(self) -> None:
        if self.source in ("vllm", "transformers") and not self.model:
            raise ConfigError(f"captions.source={self.source!r} needs a checkpoint: give --captions.model")
        if not 0 <= self.loss <= 1:
            raise ConfigError(f"captions.loss={self.loss}: need a chance in [0, 1]")
        if self.loss and self.source != "task":
            raise ConfigError(f"captions.loss={self.loss}: only captions of tasks lose words; give --captions.loss 0")


@dataclass(frozen=True)
class Models:
    """The models of an open run."""

    teacher: Teacher | BatchTeacher
    captioner: Captioner | None
    """`None` where tasks bring their captions."""
    journals: Mapping[str, ReplyJournal]
    """Role to its replies."""

    @property
    def usage(self) -> dict[str, dict[str, float]]:
        """Role to what it has used in this run, earlier processes included."""
        return {role: asdict(journal.used) for role, journal in self.journals.items()}


def open_models(
    teacher: TeacherConfig, captions: CaptionsConfig, tools: tuple[Tool, ...], folder: Path, stack: ExitStack
) -> Models:
    """Open the models that a run needs.

    Args:
        teacher: Who writes.
        captions: Who describes.
        tools: The tools that the teacher is offered.
        folder: The run directory, where replies are journalled.
        stack: Closes what was opened.

    Raises:
        ConfigError: A server cannot be reached, refuses the key or does not serve the model.
    """
    journals: dict[str, ReplyJournal] = {}
    captioner = None
    if captions.source != "task":
        name, completer = _completer(captions.source, captions.model, captions.server, stack, sees=True)
        journals["captioner"] = ReplyJournal(folder / CAPTIONER_REPLIES, name)
        complete = journals["captioner"].through(_one(completer))
        captioner = Captioner(complete, name, cache_root() / CAPTIONS_FOLDER, captions.style, captions.max_tokens)
    if teacher.kind == "scripted":
        return Models(ScriptedTeacher(teacher.persistence), captioner, journals)
    name, completer = _completer(teacher.kind, teacher.model, teacher.server, stack, sees=False)
    journal = journals["teacher"] = ReplyJournal(folder / TEACHER_REPLIES, name)
    if teacher.kind == "server":
        player: Teacher | BatchTeacher = ChatTeacher(
            name, journal.through(_one(completer)), tools, teacher.sampling, teacher.server.concurrency
        )
    else:
        player = BatchChatTeacher(name, journal.through_each(completer), tools, teacher.sampling, teacher.batch_size)
    return Models(player, captioner, journals)


def _completer(kind: str, model: str, server: ServerConfig, stack: ExitStack, *, sees: bool) -> tuple[str, Completer]:
    # Each of these needs a library of its own.
    if kind == "vllm":
        from agents.backends.vllm_chat import VllmChat

        return model, VllmChat(model, max_images=64 if sees else 0)
    if kind == "transformers":
        from agents.backends.transformers_chat import TransformersChat

        return model, TransformersChat(model)
    from agents.backends.chat_client import OpenAIClient

    with OpenAIClient(server) as probe:
        served = probe.served_models()
    name = server.model or (served[0] if len(served) == 1 else "")
    if name not in served:
        raise ConfigError(
            f"server.model={name!r}: {server.base_url} serves {', '.join(served[:5])}{suggest(name, served)}"
        )
    return name, stack.enter_context(OpenAIClient(replace(server, model=name)))


def _one(completer: Completer) -> Complete:
    return lambda request: next(completer.complete_each([request]))
