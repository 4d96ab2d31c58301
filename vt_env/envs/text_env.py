"""The environment for language models: an action is what a model wrote, an observation is a chat message."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction

from vt_env.actions.parse import render_action
from vt_env.envs.base import EpisodeEnv
from vt_env.envs.spaces import MAX_TEXT_CHARS, Picture, Utf8, action_space, read_element
from vt_env.episode.episode import Episode
from vt_env.episode.messages import Message, conversation_messages
from vt_env.prompts import option_letter
from vt_env.tools.builtin import ANSWER_TOOL
from vt_env.tools.check_arguments import show
from vt_env.tools.tool import Tool
from vt_env.types import Action, Observation

_SAMPLED_S = 60.0
"""Samples look at the first minute: a space does not know how long a video is."""


class WrittenAction(Utf8):
    """Any text; samples are well-formed calls about the first minute of a video, and answers by letter."""

    def __init__(
        self,
        tools: tuple[Tool, ...],
        option_count: int,
        top_k_max: int,
        *,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Make a space whose samples call these tools or answer one of the options."""
        self._tools = tools
        self._letters = tuple(option_letter(idx) for idx in range(option_count))
        self._elements = action_space(tools, option_count, top_k_max)
        super().__init__(MAX_TEXT_CHARS, seed=seed)

    def seed(self, seed: int | None = None) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Seed what samples are drawn from."""
        self._elements.seed(seed)
        return super().seed(seed)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Draw a call or an answer, each kind with the same chance; masks are not taken.

        Raises:
            ValueError: A mask was given.
        """
        if mask is not None or probability is not None:
            raise ValueError("mask: texts cannot be masked; leave it out")
        return render_action(read_element(self._elements.sample(), self._tools, self._letters, _SAMPLED_S))


class LongVideoQATextEnv(EpisodeEnv[dict[str, Any], str]):
    """Answer a question about a long video by writing tool calls and an answer, as a language model does.

    ## Description
    The same episodes as `vt_env/LongVideoQA-v0`. What the policy writes is read; what it is shown is a chat message.
    `env.unwrapped.messages()` is the conversation so far, `env.unwrapped.tool_schemas` what it may call: both as
    `apply_chat_template(messages, tools=...)` of transformers takes them.

    ## Action Space
    `WrittenAction`: any text. A thought, then one call or an answer:

        optional thought
        <tool_call>
        {"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}
        </tool_call>

    or `<answer>47</answer>`. Several calls in one text are played in order, each at its price, up to the budget's
    `max_parallel_calls`; their results come back together. The forms in which models and public video agents write
    calls are read as well (`vt_env.actions.model_forms`, `vt_env.actions.dialects`). Text that cannot be read costs a
    call and is answered with the calls that exist; it is never taken for an answer and never raises, and neither is a
    call beside an answer or inside one. Samples are well-formed calls and answers.

    ## Observation Space
    A `Dict`; `vt_env.episode.messages.message(**observation)` turns it into a message:

    | key | space | meaning |
    |---|---|---|
    | `role` | text | `user` for the question, `tool` for what an action led to |
    | `text` | text | what the model reads; control tokens of chat templates in it are broken up |
    | `frames` | sequence of uint8[H, W, 3] | frames shown before the text, RGB, in the shape of the video; empty with |
    | | | captions |

    A sequence has no fixed length, so asynchronous vector environments need `shared_memory=False`.

    ## Rewards
    As `vt_env/LongVideoQA-v0`: 0 until the end, then the weighted sum of the terms of `vt_env.rewards.reward`.

    ## Starting State
    `reset(seed=...)` draws a task; `reset(options={"task_id": ...})` chooses one, `options={"budget": ...}` a smaller
    budget.

    ## Episode End
    As `vt_env/LongVideoQA-v0`: terminated by an answer, and by one more action after the last call.

    ## Information
    As `vt_env/LongVideoQA-v0`.

    ## Arguments
    As `vt_env/LongVideoQA-v0`.

    ## References
    The tools are those of VideoThinker (arXiv 2601.15724); the wording of messages is ours, since the paper's complete
    prompt is not published.

    ## Version History
    * v0: initial version
    """

    reads_text = True

    def messages(self) -> list[Message]:
        """Return the conversation so far: system, question, then what was written and what came back, in turn.

        What the policy wrote is unchanged. A new list each time; images are PIL, RGB.

        Raises:
            ResetNeeded: There is no episode yet.
        """
        # An action that broke the episode has no result.
        system_text = self.config.prompts.system_text(has_tools=bool(self._running().tools))
        role = self.config.prompts.result_role
        return conversation_messages(system_text, self._shown, self._written[: len(self._shown) - 1], role)

    @property
    def tool_schemas(self) -> list[dict[str, Any]]:
        """JSON schemas of the tools on offer in the running episode, for chat templates and tool-calling APIs.

        As the prompt set shows them; none where it says by text alone how to call.
        """
        return self.config.prompts.shown_schemas(tool.schema for tool in (self.episode or self).tools)

    def _spaces(self) -> tuple[WrittenAction, spaces.Dict]:
        self._shown: list[Observation] = []
        self._written: list[str] = []
        frames = spaces.Sequence(Picture(self.config.media.max_pixels))
        shown = spaces.Dict({"role": Utf8(len("user")), "text": Utf8(MAX_TEXT_CHARS), "frames": frames})
        searching = tuple(tool for tool in self.tools if tool is not ANSWER_TOOL)
        return WrittenAction(searching, self.option_count, self.config.budget.top_k_max), shown

    def _read(self, action: str, episode: Episode) -> tuple[Action, ...]:
        if not isinstance(action, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidAction(f"action {show(action)}: need a text; vt_env.render_action writes an action as one")
        self._written.append(action)
        return episode.actions(action)

    def _element(self, episode: Episode, observation: Observation) -> dict[str, Any]:
        if not episode.turns:
            self._shown, self._written = [], []
        self._shown.append(observation)
        # Copied: a frame may be shared with a cache.
        frames = tuple(frame.copy() for frame in observation.pictures)
        return {"role": "tool" if episode.turns else "user", "text": observation.text, "frames": frames}
