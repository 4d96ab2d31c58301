"""Language models as policies: from conversations to token ids and back.

Token ids are concatenated and what a model wrote is never tokenised again, exactly as TRL's GRPO does it: the prompt is
rendered once with the tools; each tool result adds the ids that the chat template puts behind an assistant's turn. So a
checkpoint is evaluated on the ids it was trained on. Knows no backend: a `Generator` continues token sequences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from PIL import Image

from agents.base import BatchPolicy, Conversation, Message
from vt_env.prompts import left_text, system_text
from vt_env.types import Observation, Remaining


@dataclass(slots=True, eq=False)
class TokenSequence:
    """What a model has read and written so far."""

    ids: list[int]
    """Token ids; an image stands as one run of image tokens, as long as its features."""
    images: list[Image.Image] = field(default_factory=list)
    """RGB, in the order of their runs."""


class Generator(Protocol):
    """Continues token sequences; a backend that holds the weights."""

    context_tokens: int
    """The longest sequence the model takes, its reply included."""
    max_new_tokens: int
    """Length at which a reply is cut off."""

    def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[list[int]]:
        """Write one reply a sequence, up to and including the end-of-turn token.

        Args:
            sequences: What to continue.
            seeds: One a sequence; with it a sampled reply does not depend on what else is in the batch.
        """
        ...


class ChatTokens:
    """Renders messages as token ids with a processor's own chat template.

    Args:
        processor: A transformers processor whose template knows tools.
        tools: JSON schemas as from `transformers.utils.get_json_schema`; rendered in alphabetical order of their names,
            the order in which TRL finds an environment's methods.
    """

    def __init__(self, processor: Any, tools: Sequence[Mapping[str, Any]]) -> None:
        self._processor = processor
        # None and not an empty list, for which some templates render a preamble.
        self._tools = sorted(tools, key=lambda tool: tool["function"]["name"]) or None
        self._answered = self._render(_DUMMY_TURNS)
        self._answered = self._answered[: _last_index(self._answered, processor.tokenizer.eos_token_id) + 1]

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Render the opening messages and the header of the assistant's turn."""
        return self._render(messages, tools=self._tools, add_generation_prompt=True)

    def result_ids(self, message: Message) -> list[int]:
        """Render what stands between a reply's end-of-turn token and the next reply: a tool message and the header.

        Raises:
            ValueError: The template renders earlier messages differently once a result follows.
        """
        ids = self._render([*_DUMMY_TURNS, message], add_generation_prompt=True)
        if ids[: len(self._answered)] != self._answered:
            raise ValueError("the chat template is not prefix-preserving: a tool result changes what stands before it")
        return ids[len(self._answered) :]

    def reply_ids(self, text: str) -> list[int]:
        """Tokenise a reply and its end-of-turn token, for text that no model wrote."""
        tokenizer = self._processor.tokenizer
        return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]

    def reply_text(self, ids: Sequence[int]) -> str:
        """Read a generated reply, without its end-of-turn token."""
        return self._processor.tokenizer.decode(ids, skip_special_tokens=True)

    def _render(self, messages: Sequence[Message], **options: Any) -> list[int]:
        return self._processor.apply_chat_template(list(messages), tokenize=True, return_dict=False, **options)[0]


class ChatPolicy:
    """A language model that plays many episodes in lock-step.

    A conversation that no longer fits the model's context gets an empty reply, which the episode counts as malformed.

    Args:
        tokens: Renders messages.
        generator: The model.
        seeds: One an episode; a reply's own seed also depends on its turn.
    """

    def __init__(self, tokens: ChatTokens, generator: Generator, seeds: Sequence[int]) -> None:
        self._tokens = tokens
        self._generator = generator
        self._seeds = seeds
        self._open: dict[int, TokenSequence] = {}

    def act(self, conversations: Sequence[Conversation]) -> list[str]:
        """Write the next reply of each conversation."""
        limit = self._generator.context_tokens - self._generator.max_new_tokens
        sequences = [self._extend(conversation) for conversation in conversations]
        fitting = [number for number, sequence in enumerate(sequences) if len(sequence.ids) <= limit]
        seeds = [self._reply_seed(conversations[number]) for number in fitting]
        replies = self._generator.generate([sequences[number] for number in fitting], seeds) if fitting else []
        texts = [""] * len(conversations)
        for number, ids in zip(fitting, replies, strict=True):
            sequences[number].ids += ids
            texts[number] = self._tokens.reply_text(ids)
        return texts

    def _extend(self, conversation: Conversation) -> TokenSequence:
        """Add the newest observation to the ids of its episode; an opening observation begins them anew."""
        messages = conversation.messages(system_text())
        if not conversation.replies:
            sequence = TokenSequence(self._tokens.prompt_ids(messages), images_of(messages))
            self._open[conversation.episode_idx] = sequence
            return sequence
        sequence = self._open[conversation.episode_idx]
        sequence.ids += self._tokens.result_ids(messages[-1])
        sequence.images += images_of(messages[-1:])
        return sequence

    def _reply_seed(self, conversation: Conversation) -> int:
        key = [self._seeds[conversation.episode_idx], len(conversation.replies)]
        return int(np.random.SeedSequence(key).generate_state(1)[0])


class OneTurnPolicy:
    """Lets a policy answer at once: it is told that no call is left, and asked again it repeats its reply.

    Args:
        policy: Who answers.
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy

    def act(self, conversations: Sequence[Conversation]) -> list[str]:
        """Ask for the first reply of each conversation; give it again where there is one already."""
        asked = [
            replace(it, observations=[_without_calls(it.observations[0])]) for it in conversations if not it.replies
        ]
        first = iter(self._policy.act(asked) if asked else [])
        return [it.replies[0] if it.replies else next(first) for it in conversations]


def images_of(messages: Sequence[Message]) -> list[Image.Image]:
    """List the images of messages in the order in which they are rendered."""
    blocks = [block for message in messages for block in message["content"]]
    return [block["image"] for block in blocks if isinstance(block, dict) and block["type"] == "image"]


def _without_calls(opening: Observation) -> Observation:
    head = opening.text.rpartition("Left: ")[0]
    return replace(opening, text=head + left_text(Remaining(0, 0), "frames"))


def _text_turn(role: str, text: str) -> Message:
    return {"role": role, "content": [{"type": "text", "text": text}]}


_DUMMY_TURNS: Sequence[Message] = (_text_turn("user", "dummy"), _text_turn("assistant", "dummy"))
"""Stands before a tool result while its ids are rendered; templates may refuse one without."""


def _last_index(ids: Sequence[int], wanted: int) -> int:
    return max(position for position, token in enumerate(ids) if token == wanted)
