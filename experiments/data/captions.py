"""Caption whole videos clip by clip, before any question: `vt-env captions --tasks data/world --out data/read`.

The output folder holds one captions file a video and a `tasks.jsonl` with the same tasks, which name these files: give
it to other commands as `--tasks`. An interrupted run resumes with the videos that are missing.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from agents.backends.chat_wire import Completer
from agents.backends.load import EngineConfig, load_generator, load_processor
from agents.backends.sampling import Sampling
from agents.backends.server_limits import ServerConfig
from experiments.data.world import task_row
from experiments.evaluate.episode_provenance import annotation_hash
from experiments.runs.run_dir import Run, open_run, write_text
from experiments.settings.library import LibraryConfig
from experiments.settings.models import BASE_MODEL
from experiments.settings.profile import is_world
from experiments.settings.prompts import model_prompts
from experiments.settings.token_budget import check_frame_size
from experiments.settings.written_captions import CAPTIONS_RUN, captioner_key, captions_key
from synth.clip_captions import ClipCaptioning, caption_clips, clips_of
from vt_env.config import HOW_ONLY, at_least
from vt_env.errors import ConfigError
from vt_env.jsonl import encode_record, write_lines
from vt_env.media.library import VideoLibrary
from vt_env.media.terminal import track
from vt_env.prompts import TINY
from vt_env.task_sources import load_tasks
from vt_env.tasks.read_rows import TASKS_FILE
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import VideoRef
from vt_env.world.write_files import captions_text

CAPTIONS_FOLDER = "captions"
TINY_PROMPT, TINY_FRAMES = "What is shown?", 1
"""Request that the tiny model was trained on (`experiments.tiny_model.skills.read`): about one picture."""


@dataclass(frozen=True, kw_only=True)
class CaptionsRun(LibraryConfig):
    """Caption whole videos clip by clip with a vision-language model."""

    out: Path = Path("runs/captions")
    """Folder of the captions and of the tasks that name them; an interrupted run resumes there."""
    tasks: str = "world"
    """Task set: a name, a folder, or a JSONL file."""
    split: str = "test"
    """Split of the tasks."""
    model: str = str(BASE_MODEL)
    """Checkpoint folder or hub name; by default the shipped base model."""
    backend: Literal["transformers", "vllm", "server"] = "transformers"
    """Generation backend: `transformers`, `vllm` in this process, or any OpenAI-compatible `server`."""
    server: ServerConfig = field(default_factory=ServerConfig)
    """Server of the backend `server`."""
    clip_length_s: float = 10.0
    """Length of a captioned clip (10 s in the paper)."""
    frames: int | None = None
    """Frames shown of a clip; by default 1 for the tiny model, which was trained on single pictures, and 8 for
    others."""
    prompt: str = ""
    """What the model is asked about a clip; by default what the tiny model was trained on, or a plain request."""
    max_tokens: int = 256
    """Maximum length of a caption in tokens; a longer one is not used."""
    batch: int = field(default=64, metadata=HOW_ONLY)
    """Clips captioned together, for an engine in this process."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("frames", "max_tokens", "batch"):
            at_least(self, name, 1)
        if self.clip_length_s <= 0:
            raise ConfigError(f"clip_length_s={self.clip_length_s}: need more than 0")

    @property
    def plays_world(self) -> bool:
        """Whether the tasks are of the generated world."""
        return is_world(self.tasks)

    @property
    def known_model(self) -> str | None:
        """The captioner."""
        return self.server.model or None if self.backend == "server" else self.model

    @property
    def run_folder(self) -> Path | None:
        """The run directory."""
        return self.out

    @property
    def captioning(self) -> ClipCaptioning:
        """How clips are described."""
        known = model_prompts(None if self.backend == "server" else self.model)
        is_tiny = known is not None and known.name == TINY.name
        frames = self.frames or (TINY_FRAMES if is_tiny else ClipCaptioning.frames)
        prompt = self.prompt or (TINY_PROMPT if is_tiny else "")
        return ClipCaptioning(self.clip_length_s, frames, prompt, self.max_tokens)


