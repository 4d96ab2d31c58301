"""The wording that the shipped tiny model was fitted to.

A tokenizer and a model were fitted to these texts: changing a character changes what that model was trained on. They
are as short as they can be, since its context is short.
"""

from vt_env.prompts.prompt_set import PromptSet

_SYSTEM = "Answer the question about the long video. Look with the tools, then write <answer>the option</answer>."

TINY = PromptSet(
    name="tiny",
    version=1,
    system=_SYSTEM,
    system_without_tools=_SYSTEM,
    opening="Question: {question}\n{options}\nVideo {duration} long. {budget}",
    opening_frames="",
    result="{result}\n{budget}",
    budget_frames="Left: {calls} calls, {frames} frames.",
    budget_captions="Left: {calls} calls.",
    budget_spent="Left: 0 calls. Answer now.",
    error="Error: {message}",
    malformed="Malformed: {reason}\n{calls}",
    malformed_without_tools="Malformed: {reason}",
    clips="{lines}",
    no_clips="No match.",
    subtitles="{lines}",
    no_subtitles="No subtitles.",
    captions="{lines}",
    no_captions="Nothing to see.",
    frames="Frames at {times}.",
    crop="Crop at {time}.",
)
