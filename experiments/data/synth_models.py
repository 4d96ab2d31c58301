"""Language models of a synthesis run: teacher, captioner, and the usage of both."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents.backends.chat_wire import Complete, Completer
from agents.backends.own_sampling import check_local, own_sampling, served_sampling
from agents.backends.paid_replies import ReplyJournal
from agents.backends.server_limits import ServerConfig
from agents.language.tool_calling_chat import ChatSampling
from synth.captioner import Captioner, CaptionStyle
from synth.teacher import BatchChatTeacher, BatchTeacher, ChatTeacher, ScriptedTeacher, Teacher
from vt_env.errors import ConfigError
from vt_env.media.cache.build_once import cache_root
from vt_env.tools.tool import Tool

TEACHER_REPLIES, CAPTIONER_REPLIES = "teacher_replies.jsonl", "captioner_replies.jsonl"
"""Journals of paid replies, in the run directory."""
CAPTIONS_FOLDER = "captions"
"""Folder of the captions of all runs, in the cache."""


CaptionSource = Literal["task", "screen", "server", "vllm", "transformers"]


@dataclass(frozen=True)
class TeacherConfig:
    """Teacher that writes the demonstrations."""

    kind: Annotated[Literal["scripted", "server", "vllm"], tyro.conf.arg(aliases=["--teacher"])] = "scripted"
    """Kind of teacher: `scripted` plays the generated world without a model, `server` calls an OpenAI-compatible server
    with native tool calls, `vllm` runs a checkpoint in this process."""
    persistence: float = 0.8
    """With `scripted`: probability of continuing after a wrong candidate; below 1, attempts at a question differ."""
    model: str = ""
    """With `vllm`: checkpoint folder or hub name."""
    server: ServerConfig = field(default_factory=ServerConfig)
    """Server of the kind `server`."""
    sampling: ChatSampling = field(default_factory=ChatSampling)
    """Sampling of a model's replies."""
    batch_size: int = 64
    """With `vllm`: number of concurrent attempts."""

    def __post_init__(self) -> None:
        if self.kind == "vllm" and not self.model:
            raise ConfigError("teacher.kind='vllm' needs a checkpoint: give --teacher.model")
        if self.kind == "vllm":
            check_local(self.sampling)
        if not 0 <= self.persistence <= 1:
            raise ConfigError(f"teacher.persistence={self.persistence}: need a probability in [0, 1]")


@dataclass(frozen=True)
class CaptionsConfig:
    """Captions that the teacher reads in place of frames."""

    source: Annotated[CaptionSource, tyro.conf.arg(aliases=["--captions"])] = "task"
    """Source: `task` reads the captions of the tasks, such as the generated world's; `screen` takes the text on the
    screen for them (with --screen-text); the others caption the frames of each look with a vision-language model."""
    style: CaptionStyle = "question"
    """Style: `question` conditions captions on the question, as in the paper; `plain` does not."""
    loss: float = 0.0
    """With `task`: probability of dropping each word of a caption."""
    model: str = ""
    """With `vllm` and `transformers`: checkpoint folder or hub name."""
    server: ServerConfig = field(default_factory=ServerConfig)
    """Server of the source `server`."""
    max_tokens: int = 256
    """Maximum length of a caption in tokens; a longer one is discarded."""

    def __post_init__(self) -> None:
        if self.source in ("vllm", "transformers") and not self.model:
            raise ConfigError(f"captions.source={self.source!r} needs a checkpoint: give --captions.model")
        if not 0 <= self.loss <= 1:
            raise ConfigError(f"captions.loss={self.loss}: need a probability in [0, 1]")
        if self.loss and self.source != "task":
            raise ConfigError(f"captions.loss={self.loss}: only captions of tasks lose words; give --captions.loss 0")


@dataclass(frozen=True)
class Models:
    """Models of an open run."""

    teacher: Teacher | BatchTeacher
    captioner: Captioner | None
    """Captioner; `None` if captions are those of the tasks or the text on the screen."""
    journals: Mapping[str, ReplyJournal]
    """Role (`teacher`, `captioner`) to the journal of its replies."""

    @property
    def usage(self) -> dict[str, dict[str, float]]:
        """Role to its token usage and cost in this run, earlier processes included."""
        return {role: asdict(journal.used) for role, journal in self.journals.items()}


def open_models(
    teacher: TeacherConfig, captions: CaptionsConfig, tools: tuple[Tool, ...], folder: Path, stack: ExitStack
) -> Models:
    """Open the teacher and the captioner of a run.

    Args:
        teacher: Teacher configuration.
        captions: Caption configuration.
        tools: Tools offered to the teacher.
        folder: Run directory, where replies are journalled.
        stack: Closes connections.

    Raises:
        ConfigError: A server cannot be reached, rejects the key or does not serve the model.
    """
    journals: dict[str, ReplyJournal] = {}
    captioner = None
    if captions.source not in ("task", "screen"):
        name, completer = _completer(captions.source, captions.model, captions.server, stack, sees=True)
        journals["captioner"] = ReplyJournal(folder / CAPTIONER_REPLIES, name)
        complete = journals["captioner"].through(_one(completer))
        captioner = Captioner(complete, name, cache_root() / CAPTIONS_FOLDER, captions.style, captions.max_tokens)
    if teacher.kind == "scripted":
        return Models(ScriptedTeacher(teacher.persistence), captioner, journals)
    name, completer = _completer(teacher.kind, teacher.model, teacher.server, stack, sees=False)
    own = served_sampling(None) if teacher.kind == "server" else own_sampling(teacher.model)
    sampling = teacher.sampling.or_else(own)
    print(f"teacher {name}: {sampling.describe()}")
    journal = journals["teacher"] = ReplyJournal(folder / TEACHER_REPLIES, name)
    if teacher.kind == "server":
        player: Teacher | BatchTeacher = ChatTeacher(
            name, journal.through(_one(completer)), tools, sampling, teacher.server.concurrency
        )
    else:
        player = BatchChatTeacher(name, journal.through_each(completer), tools, sampling, teacher.batch_size)
    return Models(player, captioner, journals)


def _completer(kind: str, model: str, server: ServerConfig, stack: ExitStack, *, sees: bool) -> tuple[str, Completer]:
    # Imported here, since each kind needs another extra.
    if kind == "vllm":
        from agents.backends.vllm_chat import VllmChat

        return model, VllmChat(model, max_images=64 if sees else 0)
    if kind == "transformers":
        from agents.backends.transformers_chat import TransformersChat

        return model, TransformersChat(model)
    from agents.backends.chat_client import OpenAIClient

    with OpenAIClient(server) as client:
        chosen = server.choose_model(client.served_models())
    return chosen.model, stack.enter_context(OpenAIClient(chosen))


def _one(completer: Completer) -> Complete:
    return lambda request: next(completer.complete_each([request]))
