"""Profiles: named bundles of everything that an episode is played with, for one kind of video and model each.

| | `world` | `field` | `paper` |
|---|---|---|---|
| for | the generated world and the tiny model | any other video and a model of about 7B | VideoThinker's figures |
| pixels of a frame | 12,544 | 112,896, of Qwen3-VL 147,456 (144 image tokens) | 32,768 (paper) |
| frames: with the question, a look, in all | 0, 2, 16 | 16, 8, 64 | 32, 8, 64 (paper) |
| calls | 8 | 12 | 8 (our choice) |
| tools | `default` | `default` | `paper` |
| prompts | `default` | `default` | `default` (our choice) |
| encoder | `auto` | `auto` | `auto` (our choice) |
| tokens of a reply | the checkpoint's | 1024 | the checkpoint's (our choice) |

`docs/profiles.md` says why. All figures are ours where the paper (arXiv 2601.15724) is not named. Every part can be
replaced; what is played is recorded part by part, so a profile is never looked up again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vt_env.config import BudgetConfig, MediaConfig, resolve_budget
from vt_env.prompts import PromptSet
from vt_env.tools.builtin import ToolChoice


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Parts of which episodes are played; each is given as the environments take it."""

    name: str
    """A name of `PROFILES`, or your own."""
    media: MediaConfig = field(default_factory=MediaConfig)
    """Size and rate of the pictures, and the decoder."""
    frame_tokens: int | None = None
    """Image tokens of a frame at most, where the number of pixels follows the model's patch; see `for_model`."""
    budget: str | BudgetConfig = "default"
    tools: ToolChoice = "default"
    prompts: str | Path | PromptSet = "default"
    """Prompt set of a model that was not trained here; others bring theirs."""
    encoder: str = "auto"
    """What searches the pictures of videos; see `vt_env.media.search.choose_encoder`."""
    reply_tokens: int | None = None
    """Longest reply in tokens, where the checkpoint names none and its chat template knows no thoughts; `None` for the
    backend's own."""

    def for_model(self, patch_px: int, min_pixels: int, max_pixels: int) -> "Profile":
        """Return the profile for a model whose image processor takes such pictures as they are.

        A profile without `frame_tokens` is returned as it is: its number of pixels is what it is about.

        Args:
            patch_px: Side of the square that becomes one image token.
            min_pixels: Fewest pixels of a picture.
            max_pixels: Most pixels of a picture.

        Raises:
            ConfigError: No picture has that many pixels.
        """
        if self.frame_tokens is None:
            return self
        media = replace(
            self.media,
            max_pixels=min(self.frame_tokens * patch_px**2, max_pixels),
            min_pixels=max(self.media.min_pixels, min_pixels),
            patch_px=patch_px,
        )
        return replace(self, media=media)

    def with_parts(
        self,
        *,
        media: MediaConfig | None = None,
        budget: str | BudgetConfig | None = None,
        tools: ToolChoice | None = None,
        prompts: str | Path | PromptSet | None = None,
        encoder: str | None = None,
    ) -> "Profile":
        """Return the profile with the parts that are given in place of its own.

        A budget may be changes alone (`"max_calls=16"`), which are then changes of the profile's.

        Raises:
            ConfigError: There is no such budget.
        """
        given = {"media": media, "tools": tools, "prompts": prompts, "encoder": encoder}
        changed = replace(self, **{name: part for name, part in given.items() if part is not None})
        if budget is None:
            return changed
        if isinstance(budget, str) and isinstance(self.budget, str) and "=" in budget.partition(",")[0]:
            budget = f"{self.budget},{budget}"
        resolve_budget(budget)
        return replace(changed, budget=budget)

    def describe(self) -> str:
        """Write the pictures and the budget in one line."""
        budget, media = resolve_budget(self.budget), self.media
        tokens = media.max_pixels // media.patch_px**2
        pictures = f"frames of up to {media.max_pixels:,} pixels ({tokens} image tokens)"
        looks = f"{budget.max_calls} calls, {budget.max_frames} frames ({budget.global_frames} with the question)"
        return f"{self.name}: {pictures}, {looks}"


WORLD = Profile(name="world")
"""The generated world: square videos of 112 x 112 pixels and a model of 2.5 million parameters with a short context."""

FIELD = Profile(
    name="field",
    media=MediaConfig(max_pixels=144 * 28**2),
    frame_tokens=144,
    budget="field",
    reply_tokens=1024,
)
"""Real videos and a vision-language model of about 7 billion parameters with a context of 32,768 tokens.

144 image tokens are 16 x 9 patches: a frame of a 16:9 video has 448 x 252 pixels for Qwen2.5-VL (patch of 28) and
512 x 288 for Qwen3-VL (patch of 32), on which text of 24 pixels at 360p is still 17 or 19 pixels high.
"""

PAPER = Profile(name="paper", media=MediaConfig(max_pixels=32_768), budget="paper", tools="paper")
"""VideoThinker, section on experimental settings: 32,768 pixels a frame, 32 global frames, 8 a zoom, 64 in all, six
tools, for Qwen2.5-VL-7B. It searches with LanguageBind, which is no class of transformers; calls, prompts, encoder and
the length of a reply are our choice."""

PROFILES: Mapping[str, Profile] = {it.name: it for it in (WORLD, FIELD, PAPER)}
