"""Single-prompt requests without a conversation, for judges and summaries."""

from dataclasses import replace

from agents.backends.chat_wire import ChatRequest, Complete, NoReply, ReplyStatus
from agents.backends.sampling import Sampling
from vt_env.actions.thoughts import said_text

REPLY_TOKENS = 2048
"""Maximum reply length in tokens, thoughts included."""


def ask_once(complete: Complete, prompt: str) -> str:
    """Send a prompt and return the reply without its thoughts.

    Args:
        complete: Answers a request, such as `OpenAIClient.complete`.
        prompt: Text of the user message.

    Raises:
        NoReply: The reply was cut off, refused, missing or empty.
    """
    sampling = Sampling(temperature=0.0, max_new_tokens=REPLY_TOKENS)
    reply = complete(ChatRequest([{"role": "user", "content": prompt}], sampling=sampling))
    if reply.status is not ReplyStatus.OK:
        raise NoReply(reply)
    text = said_text(reply.text)
    if not text:
        raise NoReply(replace(reply, status=ReplyStatus.UNREADABLE, error="the reply is empty"))
    return text
