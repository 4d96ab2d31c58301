"""The wording for models that were not trained here, such as Qwen2.5-VL, Qwen3-VL and models behind a server.

Whole sentences, and no word about a perception or a tool that some policy lacks. It was chosen by measurement among the
wordings of `experiments/integrations/real_models` (docs/talks.md). Five choices follow what small language models did
with other texts: the form of the answer stands behind results alone, since named at the top it came back as the first
reply; no option stands inside answer tags, since they copied words from there; the hint on a reply that could not be
read shows a call that works as it is, since they copied its form too; budgets are no bare numbers before a full stop,
which were copied as times; and the question stands behind each result again, without which a call was repeated instead
of an answer.
"""

from dataclasses import replace

from vt_env.prompts.prompt_set import PromptSet

_LETTER = "the letter of the right option between <answer> and </answer>"
_SHOWN = "what is shown here and "
_AGAIN = "{result}\n\nThe question again: {question}\n{options}\nIf the results settle it, "

DEFAULT = PromptSet(
    name="default",
    version=3,
    system=(
        "You find the answer to a multiple-choice question about a long video. You cannot watch it: all that you know "
        f"of it is {_SHOWN}what tools return. Tools search what is said and look at what is shown. Search first, read "
        "around what you found, and go on until it settles the question."
    ),
    system_without_tools=(
        "You answer a multiple-choice question about a video from what you are given. No tools are available. "
        f"Reply with {_LETTER}."
    ),
    opening=(
        "Question: {question}\n{options}\n\nThe video lasts {duration} (minutes:seconds), and nothing else of it is "
        "known yet. {budget}"
    ),
    opening_frames="Shown here: frames of the video at {times}.",
    result=f"{_AGAIN}reply with {_LETTER}. Otherwise: {{budget}}",
    budget_frames="Call a tool. You may call tools {calls} more times and see {frames} more frames.",
    budget_captions="Call a tool. You may call tools {calls} more times.",
    budget_spent=(
        "No tool calls are left. Reply with the letter of the likeliest option between <answer> and </answer>."
    ),
    error="The tool call failed: {message}",
    malformed="This could not be read: {problem}. A tool is called like this:\n{example}",
    malformed_without_tools=f"This could not be read: {{problem}}. Reply with {_LETTER}.",
    clips="Best matching clips, best first, each with its similarity score:\n{lines}",
    no_clips="No clip was found.",
    subtitles="Subtitles:\n{lines}",
    no_subtitles="No subtitles were found.",
    captions="Captions of what can be seen:\n{lines}",
    no_captions="No captions were found.",
    frames="Shown here: frames of the video at {times}.",
    crop="Shown here: a part of the frame at {time}.",
    hints="user",
)

DEFAULT_TOOL = replace(
    DEFAULT,
    name="default-tool",
    version=2,
    answers="tool",
    result=f"{_AGAIN}call the tool answer with the letter of the right option. Otherwise: {{budget}}",
    budget_spent="No other tool calls are left. Call the tool answer with the letter of the likeliest option.",
)
"""The same wording where the answer is a call of the tool `answer`; an extension. Policies without tools answer in tags
either way."""
