"""Trajectories in the forms of other trainers. Pictures lie beside the rows as PNG files, named by their hashes.

| format | rows | what a call and a result become |
|---|---|---|
| `trl` | `train.jsonl`: `messages`, `images` | text of the assistant; a user turn in `<tool_response>` tags |
| `ms-swift` | `train.jsonl`: `messages`, `images`, `tools` | roles `tool_call` and `tool_response` |
| `llama-factory` | `train.json`, `dataset_info.json` | text of `gpt`; `observation` |
| `datasets` | a folder for `datasets.load_from_disk` | as `trl`, with the pictures inside |

In the forms that keep calls as text, tokens are those of our own trainer with Qwen's templates, which render a tool's
result as such a user turn. TRL 1.16 fills no pictures into the tool role, and renders no tools beside pictures: for it
the system turn holds them as Qwen's templates write them. ms-swift and LLaMA-Factory mark pictures by tags in the text,
so in their rows a space breaks every tag that a text itself holds. The first row has pictures, if any has: `datasets`
takes the types of a file from its first 10 MiB.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from synth.frame_files import OpenVideo, PictureRecord, write_pictures
from vt_env.actions.parse import ActionReader, render_call
from vt_env.episode.tools_text import sorted_schemas, tools_text
from vt_env.episode.trajectory import FrameRef, Trajectory, TurnRecord
from vt_env.errors import ConfigError
from vt_env.jsonl import replace_file, write_lines
from vt_env.prompts import DEFAULT, PromptSet
from vt_env.tools.builtin import tools_for
from vt_env.tools.tool import Tool
from vt_env.types import StopReason, ToolCall

ExportFormat = Literal["trl", "ms-swift", "llama-factory", "datasets"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
IMAGES = "images"
_TAG = "<image>"
_LITERAL_TAG = re.compile(r"<(?=(?:image|video|audio|bbox|ref-object|cot-process|start-image)>)")
"""First character of what ms-swift (`Template.special_tokens`) and LLaMA-Factory (`extras/constants.py`) replace."""

ALL_TOOLS: Mapping[str, Sequence[Tool]] = {name: tools_for(name) for name in ("frames", "captions")}
"""Perception to all of its built-in tools."""

Row = dict[str, Any]
Write = Callable[[Path, Sequence[Row]], None]


def export(
    folder: Path,
    form: ExportFormat,
    trajectories: Sequence[Trajectory],
    pictures: Sequence[PictureRecord],
    open_video: OpenVideo,
    tools: Mapping[str, Sequence[Tool]] = ALL_TOOLS,
    *,
    prompts: PromptSet = DEFAULT,
) -> int:
    """Write trajectories for another trainer, in place of what lies there; whole or not at all.

    Only what ends in an answer and holds no malformed turn is written.

    Args:
        folder: Where it goes.
        form: One of `FORMATS`.
        trajectories: What is written.
        pictures: The pictures that they refer to, as the data set keeps them.
        open_video: Opens the videos.
        tools: Perception to the tools that the model is offered.
        prompts: The prompt set that the trajectories were written with; its system message stands first.

    Returns: Number of rows.

    Raises:
        ConfigError: There is no such format.
        DataError: A picture is not what it was when the data set was made.
    """
    if form not in FORMATS:
        raise ConfigError(f"export={form!r}: allowed are {', '.join(FORMATS)}")
    usable = [it for it in trajectories if it.stop is StopReason.ANSWERED and "malformed" not in it.errors]
    shown = {frame for it in usable for frame in it.frames}
    schemas = {name: json.dumps(sorted_schemas(it.schema for it in offered)) for name, offered in tools.items()}
    write, make_row = _WRITERS[form]
    with replace_file(folder) as part:
        part.mkdir()
        files = write_pictures(part / IMAGES, (it for it in pictures if it.frame in shown), open_video)
        system = prompts.system_text(has_tools=bool(tools["frames"]))
        write(part, _pictures_first([make_row(it, files, schemas[it.perception], system) for it in usable]))
    return len(usable)


def _pictures_first(rows: list[Row]) -> list[Row]:
    first = next((idx for idx, row in enumerate(rows) if row["images"]), 0)
    return [*rows[first : first + 1], *rows[:first], *rows[first + 1 :]]


def _untagged(text: str) -> str:
    return _LITERAL_TAG.sub("< ", text)


def _images(trajectory: Trajectory, files: Mapping[FrameRef, str]) -> list[str]:
    return [f"{IMAGES}/{files[frame]}" for frame in trajectory.frames]


def _trl_row(trajectory: Trajectory, files: Mapping[FrameRef, str], tools: str, system: str) -> Row:
    messages = [
        _blocks("system", f"{system}{tools_text(json.loads(tools))}"),
        _blocks("user", trajectory.prompt_text, len(trajectory.prompt_frames)),
    ]
    for turns in trajectory.by_reply[:-1]:
        messages.append(_blocks("assistant", turns[0].text))
        messages.append({"role": "user", "content": [block for it in turns for block in _response(it, turns[-1])]})
    messages.append(_blocks("assistant", trajectory.turns[-1].text))
    return {"messages": messages, "images": _images(trajectory, files), **_origin(trajectory)}


def _blocks(role: str, text: str, pictures: int = 0, before: str = "", after: str = "") -> Row:
    parts: list[Row] = [{"type": "text", "text": before}] if before else []
    parts += [{"type": "image", "text": ""}] * pictures
    return {"role": role, "content": [*parts, {"type": "text", "text": f"{text}{after}"}]}


def _response(turn: TurnRecord, last: TurnRecord) -> list[Row]:
    """Write a result as Qwen's templates do, which join those of one reply in one turn of the user."""
    after = "\n</tool_response>" if turn is last else "\n</tool_response>\n"
    content: list[Row] = _blocks("user", turn.observation_text, len(turn.frames), "<tool_response>\n", after)["content"]
    return content


