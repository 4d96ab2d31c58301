"""`LongVideoQA-v0`: one element of the action space for each tool, and one for the answer."""

from typing import Any

from gymnasium.spaces import Space

from vt_env.envs.base import EpisodeEnv
from vt_env.envs.letterbox import box_in_picture, square_side_px
from vt_env.envs.spaces import action_space, observation_element, observation_space, read_element
from vt_env.episode.episode import Episode
from vt_env.types import Action, Answer, Malformed, Observation, ToolCall

Step = tuple[int, Any] | Action | str
"""Argument of `step`: an element of the action space, an action, or text as a language model writes it."""


class LongVideoQAEnv(EpisodeEnv[dict[str, Any], Step]):
    """Answer a question about a long video by looking at parts of it with tools.

    ## Description
    Each episode asks one multiple-choice question about one video. The video is far too long to be shown; a policy sees
    what it asks for with tools, under a budget of calls, frames and image tokens, and then answers.

    ## Action Space
    `OneOf`: one `Dict` a tool, in the order of `env.unwrapped.tools`, and last a `Discrete`, the position of the
    answer. With the default tools an element is one of

    | index | tool | arguments |
    |---|---|---|
    | 0 | `clip_retrieval` | `query` text, `top_k` from 1 |
    | 1 | `subtitle_retrieval` | `query` text, `top_k` from 1 |
    | 2 | `subtitle_summary` | `query` text |
    | 3 | `frame_zoom`, with captions `caption_zoom` | `start_fraction`, `end_fraction` of the duration |
    | 4 | `subtitle_zoom` | `start_fraction`, `end_fraction` of the duration |
    | 5 | `spatial_zoom` | `time_fraction`, `box` (left, top, right, bottom, fractions of the square picture) |
    | 6 | the answer | position of the option, from 0 |

    Where none of the videos can be searched, `clip_retrieval` is not among them and the indices move up. Where some can
    and others cannot, the space keeps it, and a call to it in one of the others fails.

    `step` also takes a `vt_env.ToolCall` or `vt_env.Answer` with times in seconds, or a text such as
    `<tool_call>{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}</tool_call>`, which may hold
    several calls.
    Boxes in these are fractions of the frame itself, without the bars of the square.

    ## Observation Space
    A `Dict`:

    | key | space | meaning |
    |---|---|---|
    | `question` | text | the question |
    | `options` | sequence of texts | the options |
    | `text` | text | what the last action led to; at first the question with options, duration and budget |
    | `frames` | sequence of uint8[px, px, 3] | frames shown by the last action, RGB, each in the middle of a black |
    | | | square, since a space has one size; empty with captions |
    | `remaining` | `Dict` of `calls`, `frames` | what is left of the budget; also `image_tokens` where these have a |
    | | | limit |

    A sequence has no fixed length, so asynchronous vector environments need `shared_memory=False`.

    ## Rewards
    0 until the end, then what the terms of `vt_env.rewards.reward` pay; by default 1 for the right option, else 0.
    A task without an answer key always gives 0.

    ## Starting State
    `reset(seed=...)` draws a task; `reset(options={"task_id": ...})` chooses one.

    ## Episode End
    Terminated when the policy answers, and when it acts once more without answering after its last call: the
    calls left are part of the observation, so it is no truncation. `info["stop_reason"]` tells the two apart. A video
    that cannot be read raises `vt_env.DataError`; such an episode has no score.

    ## Information
    `task_id`, `video` (its handle), `duration_s`, `image_tokens` (of all pictures so far), and `error`: the kind of
    failure of the last action or `None`. At the end also `stop_reason`, `answer_status`, `reward_terms` and, with an
    answer key, `correct`.

    ## Arguments
    `gymnasium.make("vt_env/LongVideoQA-v0", tasks="world", split="test", ...)`

    | argument | default | meaning |
    |---|---|---|
    | `tasks` | `"world"` | a name, a folder, a JSONL file, a function of the split or a `TaskSet` |
    | `split` | `"test"` | which split of them; `None` for all |
    | `perception` | `"frames"` | what looking returns: `"frames"` or `"captions"` |
    | `budget` | `None` | calls and frames: `"default"`, `"field"`, `"paper"`, `"tiny"` or a `BudgetConfig` |
    | `rewards` | `"default"` | a preset (`"default"`, `"paper"`, `"shaped"`) or a `RewardConfig` |
    | `tools` | `None` | a preset (`"default"`, `"paper"`, `"adaptive"`), names and functions of your own |
    | `profile` | `None` | parts that are not given: `"world"`, `"field"` or `"paper"`; `None` takes `"world"` for the |
    | | | generated world and `"field"` for everything else; see `vt_env.profiles` |
    | `prompts` | `None` | wording of every text: `"default"`, `"tiny"`, a JSON or TOML file, or a `PromptSet` |
    | `protocol` | `None` | protocol of another agent's checkpoint, such as `"longvt"`: prompts and tools at once |
    | `media` | `None` | a `MediaConfig`: size and rate of stored frames, decoder |
    | `library` | `None` | what opens videos; `None` decodes files and keeps them in `cache_dir` |
    | `encoder` | `None` | what searches pictures: `"auto"`, `"none"`, `"colours"`, a checkpoint of CLIP's kind |
    | `cache_dir` | `None` | where stored videos lie; `None` is `$VT_ENV_CACHE` or `~/.cache/vt_env` |
    | `render_mode` | `None` | `"ansi"` (a transcript), `"rgb_array"` (a storyboard) |

    ## References
    The task and the tools are those of VideoThinker (arXiv 2601.15724); `spatial_zoom`, reward terms besides accuracy
    and the generated world are extensions. `vt_env.tools.builtin` and `vt_env.rewards.terms` name the source of each.

    ## Version History
    * v0: initial version
    """

    def _spaces(self) -> tuple[Space[Any], Space[Any]]:
        limits = self.config.budget
        self._side_px = square_side_px(self.config.media)
        actions = action_space(self.tools, self.option_count, limits.top_k_max)
        return actions, observation_space(self._side_px, limits)

    def _read(self, action: Step, episode: Episode) -> tuple[Action, ...]:
        if isinstance(action, str):
            return episode.actions(action)
        if isinstance(action, ToolCall | Answer | Malformed):
            return (action,)
        options, duration_s = episode.item.options, episode.video.duration_s
        return (read_element(action, self.tools, options, duration_s, lambda box: self._read_box(box, episode)),)

    def _read_box(self, box: list[float], episode: Episode) -> list[float]:
        """Translate a box on the square into one of the frame; captions are read without any picture."""
        if self.config.perception == "captions":
            return box
        height, width = episode.video.frames_at([0.0]).data.shape[1:3]
        return box_in_picture(box, (width, height), self._side_px)

    def _element(self, episode: Episode, observation: Observation) -> dict[str, Any]:
        item, is_limited = episode.item, self.config.budget.max_image_tokens is not None
        return observation_element(
            observation, item.question, item.options, self._side_px, names_image_tokens=is_limited
        )