def main(config: CaptionsRun) -> Path:
    """Caption all videos of the tasks, or resume.

    Returns:
        The run directory, to be given to other commands as `--tasks`.

    Raises:
        ConfigError: The tasks, the model or the server do not exist, the tasks show parts of their videos, or the
            directory belongs to another run or model.
        DataError: A video cannot be read, or the model wrote no caption.
    """
    config = config.filled()
    tasks = load_tasks(config.tasks, config.split)
    if tasks.is_excerpt:
        raise ConfigError(f"tasks={config.tasks}: questions about parts of their videos are shown no captions")
    if captions_key(config.tasks) is not None:
        raise ConfigError(f"tasks={config.tasks}: its captions are written already; give the tasks they were made from")
    how = config.captioning
    with ExitStack() as stack:
        name, completer = "", None
        if config.backend == "server":
            name, completer = _served(config, stack)
        identity = replace(config, server=ServerConfig(model=name), frames=how.frames, prompt=how.prompt)
        also = {"captioner": captioner_key(name or config.model), "annotations": annotation_hash(tasks)}
        run = stack.enter_context(open_run(config.out, CAPTIONS_RUN, identity, also))
        library = config.open_library()
        first = {task.item.video: task for task in reversed(tasks)}
        left = [task for ref, task in reversed(first.items()) if not _path(config.out, ref).exists()]
        if left:
            _caption(left, library, completer or _local(config, how), how, run)
    write_lines(config.out / TASKS_FILE, (encode_record(row) for row in _rows(tasks, config.out)))
    print(f"captions of {len(first)} videos; {len(tasks)} tasks that read them in {config.out / TASKS_FILE}")
    return config.out


def _caption(left: list[Task], library: VideoLibrary, completer: Completer, how: ClipCaptioning, run: Run) -> None:
    for task in track(left, "captions", unit="video"):
        ref = task.item.video
        task.prepare(ref)
        video = library.open(ref)
        lines = caption_clips(video, completer, how)
        write_text(_path(run.path, ref), captions_text(lines))
        clips = len(clips_of(video.duration_s, how.clip_s))
        run.metric({"event": "video", "video": ref.handle, "clips": clips, "captions": len(lines)})


def _local(config: CaptionsRun, how: ClipCaptioning) -> Completer:
    # Imported here, since help needs neither.
    from agents.language.generator_chat import GeneratorChat
    from agents.language.token_policy import ChatTokens

    processor = load_processor(config.model)
    if processor.image_token is None:
        raise ConfigError(f"model={config.model}: a text-only model sees no frames; give a vision-language model")
    check_frame_size(processor, config.chosen.media)
    sampling = Sampling(temperature=0.0, max_new_tokens=how.max_tokens)
    generator = load_generator(
        config.model,
        processor,
        EngineConfig("vllm" if config.backend == "vllm" else "transformers", sampling, max_images=how.frames),
    )
    return GeneratorChat(ChatTokens(processor, ()), generator, config.batch)


def _served(config: CaptionsRun, stack: ExitStack) -> tuple[str, Completer]:
    from agents.backends.chat_client import OpenAIClient

    with OpenAIClient(config.server) as client:
        chosen = config.server.choose_model(client.served_models())
    return chosen.model, stack.enter_context(OpenAIClient(chosen))


def _path(folder: Path, ref: VideoRef) -> Path:
    return folder / CAPTIONS_FOLDER / f"{ref.handle}.jsonl"


def _rows(tasks: TaskSet, folder: Path) -> Iterator[Mapping[str, Any]]:
    for task in tasks.with_captions(folder / CAPTIONS_FOLDER):
        yield task_row(task, folder) | {"video_handle": task.item.video.handle}
