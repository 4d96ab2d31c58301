"""The Gymnasium spaces of the environment, derived from the tools.

An action is one element of a `OneOf`: a `Dict` for each tool, in order, and last the answer, a `Discrete` over option
positions. Times are given as fractions of the video's duration (`start_fraction` for `start_s`), since one space has to
serve videos of seconds and of hours; everything else is given as the tool takes it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isqrt
from typing import Any, Literal, cast, get_args, get_origin

import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction
from numpy.typing import NDArray

from vt_env.config import BudgetConfig
from vt_env.control_tokens import as_plain_text
from vt_env.envs.letterbox import letterbox
from vt_env.tools.check_arguments import show
from vt_env.tools.tool import Parameter, Tool
from vt_env.types import Answer, Observation, ToolCall
from vt_env.valid_text import is_valid_text

MAX_TEXT_CHARS = 1_000_000
"""Longest text in an observation; three hours of subtitles are about a fifth of it."""
MAX_QUERY_CHARS = 1000
"""Longest text in an action."""

_SAMPLE_CHARS = 12


class Utf8(spaces.Text):
    """Any text up to a length, in any script; samples are short words of letters and digits.

    `gymnasium.spaces.Text` holds only the characters of a given set; the idea of widening `contains` alone, so that the
    space can still sample, is MiniWoB's.
    """

    def __init__(self, max_length: int, *, seed: int | np.random.Generator | None = None) -> None:
        """Make a space of texts of 0 to `max_length` characters."""
        super().__init__(max_length, min_length=0, seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Draw a word of 1 to 12 letters and digits; masks as in `gymnasium.spaces.Text`."""
        if mask is None and probability is None:
            length = int(self.np_random.integers(1, min(_SAMPLE_CHARS, self.max_length) + 1))
            mask = (length, None)
        return super().sample(mask, probability)

    def contains(self, x: Any) -> bool:
        """Tell whether `x` is a text that is short enough and can be encoded."""
        return isinstance(x, str) and len(x) <= self.max_length and is_valid_text(x)

    def __repr__(self) -> str:
        """The length, not the characters."""
        return f"Utf8({self.max_length})"


