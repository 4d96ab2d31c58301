"""Language-model policy on token ids: conversations in, token sequences to a `Generator`, replies out.

Token ids are concatenated and generated ids are never tokenised again, exactly as in TRL's GRPO: the prompt is rendered
once with the tools; each tool result adds the ids that the chat template puts behind an assistant's turn. So a
checkpoint is evaluated on the ids it was trained on. The module imports no backend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from agents.backends.generator import Completion, Generator, TokenSequence
from agents.base import Conversation, Reply
from agents.language.confidence import answer_logprob, mean
from agents.seeds import reply_seed
from vt_env.actions.decode_reply import ReplyDecoder
from vt_env.actions.parse import ActionReader
from vt_env.actions.thoughts import THOUGHT_END, UNCLOSED_THOUGHT
from vt_env.control_tokens import TokenBreaker
from vt_env.episode.messages import Message, conversation_messages, result_messages
from vt_env.episode.reply_record import ReplyEnd, ReplyRecord
from vt_env.integrations.trl.several_results import check_several_results


class ChatTokens:
    """Rendering of messages to token ids with a processor's own chat template.

    Args:
        processor: A transformers processor whose template knows tools.
        tools: JSON schemas as from `transformers.utils.get_json_schema`; rendered in alphabetical order of their names,
            the order in which TRL finds an environment's methods.
        has_tools: Whether the policy is offered tools; `None` where the prompt lists all that it is offered.
    """

    def __init__(self, processor: Any, tools: Sequence[Mapping[str, Any]], *, has_tools: bool | None = None) -> None:
        self.has_tools = bool(tools) if has_tools is None else has_tools
        """Whether the policy is offered tools, listed by the template or named in the system message alone."""
        self._processor = processor
        # Some templates render a preamble for an empty list.
        self._tools = sorted(tools, key=lambda tool: tool["function"]["name"]) or None
        self._reader = ActionReader.for_schemas(tools)
        self._decoder = ReplyDecoder(processor.tokenizer)
        self._break_tokens = TokenBreaker(processor.tokenizer.all_special_tokens)
        self._answered = self._render(_DUMMY_TURNS)
        self._answered = self._answered[: _last_index(self._answered, processor.tokenizer.eos_token_id) + 1]
        self._image_token: int | None = (
            processor.tokenizer.convert_tokens_to_ids(processor.image_token) if processor.image_token else None
        )

        asked = self._render(_DUMMY_TURNS[:1], add_generation_prompt=True)
        header = processor.tokenizer.decode(asked).rstrip()
        self._opens_thought = header.endswith(UNCLOSED_THOUGHT)

    @property
    def reads_images(self) -> bool:
        """False for a text-only model."""
        return self._image_token is not None

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Render the opening messages and the header of the assistant's turn."""
        return self._render(messages, tools=self._tools, add_generation_prompt=True)

    def result_ids(self, *messages: Message) -> list[int]:
        """Render the tool messages behind one reply and the assistant header, from behind its end-of-turn token.

        Raises:
            ValueError: The chat template is not prefix-preserving.
            ConfigError: It cannot show several results of one reply.
        """
        if len(messages) > 1:
            check_several_results(self._processor)
        ids = self._render([*_DUMMY_TURNS, *messages], add_generation_prompt=True)
        if ids[: len(self._answered)] != self._answered:
            raise ValueError("the chat template is not prefix-preserving: a tool result changes earlier tokens")
        return ids[len(self._answered) :]

    def reply_ids(self, text: str) -> list[int]:
        """Tokenise a reply written without this model, and append the end-of-turn token."""
        tokenizer = self._processor.tokenizer
        return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]

    def reply_text(self, ids: Sequence[int]) -> str:
        """Decode a generated reply, without special tokens but those that mark a call."""
        return self._decoder.decode(ids)

    def image_tokens(self, ids: Sequence[int]) -> int:
        """Count image tokens; 0 for a text-only model."""
        return 0 if self._image_token is None else ids.count(self._image_token)

    def describe(self, completion: Completion, prompt_ids: Sequence[int], seed: int) -> Reply:
        """Decode a completion and record lengths, log-probabilities and seed."""
        ids, logprobs = completion.ids, completion.logprobs
        text = self.reply_text(ids)
        if self._opens_thought and THOUGHT_END not in text:
            # The template wrote the opening tag; with it the reply reads as a thought that does not end.
            text = f"{UNCLOSED_THOUGHT}\n{text}"
        stopped = completion.is_stopped or ids[-1:] == [self._processor.tokenizer.eos_token_id]
        return Reply(
            text,
            ReplyRecord(
                ended=ReplyEnd.STOP if stopped else ReplyEnd.LENGTH,
                prompt_tokens=len(prompt_ids),
                image_tokens=self.image_tokens(prompt_ids),
                completion_tokens=len(ids),
                mean_logprob=mean(logprobs),
                answer_logprob=answer_logprob(
                    logprobs, lambda count: len(self.reply_text(ids[:count])), self._reader.read(text).answer_span
                ),
                seed=seed,
            ),
        )

    def _render(self, messages: Sequence[Message], **options: Any) -> list[int]:
        shown = [self._from_data(it) if it["role"] in ("user", "tool") else it for it in messages]
        return self._processor.apply_chat_template(shown, tokenize=True, return_dict=False, **options)[0]

    def _from_data(self, message: Message) -> Message:
        """Break special tokens of this tokenizer in what questions, files and tools have written."""
        content = message["content"]
        if isinstance(content, str):
            return {**message, "content": self._break_tokens(content)}
        blocks = [{**it, "text": self._break_tokens(str(it["text"]))} if it["type"] == "text" else it for it in content]
        return {**message, "content": blocks}


