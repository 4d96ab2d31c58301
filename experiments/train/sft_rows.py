"""Training rows and batches from trajectories: the token ids of GRPO, with labels on the policy's tokens only.

Rows are conversations with pictures, built on demand: a trajectory only refers to its frames, and Arrow tables corrupt
messages with pictures (trl 1.16 reads a text block as an image if the table added the key). Token ids are concatenated
per turn as in GRPO (`agents.language.token_policy.ChatTokens`), never rendered as a whole, so no chat template can
assign a token to the wrong speaker.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from agents.language.token_policy import ChatTokens, images_of
from synth.dataset import read_dataset
from vt_env.episode.messages import Message, conversation_messages
from vt_env.episode.perception import as_shown
from vt_env.episode.trajectory import Trajectory, TurnRecord, read_trajectories
from vt_env.errors import DataError
from vt_env.prompts import DEFAULT, SETS, PromptSet
from vt_env.protocols import Library
from vt_env.tasks.task_set import TaskSet
from vt_env.tools.builtin import ToolChoice, can_search, tools_for
from vt_env.types import FrameBatch, FrameRef, Observation, StopReason

UNNAMED = "(not named)"
"""Family name of questions without one."""
IGNORED = -100
"""Label of tokens outside the loss."""
_SAME_S = 1e-3
"""Tolerance for the times of one frame, in seconds."""
FRAME_LENGTH = 64
"""Approximate length of a frame in characters; lengths are only used to sort rows into batches."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A training conversation."""

    messages: tuple[Message, ...]
    """Opening messages, then model turns, each followed by one tool result a call; model turns contain calls as raw
    text."""
    tools: tuple[dict[str, Any], ...] = ()
    """JSON schemas of the offered tools; empty for a plain question."""