class Picture(spaces.Space[NDArray[np.uint8]]):
    """Pictures uint8[H, W, 3], RGB, of any width and height within a budget of pixels.

    A `Box` has one shape, whereas pictures have the shape of their video.
    """

    def __init__(self, max_pixels: int, *, seed: int | np.random.Generator | None = None) -> None:
        """Make a space of pictures of 1 to `max_pixels` pixels."""
        self.max_pixels = max_pixels
        super().__init__(None, np.uint8, seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Pictures have no fixed number of values."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> NDArray[np.uint8]:
        """Draw a picture of random pixels, its sides within the root of the budget; masks are not taken.

        Raises:
            ValueError: A mask was given.
        """
        if mask is not None or probability is not None:
            raise ValueError("mask: pictures cannot be masked; leave it out")
        height, width = self.np_random.integers(1, isqrt(self.max_pixels) + 1, size=2)
        return self.np_random.integers(0, 256, (int(height), int(width), 3), dtype=np.uint8)

    def contains(self, x: Any) -> bool:
        """Tell whether `x` is uint8[H, W, 3] within the budget."""
        is_picture = isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 3 and x.shape[2] == 3
        return is_picture and 0 < x.shape[0] * x.shape[1] <= self.max_pixels

    def to_jsonable(self, sample_n: Iterable[NDArray[np.uint8]]) -> list[Any]:
        """Convert pictures to nested lists."""
        return [picture.tolist() for picture in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[NDArray[np.uint8]]:
        """Convert nested lists to pictures."""
        return [np.asarray(picture, dtype=np.uint8) for picture in sample_n]

    def __eq__(self, other: object) -> bool:
        """Spaces of one budget are equal."""
        return isinstance(other, Picture) and self.max_pixels == other.max_pixels

    def __repr__(self) -> str:
        """The budget."""
        return f"Picture({self.max_pixels})"


def action_space(tools: Sequence[Tool], option_count: int, top_k_max: int) -> "spaces.OneOf[Any]":
    """Build the action space: one `Dict` a tool, in order, then the answer."""
    # Quoted: `OneOf` takes no parameter in Gymnasium 1.2.
    calls = [spaces.Dict({_key(it): _parameter_space(it, top_k_max) for it in tool.parameters}) for tool in tools]
    return spaces.OneOf([*calls, spaces.Discrete(option_count)])


def observation_space(side_px: int, budget: BudgetConfig) -> spaces.Dict:
    """Build the observation space; `side_px` is the side of the squares that frames are letterboxed on."""
    remaining: dict[str, spaces.Space[Any]] = {
        "calls": spaces.Discrete(budget.max_calls + 1),
        "frames": spaces.Discrete(budget.max_frames + 1),
    }
    if budget.max_image_tokens is not None:
        remaining["image_tokens"] = spaces.Discrete(budget.max_image_tokens + 1)
    return spaces.Dict(
        {
            "question": Utf8(MAX_TEXT_CHARS),
            "options": spaces.Sequence(Utf8(MAX_TEXT_CHARS)),
            "text": Utf8(MAX_TEXT_CHARS),
            "frames": spaces.Sequence(spaces.Box(0, 255, (side_px, side_px, 3), np.uint8)),
            "remaining": spaces.Dict(remaining),
        }
    )


def observation_element(
    observation: Observation, question: str, options: tuple[str, ...], side_px: int, *, names_image_tokens: bool = False
) -> dict[str, Any]:
    """Turn an observation into an element of `observation_space`; pixels are copied, nothing is shared with a cache.

    Question and options are shown as plain text, as in the observation's own text. `names_image_tokens` says whether
    the space holds the image tokens left.
    """
    left = observation.remaining
    remaining = {"calls": np.int64(left.calls), "frames": np.int64(left.frames)}
    if names_image_tokens:
        assert left.image_tokens is not None, "an environment's limit of image tokens holds for every episode"
        remaining["image_tokens"] = np.int64(left.image_tokens)
    frames = tuple(letterbox(frame, side_px) for frame in observation.pictures)
    return {
        "question": as_plain_text(question),
        "options": tuple(map(as_plain_text, options)),
        "text": observation.text,
        "frames": frames,
        "remaining": remaining,
    }


def read_element(
    element: tuple[int, Any],
    tools: Sequence[Tool],
    options: Sequence[str],
    duration_s: float,
    read_box: Callable[[list[float]], list[float]] = list,
) -> ToolCall | Answer:
    """Turn an element of `action_space` into an action.

    `read_box` translates a box as it is drawn into fractions of the frame.

    An answer beyond the options of this task names an option that the task does not have, which is wrong.

    Raises:
        InvalidAction: It has not the form of an element. A value of the right type outside its range is left to the
            episode, which tells the policy.
    """
    try:
        index, value = element
        space_idx = _scalar(int, index)
        if space_idx == len(tools):
            return _answer(_scalar(int, value), options)
        if space_idx < 0:
            raise IndexError(space_idx)
        tool = tools[space_idx]
        arguments: Mapping[str, Any] = value
        if len(arguments) > len(tool.parameters):
            raise KeyError(f"{len(arguments)} arguments")
        read = {it.name: _argument(it, arguments[_key(it)], duration_s) for it in tool.parameters}
        box = read.get("box")
        if isinstance(box, list) and len(cast("list[float]", box)) == 4:
            read["box"] = read_box(cast("list[float]", box))
        return ToolCall(tool.name, read)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as reason:
        raise InvalidAction(
            f"action {show(element)}: need (index, value) with an index from 0 to {len(tools)} and an element of "
            "env.action_space.spaces[index], or a ToolCall, an Answer or a text"
        ) from reason


def _answer(option_idx: int, options: Sequence[str]) -> Answer:
    if option_idx < 0:
        raise ValueError(f"option {option_idx}")
    return Answer(options[option_idx] if option_idx < len(options) else f"option {option_idx + 1}")


def _key(parameter: Parameter) -> str:
    return f"{parameter.name.removesuffix('_s')}_fraction" if parameter.is_time else parameter.name


def _parameter_space(parameter: Parameter, top_k_max: int) -> spaces.Space[Any]:
    if parameter.is_time:
        return spaces.Box(0.0, 1.0, (), np.float64)
    if parameter.name == "top_k":
        return spaces.Discrete(top_k_max, start=1)
    if parameter.name == "box":
        return spaces.Box(0.0, 1.0, (4,), np.float64)
    if get_origin(parameter.kind) is Literal:
        return spaces.Discrete(len(get_args(parameter.kind)))
    if get_origin(parameter.kind) is list:
        return spaces.Sequence(_value_space(get_args(parameter.kind)[0]))
    return _value_space(parameter.kind)


def _value_space(kind: object) -> spaces.Space[Any]:
    if kind is bool:
        return spaces.Discrete(2)
    if kind is int:
        return spaces.Box(-(2**31), 2**31 - 1, (), np.int64)
    if kind is float:
        return spaces.Box(-np.inf, np.inf, (), np.float64)
    return Utf8(MAX_QUERY_CHARS)


def _argument(parameter: Parameter, value: Any, duration_s: float) -> object:
    if parameter.is_time:
        return _scalar(float, value) * duration_s
    if get_origin(parameter.kind) is Literal:
        choices, idx = get_args(parameter.kind), _scalar(int, value)
        if not 0 <= idx < len(choices):
            raise IndexError(idx)
        return choices[idx]
    if get_origin(parameter.kind) is list:
        if not isinstance(value, list | tuple | np.ndarray):
            raise TypeError(type(value))
        return [_scalar(get_args(parameter.kind)[0], part) for part in cast("list[Any]", value)]
    return _scalar(parameter.kind, value)


def _scalar(kind: type[Any], value: Any) -> Any:
    """Return a value as the Python type it is of; nothing is rounded, parsed or written out to make it fit.

    Raises:
        TypeError: It is of another type.
        ValueError: It is a text that is not valid Unicode, or a number that is neither true nor false.
    """
    is_number = isinstance(value, np.generic | np.ndarray) and not value.ndim
    plain = value.item() if is_number else value
    if kind is str and isinstance(plain, str):
        plain.encode()
        return plain
    if kind is bool and isinstance(plain, int):
        if plain not in (0, 1):
            raise ValueError(plain)
        return kind(plain)
    if isinstance(plain, bool) or not isinstance(plain, int | float if kind is float else int):
        raise TypeError(type(value))
    return kind(plain)
