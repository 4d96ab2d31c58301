"""Prompt sets: all text that a model reads, under a name and a version. Three ship; files add others."""

from vt_env.prompts.default import DEFAULT, DEFAULT_TOOL
from vt_env.prompts.lines import clip_lines, read_lines, spoken_lines
from vt_env.prompts.load import SETS, load_prompts, resolve_prompts, save_prompts
from vt_env.prompts.prompt_set import OVER, PromptSet, frame_time, option_letter, option_line, returned_text
from vt_env.prompts.tiny import TINY

__all__ = [
    "DEFAULT",
    "DEFAULT_TOOL",
    "OVER",
    "SETS",
    "TINY",
    "PromptSet",
    "clip_lines",
    "frame_time",
    "load_prompts",
    "option_letter",
    "option_line",
    "read_lines",
    "resolve_prompts",
    "returned_text",
    "save_prompts",
    "spoken_lines",
]
