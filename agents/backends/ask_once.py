"""One prompt, one text: for judges and summaries, which hold no conversation."""

from agents.backends.chat_wire import ChatRequest, Complete, NoReply, ReplyStatus
from vt_env.actions.thoughts import split_thoughts

REPLY_TOKENS = 2048
"""Room for thoughts before the text."""


def ask_once(complete: Complete, prompt: str) -> str:
    """Send a prompt and return the reply without its thoughts.

    Args:
        complete: Answers the request, such as `OpenAIClient.complete`.
        prompt: Text of the only message.

    Raises:
        NoReply: The reply was cut off, refused or never came.
    """
    reply = complete(ChatRequest([{"role": "user", "content": prompt}], max_tokens=REPLY_TOKENS))
    if reply.status is not ReplyStatus.OK:
        raise NoReply(reply)
    return split_thoughts(reply.text)[1]
