"""Frozen configurations, handed over whole. Presets are functions; `"default"` and `"paper"` name them everywhere."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

from vt_env.errors import ConfigError, suggest
from vt_env.media.frame_size import fit_frame, holds_picture, image_tokens, reduce_frame
from vt_env.prompts import DEFAULT, PromptSet

HOW_ONLY: Mapping[str, bool] = {"how_only": True}
"""Metadata of fields that affect speed but not results: a resumed run may change them."""

BACKENDS = ("pyav", "torchcodec", "torchcodec:cuda", "decord", "auto")
"""Decoders of video files that `MediaConfig.backend` takes."""


def at_least(config: object, name: str, minimum: float) -> None:
    """Check a number of a configuration; `None`, where a field may be that, passes.

    Args:
        config: Holds the field.
        name: The field as an error shows it, such as `"samples"` or `"budget.max_calls"`; its last part is read.
        minimum: Least value allowed.

    Raises:
        ConfigError: The number is smaller, or is none (NaN).
    """
    value: float | None = getattr(config, name.rpartition(".")[2])
    if value is not None and not value >= minimum:
        raise ConfigError(f"{name}={value}: need {minimum:g} or more")


@dataclass(frozen=True)
class BudgetConfig:
    """Budget of one episode in calls, frames and image tokens. Enforced by the episode before anything is rendered."""

    max_calls: int = 8
    """Tool calls allowed, failed and malformed ones included; the answer is free."""
    max_frames: int = 64
    """Frames a policy may be shown in one episode."""
    frames_per_zoom: int = 8
    """Frames that one zoom returns at most (8 in the paper's example)."""
    global_frames: int = 0
    """Frames sampled uniformly over the whole video and shown with the question (32 in the paper)."""
    top_k_max: int = 8
    """Largest `top_k` of a retrieval."""
    max_parallel_calls: int = 8
    """Calls that one reply may hold; each costs a call. A reply with more is malformed. 1 is one call a turn."""
    max_image_tokens: int | None = None
    """Image tokens of all pictures of one episode, each counted by its own size in patches of `media.patch_px`; `None`
    sets no limit."""

    def __post_init__(self) -> None:
        for it in fields(self):
            value: object = getattr(self, it.name)
            if value is None and it.name == "max_image_tokens":
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"budget.{it.name}={value!r}: need a whole number")
        for name in ("max_calls", "frames_per_zoom", "top_k_max", "max_parallel_calls", "max_image_tokens"):
            at_least(self, f"budget.{name}", 1)
        if self.global_frames < 0 or self.max_frames < self.global_frames + self.frames_per_zoom:
            raise ConfigError(
                f"budget.max_frames={self.max_frames} cannot hold global_frames={self.global_frames} and one zoom of "
                f"frames_per_zoom={self.frames_per_zoom}: raise max_frames or lower the other two"
            )


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the reward terms, paid at the end of the episode; the terms are in `vt_env.rewards.reward`."""

    weights: Mapping[str, float] = field(default_factory=lambda: {"accuracy": 1.0})
    """Term name to weight. Terms with weight 0 or without one are reported and not paid."""
    terms: Mapping[str, Callable[..., float]] = field(default_factory=lambda: {})
    """Terms of your own by name, besides those of `vt_env.rewards.reward`: functions of a
    `vt_env.rewards.reward.FinishedEpisode`."""


@dataclass(frozen=True)
class MediaConfig:
    """Storage and indexing of videos. Part of every cache key."""

    max_pixels: int = 112 * 112
    """Most pixels of a frame or closer look. Pictures keep the video's aspect ratio; see `frame_size_px`."""
    min_pixels: int = 56 * 56
    """Fewest pixels of a picture; smaller ones are enlarged to it, as Qwen2.5-VL's processor does below 56 x 56.
    Qwen3-VL's checkpoints have 256 x 256."""
    patch_px: int = 28
    """Sides are multiples of this, the side of one image token: 28 for Qwen2.5-VL, 32 for Qwen3-VL."""
    frame_rate_hz: float = 1.0
    """Stored frames per second."""
    clip_s: float = 10.0
    """Length of the clips that retrieval ranks (10 s in the paper)."""
    backend: str = "pyav"
    """Decoder of video files: `pyav`, which decodes every measured format correctly; `torchcodec`, `decord` or
    `torchcodec:cuda` (on a GPU; not run yet), each for the formats it is right for; or `auto`: torchcodec where it is
    installed and right, else PyAV. Backends scale and convert colours differently. See
    `vt_env.media.decode.other_backends`."""

    def __post_init__(self) -> None:
        for name in ("max_pixels", "min_pixels", "patch_px"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"media.{name}={value!r}: need a whole number")
        at_least(self, "media.patch_px", 1)
        at_least(self, "media.min_pixels", 1)
        patch_pixels = self.patch_px**2
        if self.max_pixels < patch_pixels:
            patch = f"one patch of {self.patch_px} x {self.patch_px} pixels"
            raise ConfigError(f"media.max_pixels={self.max_pixels}: below {patch}; need {patch_pixels} or more")
        if not holds_picture(self.max_pixels, self.min_pixels, self.patch_px):
            raise ConfigError(
                f"media.min_pixels={self.min_pixels}, max_pixels={self.max_pixels}: no rectangle of patches of "
                f"{patch_pixels} pixels lies between; raise max_pixels or lower min_pixels"
            )
        if self.backend not in BACKENDS:
            allowed = f"allowed are {', '.join(BACKENDS)}{suggest(self.backend, BACKENDS)}"
            raise ConfigError(f"media.backend={self.backend!r}: {allowed}")
        if not all(0 < it < math.inf for it in (self.frame_rate_hz, self.clip_s)):
            got = f"media.frame_rate_hz={self.frame_rate_hz}, clip_s={self.clip_s}"
            raise ConfigError(f"{got}: both must be above 0 and finite")

    def frame_size_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """Return the width and height at which a picture of this width and height is shown.

        See `vt_env.media.frame_size.fit_frame`; no processor of the model family resizes the result.
        """
        return fit_frame(size_px, self.max_pixels, self.min_pixels, self.patch_px)

    def reduced_px(self, size_px: tuple[int, int], share: float) -> tuple[int, int]:
        """Return the width and height of a frame of this size at a share of its pixels."""
        return reduce_frame(size_px, share, self.min_pixels, self.patch_px)

    def image_tokens(self, size_px: tuple[int, int]) -> int:
        """Count the image tokens of a picture of this width and height, as Qwen's processors do."""
        return image_tokens(size_px, self.min_pixels, self.patch_px)

    @property
    def largest_frame_tokens(self) -> int:
        """Image tokens of the largest frame of any shape."""
        return self.max_pixels // self.patch_px**2


