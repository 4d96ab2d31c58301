"""The wording for models that were not trained here, such as Qwen2.5-VL, Qwen3-VL and models behind a server.

Whole sentences, and no word that is false for some perception or choice of tools. Four choices follow what small
language models did with the texts of `vt_env.prompts.tiny`: what stands inside answer tags is a letter that is no
option, since they copied words from there as their answer; the hint on a reply that could not be parsed shows a call
that works as it is, since they copied its form too; budgets are no bare numbers before a full stop, which were copied
as times; and the question stands behind each result again, without which a call was repeated instead of an answer.
"""

from dataclasses import replace

from vt_env.prompts.prompt_set import PromptSet

_ANSWER = "<answer>X</answer>, where X is the letter of the option"
_CALL = "by calling the tool answer with the letter of the option"
_EXPLORE = (
    "You answer a multiple-choice question about a long video that you cannot watch as a whole. Explore it with "
    "the tools: search for the moments that matter, inspect them, and verify the answer before you give it. If a "
    "search does not help, use other words or inspect another part of the video. Every reply must contain either "
    "tool calls or the final answer, never both; you may think briefly before it."
)
_UNREAD = "Your reply could not be parsed: {problem}. Reply with one tool call, for example\n{example}\nor"

DEFAULT = PromptSet(
    name="default",
    version=2,
    system=f"{_EXPLORE} Write the final answer as {_ANSWER}.",
    system_without_tools=(
        "You answer a multiple-choice question about a video from what you are given. No tools are available. Write "
        f"the final answer as {_ANSWER}."
    ),
    opening="Question: {question}\nOptions:\n{options}\nThe video is {duration} (mm:ss) long. {budget}",
    opening_frames="Shown here: frames of the video at {times}.",
    result="{result}\n\nThe question again: {question}\n{options}\n{budget}",
    budget_frames="Budget left: {calls} tool call(s) and {frames} frame(s).",
    budget_captions="Budget left: {calls} tool call(s).",
    budget_spent=f"No tool calls are left. Give the final answer now: {_ANSWER}.",
    error="The tool call failed: {message}",
    malformed=f"{_UNREAD} with the final answer: {_ANSWER}.",
    malformed_without_tools=f"Your reply could not be parsed: {{problem}}. Reply with the final answer: {_ANSWER}.",
    clips="Best matching clips, best first, each with its similarity score:\n{lines}",
    no_clips="No clip was found.",
    subtitles="Subtitles:\n{lines}",
    no_subtitles="No subtitles were found.",
    captions="Captions of what can be seen:\n{lines}",
    no_captions="No captions were found.",
    frames="Shown here: frames of the video at {times}.",
    crop="Shown here: a part of the frame at {time}.",
)

DEFAULT_TOOL = replace(
    DEFAULT,
    name="default-tool",
    version=1,
    answers="tool",
    system=f"{_EXPLORE} Give the final answer {_CALL}.",
    budget_spent=f"No other tool calls are left. Give the final answer now, {_CALL}.",
    malformed=f"{_UNREAD} give the final answer {_CALL}.",
)
"""The same wording where the answer is a call of the tool `answer`; an extension. Policies without tools answer in tags
either way."""
