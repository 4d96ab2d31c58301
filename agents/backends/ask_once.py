"""Single-prompt requests without a conversation, for judges and summaries."""

from agents.backends.chat_wire import ChatRequest, Complete, NoReply, ReplyStatus
from vt_env.actions.thoughts import split_thoughts

REPLY_TOKENS = 2048
"""Maximum reply length in tokens, thoughts included."""


def ask_once(complete: Complete, prompt: str) -> str:
    """Send a prompt and return the reply without its thoughts.

    Args:
        complete: Answers a request, such as `OpenAIClient.complete`.
        prompt: Text of the user message.

    Raises:
        NoReply: The reply was cut off, refused or missing.
    """
    reply = complete(ChatRequest([{"role": "user", "content": prompt}], max_tokens=REPLY_TOKENS))
    if reply.status is not ReplyStatus.OK:
        raise NoReply(reply)
    return split_thoughts(reply.text)[1]
