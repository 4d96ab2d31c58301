"""The environment for policies that are not language models: numbered macro-actions and a vector of features."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction
from numpy.typing import NDArray

from vt_env.control_tokens import as_plain_text
from vt_env.envs.base import EpisodeEnv
from vt_env.envs.numeric_features import Features, NumericConfig, feature_count, feature_slices
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError
from vt_env.tools.check_arguments import show
from vt_env.types import Action, Answer, Interval, Malformed, Observation, ToolCall

CONTEXT_S = 10.0
"""Margin around the last place that `read_around` reads, in seconds."""
_SEARCHES: Mapping[str, tuple[str, str]] = {
    "search_clips": ("clip_retrieval", "clips"),
    "search_subtitles": ("subtitle_retrieval", "subtitles"),
    "sum_up_subtitles": ("subtitle_summary", "summary"),
}
"""Macro-action to tool and kind of result."""
_VERBS = (*_SEARCHES, "look_at", "look_before", "look_after", "read_around", "answer")
"""Meanings of the first of two numbers; the second counts for `look_at` and `answer`."""

Vector = NDArray[np.float32]


class LongVideoQANumericEnv(EpisodeEnv[Vector, Any]):
    """Answer a question about a long video by numbered actions, from a vector of features.

    ## Description
    The same episodes as `vt_env/LongVideoQA-v0`, for policies that are not language models, such as a small network
    with PPO. Each action stands for one call, filled in from the question and from what was found before; each
    observation is turned into features. An extension: the paper's policies are language models.

    ## Action Space
    `Discrete(6 + candidates + options)`; `env.unwrapped.action_names` names them in order:

    | action | call |
    |---|---|
    | `search_clips` | `clip_retrieval` by the question |
    | `search_subtitles` | `subtitle_retrieval` by the question |
    | `sum_up_subtitles` | `subtitle_summary` by the question |
    | `look_at_0` ... | the zoom, at a result of the last search, the best first |
    | `look_before`, `look_after` | the zoom, at the neighbour of the last place, as long as it |
    | `read_around` | `subtitle_zoom` from 10 s before the last place to 10 s after it |
    | `answer_0` ... | the answer: an option by its position |

    With `NumericConfig(actions="multi_discrete")` it is `MultiDiscrete([8, max(candidates, options)])`: what to do
    (`search_clips`, `search_subtitles`, `sum_up_subtitles`, `look_at`, `look_before`, `look_after`, `read_around`,
    `answer`), and which result or option to do it to, which the others ignore.

    An action that makes no sense yet costs a call and does nothing else. `info["action_mask"]`, int8, is 1 for those
    that do make sense, of two numbers one after the other; `env.unwrapped.action_masks()` is the same as bool, under
    the name that masked PPO of sb3-contrib asks for.

    ## Observation Space
    `Box(-1, 1, (D,), float32)`; `env.unwrapped.feature_slices` tells where each group lies:

    | group | meaning |
    |---|---|
    | `question_text`, `question_frames` | the question as the text and the frame encoder see it |
    | `last_kind` | one of 8: what the last action was, or that it failed |
    | `last_match` | the most of the question's words that one line of the last result holds, as a share |
    | `last_frames_match` | inner product of the last frames and the question |
    | `last_text`, `all_texts` | vector of the last result's text, and the mean over all results |
    | `last_frames`, `all_frames` | mean vector of the last frames, and the mean over all views |
    | `candidates` | 7 each: is there, is a subtitle, score, match, was looked at, best match found, start in hours |
    | `options` | 5 each: is there; share of its words in one line of the last result, of any result; the largest |
    | | product of that share and the line's match with the question; largest inner product with frames |
    | `budget` | share of calls that is left, and of frames; of image tokens where a limit leaves a smaller share |

    Features are computed from the question, the options and what the tools returned, never from the answer key. With
    the default encoders frames tell colours only: what has to be read on screen is out of reach in
    `perception="frames"`, whereas subtitles and captions are read as words. Give a `NumericConfig` with an image-text
    encoder of your own to see more.

    ## Rewards
    As `vt_env/LongVideoQA-v0`: 0 until the end, then the weighted sum of the terms of `vt_env.rewards.reward`.

    ## Starting State
    `reset(seed=...)` draws a task; `reset(options={"task_id": ...})` chooses one, `options={"budget": ...}` a smaller
    budget.

    ## Episode End
    As `vt_env/LongVideoQA-v0`: terminated by an answer, and by one more action after the last call.

    ## Information
    As `vt_env/LongVideoQA-v0`, and `action_mask`.

    ## Arguments
    As `vt_env/LongVideoQA-v0`, and `numeric`: a `vt_env.envs.numeric_features.NumericConfig`. The tools of the table
    must be on offer, as they are in both presets; in a video that cannot be searched, `search_clips` makes no sense.

    ## References
    Masks as in Huang and Ontañón, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms" (2022).

    ## Version History
    * v0: initial version
    """

    def __init__(self, *args: Any, numeric: NumericConfig | None = None, **choices: Any) -> None:
        """Make the environment; no video is opened before `reset`.

        Args:
            *args: As `vt_env.envs.base.EpisodeEnv`.
            numeric: Encoders and the number of candidates; `None` takes the defaults.
            **choices: As `vt_env.envs.base.EpisodeEnv`.

        Raises:
            ConfigError: An argument is not allowed, or a tool that a macro-action calls is not on offer.
            DataError: The tasks cannot be read.
        """
        self.numeric = numeric or NumericConfig()
        super().__init__(*args, **choices)
        self._ezpickle_kwargs["numeric"] = numeric

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which actions make sense now, bool[A]; the answers alone once no call is left, no look without a frame.

        Of two numbers bool[8 + T]: one makes sense if it does together with some other one.
        """
        episode = self._running()
        targets = self._targets(episode) if episode.remaining.calls else {"answer": len(episode.item.options)}
        if not episode.remaining.can_look:
            targets = {verb: count for verb, count in targets.items() if not verb.startswith("look_")}
        if self.numeric.actions == "discrete":
            return np.array([target < targets.get(verb, 0) for verb, target in self._actions])
        most = max(targets.values())
        return np.array([verb in targets for verb in _VERBS] + [idx < most for idx in range(self._most_targets)])

    def _spaces(self) -> tuple[spaces.Discrete | spaces.MultiDiscrete, spaces.Box]:
        counts = {"look_at": self.numeric.candidates, "answer": self.option_count}
        self._actions = tuple((verb, target) for verb in _VERBS for target in range(counts.get(verb, 1)))
        self.action_names = tuple(f"{verb}_{target}" if verb in counts else verb for verb, target in self._actions)
        """Names of the actions, in order; of two numbers, of all that they can mean."""
        self._most_targets = max(counts.values())
        self.feature_slices = feature_slices(self.numeric, self.option_count)
        """Slice of each group of features in the vector."""
        self._zoom_tool = "caption_zoom" if self.config.perception == "captions" else "frame_zoom"
        needed = {self._zoom_tool, "subtitle_zoom", *(tool for tool, _ in _SEARCHES.values())}
        if not self.can_search:
            needed.remove("clip_retrieval")
        missing = sorted(needed - {tool.name for tool in self.tools})
        if missing:
            raise ConfigError(
                f"tools: {', '.join(missing)} not on offer; the numeric environment needs all of its tools"
            )
        count = feature_count(self.numeric, self.option_count)
        features = spaces.Box(-1.0, 1.0, (count,), np.float32)
        if self.numeric.actions == "discrete":
            return spaces.Discrete(len(self.action_names)), features
        return spaces.MultiDiscrete([len(_VERBS), self._most_targets]), features

    def _read(self, action: Any, episode: Episode) -> tuple[Action, ...]:
        return (self._action(action, episode),)

    def _action(self, action: Any, episode: Episode) -> Action:
        verb, target = self._verb_and_target(action)
        self._kind, self._looked_at = "failed", None
        if verb == "answer":
            options = episode.item.options
            return Answer(options[target] if target < len(options) else f"option {target + 1}")
        if target >= self._targets(episode).get(verb, 0):
            return Malformed(verb, f"{verb} makes no sense yet; search or look first")
        if verb in _SEARCHES:
            tool, self._kind = _SEARCHES[verb]
            return ToolCall(tool, self._query(tool, episode))
        return self._look(verb, target, episode)

    def _verb_and_target(self, action: Any) -> tuple[str, int]:
        """Say what an element of the action space stands for; the target is 0 where there is one only."""
        if self.numeric.actions == "discrete":
            if self.action_space.contains(action):
                return self._actions[int(action)]
            allowed = f"0 to {len(self.action_names) - 1}; env.unwrapped.action_names tells what they are"
            raise InvalidAction(f"action {show(action)}: need a whole number from {allowed}")
        if not self.action_space.contains(action):
            allowed = f"below {len(_VERBS)} and {self._most_targets}, as int64[2]"
            raise InvalidAction(f"action {show(action)}: need two whole numbers {allowed}; see the environment's docs")
        verb = _VERBS[int(action[0])]
        return verb, int(action[1]) if verb in ("look_at", "answer") else 0

    def _query(self, tool: str, episode: Episode) -> dict[str, object]:
        query: dict[str, object] = {"query": episode.item.question}
        top_k = min(self.numeric.candidates, episode.config.budget.top_k_max)
        return query if tool == "subtitle_summary" else {**query, "top_k": top_k}

    def _look(self, verb: str, target: int, episode: Episode) -> ToolCall:
        if verb == "look_at":
            self._kind, self._looked_at = "candidate", target
            self._place = self._features.candidates[self._looked_at].interval
            return self._zoom(self._zoom_tool, self._place, episode)
        assert self._place is not None
        if verb == "read_around":
            self._kind = "around"
            start_s = max(0.0, self._place.start_s - CONTEXT_S)
            return self._zoom("subtitle_zoom", Interval(start_s, self._place.end_s + CONTEXT_S), episode)
        self._kind = "neighbour"
        self._place = self._neighbours(episode)[verb]
        return self._zoom(self._zoom_tool, self._place, episode)

    def _zoom(self, tool: str, interval: Interval, episode: Episode) -> ToolCall:
        end_s = min(interval.end_s, episode.video.duration_s)
        return ToolCall(tool, {"start_s": interval.start_s, "end_s": end_s})

    def _targets(self, episode: Episode) -> dict[str, int]:
        """To how many targets each verb can be applied by now, the budget left aside; without those that have none."""
        offered = {tool.name for tool in episode.tools}
        searches = [verb for verb, (tool, _) in _SEARCHES.items() if tool in offered]
        targets = dict.fromkeys((*searches, *self._neighbours(episode)), 1) | {"answer": len(episode.item.options)}
        if self._features.candidates:
            targets["look_at"] = len(self._features.candidates)
        return targets if self._place is None else targets | {"read_around": 1}

    def _neighbours(self, episode: Episode) -> dict[str, Interval]:
        """The places before and after the last one that lie in the video."""
        if self._place is None:
            return {}
        start_s, end_s = self._place.start_s, self._place.end_s
        found: dict[str, Interval] = {}
        if start_s > 0:
            found["look_before"] = Interval(max(0.0, start_s - self._place.duration_s), start_s)
        if end_s < episode.video.duration_s - 1:
            found["look_after"] = Interval(end_s, end_s + self._place.duration_s)
        return found

    def _element(self, episode: Episode, observation: Observation) -> Vector:
        if not episode.turns:
            question, *options = map(as_plain_text, (episode.item.question, *episode.item.options))
            self._features = Features(question, options, self.numeric, self.option_count)
            self._place: Interval | None = None
            self._kind, self._looked_at = "start", None
        elif episode.turns[-1].error is not None:
            self._kind, self._looked_at = "failed", None
        budget, left = self.config.budget, observation.remaining
        views = left.frames / budget.max_frames
        if left.image_tokens is not None and budget.max_image_tokens is not None:
            views = min(views, left.image_tokens / budget.max_image_tokens)
        shares = (left.calls / budget.max_calls, views)
        self._features.see(self._kind, observation, shares, self._looked_at)
        return self._features.vector()

    def _info(self, episode: Episode, error: str | None) -> dict[str, Any]:
        return super()._info(episode, error) | {"action_mask": self.action_masks().astype(np.int8)}