@dataclass(frozen=True)
class EnvConfig:
    """Everything about an episode except its task."""

    perception: str = "frames"
    """`"frames"` or `"captions"`."""
    budget: BudgetConfig = BudgetConfig()
    rewards: RewardConfig = RewardConfig()
    media: MediaConfig = MediaConfig()
    tools: tuple[str, ...] = ()
    """Names of the tools offered, besides tools passed in as functions; empty means all of the mode."""
    prompts: PromptSet = DEFAULT
    """Every text that a model reads, but for descriptions of tools."""

    def __post_init__(self) -> None:
        if self.perception not in ("frames", "captions"):
            raise ConfigError(f"perception={self.perception!r}: allowed are 'frames' and 'captions'")
        most = self.media.largest_frame_tokens
        check_image_tokens(self.budget, most, f"media.max_pixels={self.media.max_pixels}")


def check_image_tokens(budget: BudgetConfig, frame_tokens: int, where: str) -> None:
    """Check that the image tokens of a budget hold its global frames and one look at one moment.

    Args:
        budget: The budget.
        frame_tokens: Image tokens of a frame.
        where: What says how large frames are, for the error.

    Raises:
        ConfigError: They do not.
    """
    needed = (budget.global_frames + 1) * frame_tokens
    if budget.max_image_tokens is None or budget.max_image_tokens >= needed:
        return
    global_frames = f"global_frames={budget.global_frames} and " if budget.global_frames else ""
    raise ConfigError(
        f"budget.max_image_tokens={budget.max_image_tokens}: cannot hold {global_frames}one picture, at {frame_tokens} "
        f"image tokens each ({where}); give {needed} or more, or lower media.max_pixels"
    )


def default_budget() -> BudgetConfig:
    """Few frames a look, so that an episode fits a short context."""
    return BudgetConfig(max_calls=8, max_frames=16, frames_per_zoom=2)


def tiny_budget() -> BudgetConfig:
    """Budget of the tiny model: one frame a look, as many looks as calls, one call a turn."""
    return BudgetConfig(max_calls=8, max_frames=8, frames_per_zoom=1, max_parallel_calls=1)


def paper_budget() -> BudgetConfig:
    """The paper's frame budget: 32 global frames, 8 a zoom, 64 in all (arXiv 2601.15724, section on inference).

    The turn limit is not published; 8 calls are our choice.
    """
    return BudgetConfig(max_calls=8, max_frames=64, frames_per_zoom=8, global_frames=32)


def field_budget() -> BudgetConfig:
    """Budget of a model of about 7 billion parameters: six looks of 8 frames and as many searches fit 32,768 tokens."""
    return BudgetConfig(max_calls=12, max_frames=64, frames_per_zoom=8, global_frames=16)


BUDGETS: Mapping[str, Callable[[], BudgetConfig]] = {
    "default": default_budget,
    "field": field_budget,
    "paper": paper_budget,
    "tiny": tiny_budget,
}


def resolve_budget(budget: "str | BudgetConfig") -> BudgetConfig:
    """Turn a preset name into its config; a config is returned as it is.

    Args:
        budget: A name of `BUDGETS`, also with changes (`"paper,max_calls=16,max_frames=128"`), or a config.

    Raises:
        ConfigError: There is no preset or field of that name, or a change is impossible.
    """
    if isinstance(budget, BudgetConfig):
        return budget
    name, *changes = budget.split(",")
    if name not in BUDGETS:
        raise ConfigError(
            f"budget={budget!r}: allowed are {', '.join(BUDGETS)}, with changes if need be "
            f"(default,max_calls=16){suggest(name, BUDGETS)}"
        )
    return replace(BUDGETS[name](), **dict(_budget_change(budget, it) for it in changes))


def _budget_change(budget: str, change: str) -> tuple[str, int]:
    known = [it.name for it in fields(BudgetConfig)]
    name, _, value = change.partition("=")
    if name not in known:
        raise ConfigError(f"budget={budget!r}: no field {name!r}; allowed are {', '.join(known)}{suggest(name, known)}")
    if not value.isdecimal():
        raise ConfigError(f"budget={budget!r}: {name} is {value!r}; need a whole number, such as {name}=16")
    return name, int(value)