class Rows(Protocol):
    """Collection of rows that are built on demand."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def __getitem__(self, number: int) -> Row:
        """Build a row."""
        ...

    def lengths(self) -> list[int]:
        """Return approximate row lengths in characters, without building rows."""
        ...


class TrajectoryRows:
    """Trainable trajectories as rows; others are left out and counted.

    A trainable trajectory ends in an answer and has no malformed turn: GRPO ends a conversation at a malformed turn, so
    no model sees a continuation.

    Args:
        trajectories: The trajectories.
        tasks: Tasks of all trajectories, with their videos.
        library: Opens the videos, at the frame size of the trajectories.
        tools: Offered tools, as in `vt_env.tools.builtin.tools_for`.

    Raises:
        DataError: The task of a trajectory is not in `tasks`, or a trajectory calls a tool that is not offered.
    """

    def __init__(
        self,
        trajectories: Sequence[Trajectory],
        tasks: TaskSet,
        library: Library,
        tools: ToolChoice = "default",
        prompts: PromptSet | None = None,
    ) -> None:
        ids = {it.prompts for it in trajectories}
        self.prompts = prompts or next((it for it in SETS.values() if it.id in ids), DEFAULT)
        """Wording of the rows."""
        self._trajectories = [
            it for it in trajectories if it.stop is StopReason.ANSWERED and "malformed" not in it.errors
        ]
        self._tasks = {task.item.task_id: task for task in tasks}
        self._library = library
        self._tools = tools
        self._can_search = can_search(library, tasks.videos)
        self.left_out = len(trajectories) - len(self._trajectories)
        """Number of trajectories that are not trainable."""
        self.right = sum(bool(it.correct) for it in self._trajectories)
        """Number of rows with a correct answer."""
        for it in self._trajectories:
            if it.task_id not in self._tasks:
                raise DataError(
                    f"trajectory of task {it.task_id!r}: not among the tasks; give the tasks it was made from"
                )
            self._check_calls(it)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._trajectories)

    def __getitem__(self, number: int) -> Row:
        """Build a row and read its frames.

        Raises:
            DataError: The video cannot be read, or its frames are stored at another size or rate.
        """
        trajectory = self._trajectories[number]
        schemas = self._schemas(trajectory)
        opening = Observation(
            trajectory.prompt_text, trajectory.remaining, self._frames(trajectory, trajectory.prompt_frames)
        )
        *replies, (last, *_) = trajectory.by_reply
        results = [self._result(trajectory, turns) for turns in replies]
        prompts = self.prompts
        system_text = prompts.system_text(has_tools=bool(schemas))
        texts = [first.text for first, *_ in replies]
        chat = conversation_messages(system_text, [opening, *results], texts, prompts.result_role)
        answer: Message = {"role": "assistant", "content": [{"type": "text", "text": last.text}]}
        return Row((*chat, answer), tuple(prompts.shown_schemas(schemas)))

    def weights(self, of_families: Mapping[str, float]) -> list[float]:
        """Return the weight of each row by its question family; 1 for families that are not named.

        Raises:
            DataError: A named family has no row, or all weights are 0.
        """
        families = [it.family or UNNAMED for it in self._trajectories]
        allowed = ", ".join(sorted(set(families)))
        for family in of_families:
            if family not in families:
                raise DataError(f"weights {family!r}: no trajectory is of that family; give one of {allowed}")
        weights = [of_families.get(family, 1.0) for family in families]
        if not any(weights):
            raise DataError("the weights of all trajectories are 0: give one family a weight above 0")
        return weights

    def lengths(self) -> list[int]:
        """Return approximate row lengths in characters."""
        return [
            len(it.prompt_text)
            + sum(len(turn.text) + len(turn.observation_text) for turn in it.turns)
            + FRAME_LENGTH * len(it.frames)
            for it in self._trajectories
        ]

    def check_first_frames(self) -> None:
        """Read the frames of one result, so that other media settings are refused before a model is loaded.

        Raises:
            DataError: As `__getitem__`.
        """
        shown = ((it, refs) for it in self._trajectories for refs in (it.prompt_frames, *(t.frames for t in it.turns)))
        trajectory, refs = next((it for it in shown if it[1]), (None, ()))
        if trajectory is not None:
            self._frames(trajectory, refs)

    def _check_calls(self, trajectory: Trajectory) -> None:
        offered = {schema["function"]["name"] for schema in self._schemas(trajectory)}
        for turn in trajectory.turns:
            # A call of an unknown tool is an error of the policy, followed by its error message.
            if turn.call is not None and turn.error is None and turn.call.name not in offered:
                raise DataError(
                    f"trajectory of task {trajectory.task_id!r} calls {turn.call.name}, which --tools {self._tools} "
                    f"does not offer ({', '.join(sorted(offered)) or 'nothing'}); give the tools it was written with"
                )

    def _schemas(self, trajectory: Trajectory) -> tuple[dict[str, Any], ...]:
        # Policies without calls are offered no tools: `agents.language.one_turn.OneTurnPolicy`, and the first stage of
        # the confidence gate.
        spent = self.prompts.budget_spent
        # Older records do not say with how many calls they began, but their wording does.
        if trajectory.remaining.calls + trajectory.calls == 0 or (spent and trajectory.prompt_text.endswith(spent)):
            return ()
        answers = self.prompts.answers
        offered = tools_for(trajectory.perception, self._tools, can_search=self._can_search, answers=answers)
        return tuple(tool.schema for tool in offered)

    def _result(self, trajectory: Trajectory, turns: Sequence[TurnRecord]) -> Observation:
        left = trajectory.remaining
        parts = [Observation(it.observation_text, left, self._frames(trajectory, it.frames)) for it in turns]
        return parts[0] if len(parts) == 1 else Observation("", left, results=tuple(parts))

    def _frames(self, trajectory: Trajectory, refs: Sequence[FrameRef]) -> FrameBatch | None:
        if not refs:
            return None
        task = self._tasks[trajectory.task_id]
        task.prepare(task.item.video)
        video = self._library.open(task.item.video)
        first = refs[0]
        # A result is either whole frames or the crop of one frame.
        frames = (
            video.frames_at([ref.time_s for ref in refs]) if first.box is None else video.crop(first.time_s, first.box)
        )
        count, height, width = frames.data.shape[:3]
        then_px = first.stored_px or first.size_px
        if (count, (width, height)) != (len(refs), then_px):
            raise DataError(
                f"video {trajectory.video_handle}: {len(refs)} frames of {_sides(then_px)} px were shown, "
                f"{count} of {_sides((width, height))} px are stored; give the --media.max-pixels, --media.min-pixels "
                "and --media.patch-px that trajectories were written with"
            )
        if not np.allclose(frames.pts_s, [ref.time_s for ref in refs], rtol=0.0, atol=_SAME_S):
            shown, stored = (
                [round(float(it), 3) for it in times] for times in ((ref.time_s for ref in refs), frames.pts_s)
            )
            raise DataError(
                f"video {trajectory.video_handle}: frames of {shown} s were shown, those of {stored} s are stored; "
                "open it with the media.frame_rate_hz that trajectories were written with"
            )
        pictures = [as_shown(picture, ref) for picture, ref in zip(frames.data, refs, strict=True)]
        return FrameBatch(np.stack(pictures), frames.pts_s)


class ConversationCollator:
    """Collates rows into a padded batch.

    Args:
        processor: A Qwen-VL processor with tool calls; see `vt_env.integrations.trl.prepare_processor`.
        max_length: Maximum tokens of a row.
    """

    def __init__(self, processor: Any, max_length: int | None = None) -> None:
        self._processor = processor
        self._max_length = max_length
        self._tokens: dict[str, ChatTokens] = {}

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Build a right-padded batch.

        Returns:
            `input_ids`, `attention_mask` and `labels` (-100 except on the model's turns and their end tokens),
            int64[B, T]; where a row has pictures also `mm_token_type_ids` int64[B, T] (1 on image tokens) and the image
            processor's `pixel_values` and `image_grid_thw`.

        Raises:
            DataError: A row exceeds `max_length`; truncation would split a picture or remove the answer.
        """
        encoded = [self.encode(row) for row in rows]
        longest = max(len(ids) for ids, _ in encoded)
        if self._max_length is not None and longest > self._max_length:
            raise DataError(
                f"a trajectory has {longest} tokens, allowed are {self._max_length}: raise --max-length up to what the "
                "model has positions for, lower --media.max-pixels, or write trajectories with a smaller budget"
            )
        ids = [torch.tensor(ids) for ids, _ in encoded]
        labels = [torch.tensor(ids).masked_fill(~torch.tensor(written), IGNORED) for ids, written in encoded]
        pad_id = self._processor.tokenizer.pad_token_id
        batch = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        }
        images = [image for row in rows for image in images_of(row.messages)]
        if images:
            batch |= self._processor.image_processor(images=images, return_tensors="pt")
            batch["mm_token_type_ids"] = (batch["input_ids"] == self._processor.image_token_id).long()
        return batch

    def encode(self, row: Row) -> tuple[list[int], list[bool]]:
        """Return the token ids of a row, and for each whether the policy wrote it."""
        tokens = self._chat_tokens(row.tools)
        start = next(number for number, message in enumerate(row.messages) if message["role"] == "assistant")
        ids = tokens.prompt_ids(row.messages[:start])
        written = [False] * len(ids)
        for is_reply, group in groupby(row.messages[start:], lambda message: message["role"] == "assistant"):
            messages = list(group)
            new = tokens.reply_ids(_text(messages[0])) if is_reply else tokens.result_ids(*messages)
            ids += new
            written += [is_reply] * len(new)
        return ids, written

    def _chat_tokens(self, tools: Sequence[dict[str, Any]]) -> ChatTokens:
        key = json.dumps(tools)
        if key not in self._tokens:
            self._tokens[key] = ChatTokens(self._processor, tools)
        return self._tokens[key]


def load_trajectories(path: Path) -> Iterator[Trajectory]:
    """Read the trajectories of a data set folder or a JSONL file.

    Raises:
        DataError: The path does not exist, or a line is damaged.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; write trajectories with vt-env synth")
    return read_dataset(path) if path.is_dir() else read_trajectories(path)


def _sides(size_px: tuple[int, int]) -> str:
    return f"{size_px[0]} x {size_px[1]}"


def _text(message: Message) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(str(it["text"]) for it in content if it["type"] == "text")