def _swift_row(trajectory: Trajectory, files: Mapping[FrameRef, str], tools: str, system: str) -> Row:
    opening = _TAG * len(trajectory.prompt_frames) + _untagged(trajectory.prompt_text)
    messages: list[Row] = [{"role": "system", "content": _untagged(system)}, {"role": "user", "content": opening}]
    for turns in trajectory.by_reply[:-1]:
        text, reply = turns[0].text, ActionReader().read(turns[0].text)
        if len(reply.calls) != len(turns):
            raise TypeError(f"task {trajectory.task_id}: a turn without a call before the answer")
        if reply.thought:
            # It joins neighbouring turns of the assistant as they are.
            messages.append({"role": "assistant", "content": f"{_untagged(reply.thought)}\n"})
        for turn, found in zip(turns, reply.actions, strict=True):
            assert turn.call is not None and found.span is not None
            call = ToolCall(turn.call.name, turn.call.arguments)
            written = text[slice(*found.span)] if found.is_canonical else render_call(call)
            content = json.dumps(json.loads(written), ensure_ascii=False)
            messages.append({"role": "tool_call", "content": _untagged(content)})
        messages += [{"role": "tool_response", "content": _result(turn)} for turn in turns]
    messages.append({"role": "assistant", "content": _untagged(trajectory.turns[-1].text)})
    return {"messages": messages, "images": _images(trajectory, files), "tools": tools}


def _result(turn: TurnRecord) -> str:
    return _TAG * len(turn.frames) + _untagged(turn.observation_text)


def _factory_row(trajectory: Trajectory, files: Mapping[FrameRef, str], tools: str, system: str) -> Row:
    opening = _TAG * len(trajectory.prompt_frames) + _untagged(trajectory.prompt_text)
    turns: list[Row] = [{"from": "human", "value": opening}]
    for group in trajectory.by_reply[:-1]:
        turns.append({"from": "gpt", "value": _untagged(group[0].text)})
        # It has one observation a turn; Qwen's templates write several results of one reply this way.
        results = map(_result, group)
        turns.append({"from": "observation", "value": "\n</tool_response>\n<tool_response>\n".join(results)})
    turns.append({"from": "gpt", "value": _untagged(trajectory.turns[-1].text)})
    return {"conversations": turns, "system": _untagged(system), "tools": tools, "images": _images(trajectory, files)}


def _origin(trajectory: Trajectory) -> Row:
    return {"task_id": trajectory.task_id, "sample": trajectory.sample, "family": trajectory.family}


def _write_jsonl(folder: Path, rows: Sequence[Row]) -> None:
    write_lines(folder / "train.jsonl", (json.dumps(row, ensure_ascii=False) for row in rows))


def _write_factory(folder: Path, rows: Sequence[Row]) -> None:
    (folder / "train.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    columns = {"messages": "conversations", "system": "system", "tools": "tools", "images": "images"}
    info = {"vt_env": {"file_name": "train.json", "formatting": "sharegpt", "columns": columns}}
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def _write_datasets(folder: Path, rows: Sequence[Row]) -> None:
    # The one format that needs a library to be written.
    from datasets import Dataset, Features, Image, List, Value

    block = {"type": Value("string"), "text": Value("string")}
    features = Features(
        {
            "messages": List({"role": Value("string"), "content": List(block)}),
            "images": List(Image()),
            "task_id": Value("string"),
            "sample": Value("int64"),
            "family": Value("string"),
        }
    )
    # Bytes and not paths: paths would be those of a draft that is renamed.
    inside = [
        {**row, "images": [{"bytes": (folder / it).read_bytes(), "path": it} for it in row["images"]]} for row in rows
    ]
    Dataset.from_list(inside, features=features).save_to_disk(folder)
    shutil.rmtree(folder / IMAGES)


_WRITERS: Mapping[ExportFormat, tuple[Write, Callable[[Trajectory, Mapping[FrameRef, str], str, str], Row]]] = {
    "trl": (_write_jsonl, _trl_row),
    "ms-swift": (_write_jsonl, _swift_row),
    "llama-factory": (_write_factory, _factory_row),
    "datasets": (_write_datasets, _trl_row),
}
