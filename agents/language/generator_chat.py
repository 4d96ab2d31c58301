"""Single requests to a generator in this process, in batches, on the same token ids as the policies of episodes."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

from agents.backends.chat_wire import ChatReply, ChatRequest, ReplyStatus, Usage
from agents.backends.generator import Generator, TokenSequence
from agents.language.token_policy import ChatTokens, images_of
from vt_env.episode.messages import Message
from vt_env.episode.reply_record import ReplyEnd


class GeneratorChat:
    """Chat completions on a generator; it satisfies `agents.backends.chat_wire.Completer`.

    The generator's own sampling and reply length apply, not those of the requests.

    Args:
        tokens: Rendering of messages to token ids.
        generator: Text generation backend.
        batch_size: Number of requests that are answered together.
    """

    def __init__(self, tokens: ChatTokens, generator: Generator, batch_size: int) -> None:
        self._tokens, self._generator, self._batch_size = tokens, generator, batch_size

    def complete_each(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
        """Answer requests in order, batch by batch."""
        left = iter(requests)
        while some := list(islice(left, self._batch_size)):
            yield from self._complete([self._sequence(request) for request in some])

    def _sequence(self, request: ChatRequest) -> TokenSequence:
        messages = cast("list[Message]", list(request.messages))
        return TokenSequence(self._tokens.prompt_ids(messages), images_of(messages))

    def _complete(self, sequences: list[TokenSequence]) -> Iterator[ChatReply]:
        limit = self._generator.context_tokens - self._generator.max_new_tokens
        fitting = [it for it in sequences if len(it.ids) <= limit]
        written = iter(self._generator.generate(fitting, [0] * len(fitting)) if fitting else [])
        for it in sequences:
            if len(it.ids) > limit:
                yield ChatReply(ReplyStatus.TOO_LONG, error=f"{len(it.ids)} tokens are more than the model reads")
                continue
            completion = next(written)
            reply = self._tokens.describe(completion, it.ids, 0)
            is_whole = reply.record is not None and reply.record.ended is ReplyEnd.STOP
            status = ReplyStatus.OK if is_whole else ReplyStatus.TRUNCATED
            yield ChatReply(status, reply.text, usage=Usage(len(it.ids), len(completion), tries=1))