@dataclass(slots=True, eq=False)
class _Open:
    """Token ids of an open episode."""

    sequence: TokenSequence
    replies: int = 0
    """Number of replies in `sequence`."""
    results: int = 0
    """Number of results in `sequence`; equal to `replies` or one less."""


class ChatPolicy:
    """Batch policy over a generator; plays many episodes in lock-step.

    Replies written earlier by another policy are tokenised from their text. A conversation longer than the model's
    context gets an empty reply that says so (`ReplyEnd.CONTEXT`), which ends the episode.

    Args:
        tokens: Rendering of messages to token ids.
        generator: Text generation backend.
        seeds: One per episode; the seed of a reply is derived from it and the turn.
    """

    def __init__(self, tokens: ChatTokens, generator: Generator, seeds: Sequence[int]) -> None:
        self._tokens = tokens
        self._generator = generator
        self._seeds = seeds
        self._open: dict[int, _Open] = {}

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Generate the next reply of each conversation."""
        limit = self._generator.context_tokens - self._generator.max_new_tokens
        opened = [self._extend(conversation) for conversation in conversations]
        seeds = [reply_seed(self._seeds[it.episode_idx], len(it.replies)) for it in conversations]
        fitting = [number for number, it in enumerate(opened) if len(it.sequence.ids) <= limit]
        asked = [opened[number].sequence for number in fitting]
        written = self._generator.generate(asked, [seeds[number] for number in fitting]) if fitting else []
        completions = dict(zip(fitting, written, strict=True))
        return [self._close(it, completions.get(number), seeds[number]) for number, it in enumerate(opened)]

    def forget(self, episode_idx: int) -> None:
        """Drop the token ids and images of an episode."""
        self._open.pop(episode_idx, None)

    def _extend(self, conversation: Conversation) -> _Open:
        """Append new results, and replies of other policies, to the ids of an episode."""
        opened = self._open.get(conversation.episode_idx)
        if opened is None:
            system_text = conversation.prompts.system_text(has_tools=self._tokens.has_tools)
            opening = conversation_messages(system_text, conversation.observations[:1], ())
            opened = _Open(TokenSequence(self._tokens.prompt_ids(opening), images_of(opening)))
            self._open[conversation.episode_idx] = opened
        sequence = opened.sequence
        for number in range(opened.results, len(conversation.replies)):
            if number >= opened.replies:
                sequence.ids += self._tokens.reply_ids(conversation.replies[number])
            results = result_messages(conversation.observations[number + 1], conversation.prompts.result_role)
            sequence.ids += self._tokens.result_ids(*results)
            sequence.images += images_of(results)
        opened.replies = opened.results = len(conversation.replies)
        return opened

    def _close(self, opened: _Open, completion: Completion | None, seed: int) -> Reply:
        """Append a completion to the ids of an episode; `None` stands for a full context."""
        if completion is None:
            count = len(opened.sequence.ids)
            images = self._tokens.image_tokens(opened.sequence.ids)
            return Reply("", ReplyRecord(ReplyEnd.CONTEXT, count, images, 0, seed=seed))
        reply = self._tokens.describe(completion, opened.sequence.ids, seed)
        opened.sequence.ids += completion.ids
        if completion.is_stopped:
            opened.sequence.ids += self._tokens.reply_ids("")
        opened.replies += 1
        return reply


def images_of(messages: Sequence[Message]) -> list[Image.Image]:
    """List the images of messages in the order in which they are rendered."""
    blocks = [block for message in messages for block in message["content"] if isinstance(block, dict)]
    return [image for block in blocks if isinstance(image := block.get("image"), Image.Image)]


def _text_turn(role: str, text: str) -> Message:
    return {"role": role, "content": [{"type": "text", "text": text}]}


_DUMMY_TURNS: Sequence[Message] = (_text_turn("user", "dummy"), _text_turn("assistant", "dummy"))
"""Turns rendered before a tool result, since templates may refuse a result without a preceding call."""


def _last_index(ids: Sequence[int], wanted: int) -> int:
    return max(position for position, token in enumerate(ids) if token == wanted)
