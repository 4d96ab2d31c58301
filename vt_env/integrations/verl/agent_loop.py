"""Agent loop of verl (0.9.1) whose tools are those of an episode: rollouts with frames on many GPUs.

verl makes one loop a rollout from an entry of the file that `actor_rollout_ref.rollout.agent.agent_loop_config_path`
names; `vt-env export verl` writes that file and the rows, which name the loop (`agent_name`) and their task
(`extra_info.task_id`).

verl keeps the sampled token ids, renders results through the model's own processor and masks them. The loop differs
from `ToolAgentLoop` where an episode does: calls are read by `ActionReader`, a reply that is no action costs a call and
is answered instead of ending the rollout, and the episode ends the loop. Results are never cut: `response_length` has
to hold an episode (`vt-env tokens`). Needs verl; install the core of vt-env, without an extra, beside it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.tool_agent_loop import (
    AgentData,
    AgentState,
    ToolAgentLoop,
)
from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser

from vt_env.actions.decode_reply import ReplyDecoder
from vt_env.episode.messages import Message, conversation_messages, message, result_messages
from vt_env.episode.tools_text import sorted_schemas
from vt_env.errors import ConfigError, DataError
from vt_env.integrations.shared_source import session_source
from vt_env.prompts import OVER
from vt_env.session import Session

MASKED = "episode_invalid"
"""Measure: 1.0 where the video could not be read; nothing of such a rollout is trained on."""
_MEASURES = ("accuracy", "answered", "calls", "frames", MASKED)
"""What verl averages beside the reward, in `reward_extra_info`."""


class EpisodeAgentLoop(ToolAgentLoop):
    """One rollout of one episode.

    Args:
        loop: Positional and keyword arguments of verl's `AgentLoopBase`.
        source: Keyword arguments of `vt_env.SessionSource`; `media` holds fields of `MediaConfig`.

    Raises:
        ConfigError: `source` is not allowed.
        DataError: The tasks cannot be read.
    """

    def __init__(self, *loop: Any, source: Mapping[str, Any] | None = None, **more: Any) -> None:
        super().__init__(*loop, **more)
        plain = OmegaConf.to_container(source, resolve=True) if isinstance(source, DictConfig) else source
        self._source = session_source(cast("Mapping[str, Any]", plain or {}))
        self._session: Session | None = None
        self.tool_parser = _WholeReply(self.tokenizer)

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """Play the task of a row.

        Args:
            sampling_params: For verl's server.
            row: A row of the data set: `extra_info` holds `task_id`; its prompt is not used.

        Returns: The tokens with the mask of those that the model wrote, the pictures, and the reward of the episode.

        Raises:
            ConfigError: The row names no task of this source.
        """
        task_id = (row.get("extra_info") or {}).get("task_id")
        if task_id is None:
            raise ConfigError("extra_info: no task_id; write the rows with vt-env export verl")
        self._source.choose(task_id=task_id)
        try:
            session = await asyncio.to_thread(self._source.open, task_id=task_id)
            output = await self._play(session, sampling_params, row)
        except DataError as failure:
            return await self._masked(failure)
        if not session.is_over:
            # verl stops for lengths and numbers of turns of its own: the conversation has no room for more.
            session.episode.end_full_context()
        output.reward_score = session.episode.reward
        output.extra_fields["reward_extra_info"] = {**session.measures, MASKED: 0.0}
        return output

    async def process_multi_modal_info(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the pictures of messages as they are; verl's own way would resize them again."""
        blocks = [it for one in messages if isinstance(one["content"], list) for it in one["content"]]
        images = [it["image"] for it in blocks if it["type"] == "image"]
        return {"images": images} if images else {}

    async def _play(self, session: Session, sampling_params: dict[str, Any], row: dict[str, Any]) -> AgentLoopOutput:
        self._session = session
        prompts = self._source.config.prompts
        self.tool_schemas = sorted_schemas(prompts.shown_schemas(tool.schema for tool in session.tools))
        system = prompts.system_text(has_tools=bool(session.tools))
        prompt = conversation_messages(system, [session.opening], [])
        # verl would choose among its own tools by it.
        return await super().run(sampling_params, **{**row, "raw_prompt": prompt, "extra_info": {}})

    async def _handle_processing_tools_state(self, agent_data: AgentData) -> AgentState:
        """Apply a reply to the episode and add its results, one tool message a call."""
        assert self._session is not None
        (reply,) = agent_data.tool_calls
        outcome = await asyncio.to_thread(self._session.act, reply.arguments)
        if self._session.is_over:
            return AgentState.TERMINATED
        results = result_messages(outcome.observation, self._source.config.prompts.result_role)
        before = list(agent_data.messages)
        agent_data.messages.extend(results)
        merged, mask, logprobs = await self.ct_merge_context_msg(
            before,
            agent_data.messages,
            agent_data.prompt_ids,
            agent_data.response_mask,
            agent_data.response_logprobs or None,
            tools=self.tool_schemas,
        )
        if len(mask) >= self.response_length:
            # The model is not shown a part of a result.
            return AgentState.TERMINATED
        agent_data.prompt_ids, agent_data.response_mask = merged.token_ids, mask
        agent_data.response_logprobs = logprobs or []
        images = (await self.process_multi_modal_info(results)).get("images", [])
        agent_data.image_data = [*(agent_data.image_data or []), *images] or None
        agent_data.user_turns += 1
        return AgentState.GENERATING

    def _build_assistant_message(self, content: str, agent_data: AgentData) -> Message:
        """Keep a reply as the text that the model wrote: its calls are not rendered anew."""
        return message("assistant", content)

    async def _masked(self, failure: DataError) -> AgentLoopOutput:
        """Return a rollout of one masked token, so that one damaged video ends no training."""
        ids = await self.ct_build_initial_tokens([message("system", ""), message("user", OVER)])
        return AgentLoopOutput(
            prompt_ids=ids,
            response_ids=[self.tokenizer.eos_token_id],
            response_mask=[0],
            response_logprobs=[0.0] if self.rollout_config.calculate_log_probs else None,
            multi_modal_data={},
            reward_score=0.0,
            num_turns=1,
            metrics={},
            extra_fields={"reward_extra_info": dict.fromkeys(_MEASURES, 0.0) | {MASKED: 1.0}, "reason": str(failure)},
        )


class _WholeReply(ToolParser):
    """Hand a reply over whole: the episode reads what it holds, an answer and no action included."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self._decoder = ReplyDecoder(tokenizer)

    async def extract_tool_calls(self, responses_ids: list[int], tools: Any = None) -> tuple[str, list[FunctionCall]]:
        """Return the text of a reply, also as the one call to be processed."""
        text = await asyncio.to_thread(self._decoder.decode, responses_ids)
        return text, [FunctionCall(name="reply", arguments=text)]
