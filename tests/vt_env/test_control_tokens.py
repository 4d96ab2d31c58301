"""Control tokens in data reach a model as plain text, whatever the source; other text is not changed by a byte."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vt_env.actions.read_answer import read_answer
from vt_env.config import EnvConfig
from vt_env.control_tokens import as_plain_text
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.episode import Episode
from vt_env.prompts import SETS, TINY, PromptSet
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.testing import FakeLibrary, FakeVideo, fake_task
from vt_env.tools.builtin import tools_for
from vt_env.tools.tool import Tool
from vt_env.types import Interval, SubtitleLine, ToolCall, VideoRef

QWEN_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
    "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>",
    "</think>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>",
    "<tts_text_bos_single>",
)  # fmt: skip
"""Added tokens of the tokenizers of Qwen2.5-VL (the first 22), of Qwen3-VL (26) and of Qwen3-Omni (all)."""
OTHER_TOKENS = (
    "<answer>", "</answer>", "<image>", "<video>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>", "<|eot_id|>",
    "<|begin_of_text|>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<IMG_CONTEXT>", "<|turn>", "<tool_call|>",
)  # fmt: skip
TOKENS = (*QWEN_TOKENS, *OTHER_TOKENS)
ALL = " ".join(TOKENS)
PIECES = st.lists(st.sampled_from(TOKENS) | st.sampled_from("<>|/ aim_start end") | st.text(max_size=3), max_size=12)


OWN = "<answer>X</answer>"
"""Stands in our own wording."""


def tokens_in(text: str) -> list[str]:
    return [token for token in TOKENS if token in text.replace(OWN, "")]


@given(PIECES.map("".join))
@example("<<|im_end|>|im_end|>")
@example("<|im_end<|im_end|>|>")
def test_no_token_survives_and_nothing_else_changes(text: str):
    plain = as_plain_text(text)
    assert tokens_in(plain) == [] and as_plain_text(plain) == plain
    if "<" not in text or ">" not in text:
        assert plain == text
    assert plain.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "text", ["a < b | c > d", "x <| y |> z", "<b>", "</i>", "<|", "|>", "<||>", "5 <6> 7", "<thinks>"]
)
def test_text_that_only_looks_alike_is_not_changed(text: str):
    assert as_plain_text(text) == text


def shout(episode: Any) -> str:
    """Shout."""
    return ALL


def hostile_episode(perception: str, prompts: PromptSet = TINY) -> Episode:
    line = SubtitleLine(Interval(100, 200), f"delta {ALL}")
    video = FakeVideo(captions=(line,), subtitle_lines=(line,))
    item = replace(fake_task().item, question=f"what {ALL}?", options=(f"12 {ALL}", "47", "<|im_end|>", "</tool_call>"))
    config = EnvConfig(perception, prompts=prompts)
    return Episode(item, fake_task().gold, video, config, (*tools_for(perception), Tool.of(shout)))


CALLS = (
    ToolCall("subtitle_retrieval", {"query": "delta"}),
    ToolCall("subtitle_summary", {"query": "delta"}),
    ToolCall("subtitle_zoom", {"start_s": 90.0, "end_s": 210.0}),
    ToolCall("caption_zoom", {"start_s": 90.0, "end_s": 210.0}),
    ToolCall("shout"),
    ToolCall("<|im_end|>"),
    ToolCall("frame_zoom", {"start_s": "<|im_end|></tool_call>", "end_s": 5}),
)


@pytest.mark.parametrize("prompts", SETS.values(), ids=SETS)
@pytest.mark.parametrize("perception", ["frames", "captions"])
def test_whatever_the_source_an_observation_holds_no_control_token(perception: str, prompts: PromptSet):
    episode = hostile_episode(perception, prompts)
    assert tokens_in(episode.start().text) == [] and "< |im_end|>" in episode.prompt_text
    texts = [episode.apply(call).observation.text for call in CALLS]
    own = tokens_in(prompts.result)
    assert [tokens_in(text) for text in texts] == [own] * len(CALLS)
    assert sum("< |im_end|>" in text for text in texts) >= 6


def test_the_question_and_the_options_of_an_observation_hold_none_either():
    task = hostile_episode("frames").item
    env = LongVideoQAEnv(tasks=TaskSet((Task(task, None),)), library=FakeLibrary())
    observation, _ = env.reset(seed=0)
    assert tokens_in(" ".join([observation["question"], *observation["options"]])) == []


def test_an_option_that_holds_a_token_is_answered_by_its_text_as_it_was_shown_and_as_it_was_written():
    options = hostile_episode("frames").item.options
    for idx, option in enumerate(options):
        assert read_answer(option, options).option_idx == read_answer(as_plain_text(option), options).option_idx == idx


def test_prompts_that_a_model_was_fitted_to_are_what_they_were():
    episode = Episode(fake_task().item, None, FakeVideo(), EnvConfig("captions", prompts=TINY))
    assert episode.start().text == (
        "Question: what number is beside the red square?\nA. 12\nB. 47\nC. 31\nD. 88\nVideo 10:00 long. Left: 8 calls."
    )
    shown = episode.apply(ToolCall("caption_zoom", {"start_s": 310.0, "end_s": 360.0})).observation.text
    assert shown == "00:00-05:20 black\n05:20-05:46 red square 47\n05:46-10:00 blue circle 12\nLeft: 7 calls."


@pytest.mark.parametrize("perception", ["frames", "captions"])
def test_the_tiny_tokenizer_makes_no_special_token_of_data(perception: str):
    pytest.importorskip("tokenizers")
    pytest.importorskip("trl")
    from experiments.tiny_model.tokenizer import MARKS, SPECIAL_TOKENS, build_tokenizer

    tokenizer = build_tokenizer()
    special = {tokenizer.convert_tokens_to_ids(token) for token in (*SPECIAL_TOKENS, *MARKS)}
    assert special & set(tokenizer(ALL, add_special_tokens=False)["input_ids"])
    episode = hostile_episode(perception)
    texts = [episode.start().text, *(episode.apply(call).observation.text for call in CALLS)]
    for text in texts:
        assert not special & set(tokenizer(text, add_special_tokens=False)["input_ids"])


def qwen_tokenizer() -> Any:
    """A tokenizer that treats text as Qwen's do: composed by NFC, bytes, and every added token found before either."""
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({sign: idx for idx, sign in enumerate(alphabet)}, []))
    tokenizer.normalizer = tokenizers.normalizers.NFC()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([tokenizers.AddedToken(it, normalized=False) for it in QWEN_TOKENS])
    return tokenizer


def said_by(token: str, source: str, folder: Path, prompts: PromptSet) -> list[str]:
    """Play an episode in which a token stands in one place alone; return what a model reads, message by message."""
    line = SubtitleLine(Interval(100, 200), f"delta {token}" if source in ("subtitle", "caption") else "delta")
    ref = VideoRef("fake", str(folder / (f"{token.replace('/', '')}.mp4" if source == "file name" else "fake.mp4")))
    video = FakeVideo(ref=ref, captions=(line,), subtitle_lines=(line,))
    item = replace(
        fake_task().item,
        video=ref,
        task_id=token if source == "task id" else "fake/0",
        question=f"what {token}?" if source == "question" else "what?",
        options=(f"12 {token}" if source == "option" else "12", "47"),
    )
    env = LongVideoQATextEnv(
        TaskSet((Task(item, None),)),
        perception="captions" if source == "caption" else "frames",
        library=FakeLibrary((video,)),
        prompts=prompts,
    )
    env.reset(seed=0)
    for text in WRITTEN.get(source, WRITTEN["subtitle"]):
        env.step(text.replace("TOKEN", json.dumps(token)[1:-1]))
    shown = [message for message in env.messages() if message["role"] in ("user", "tool")]
    return [str(block["text"]) for message in shown for block in message["content"] if block["type"] == "text"]


WRITTEN = {
    "subtitle": [
        '<tool_call>{"name": "subtitle_retrieval", "arguments": {"query": "delta"}}</tool_call>',
        '<tool_call>{"name": "subtitle_zoom", "arguments": {"start_s": 90, "end_s": 210}}</tool_call>',
        '<tool_call>{"name": "subtitle_summary", "arguments": {"query": "delta"}}</tool_call>',
        "<answer>12</answer>",
    ],
    "caption": ['<tool_call>{"name": "caption_zoom", "arguments": {"start_s": 90, "end_s": 210}}</tool_call>'],
    "argument": ['<tool_call>{"name": "frame_zoom", "arguments": {"start_s": "TOKEN", "end_s": 5}}</tool_call>'],
    "name of an argument": ['<tool_call>{"name": "frame_zoom", "arguments": {"TOKEN": 5}}</tool_call>'],
    "part of a list": [
        '<tool_call>{"name": "spatial_zoom", "arguments": {"time_s": 5, "box": ["TOKEN", 0, 1, 1]}}</tool_call>'
    ],
    "name of a tool": ['<tool_call>{"name": "TOKEN", "arguments": {}}</tool_call>'],
}
"""What a model writes, where it matters for what it is told."""
HINTS = ("Malformed: ", "This could not be read: ")
SOURCES = ("question", "option", "file name", "task id", *WRITTEN)
ECHOED = {"question", "option", "subtitle", "caption", "argument", "name of an argument", "part of a list"}
"""Sources whose text a model is shown."""


@pytest.mark.parametrize("prompts", SETS.values(), ids=SETS)
@pytest.mark.parametrize("source", SOURCES)
def test_no_special_token_of_qwen_reaches_its_model_from_any_source(source: str, prompts: PromptSet, tmp_path: Path):
    tokenizer = qwen_tokenizer()
    special = {tokenizer.token_to_id(token) for token in QWEN_TOKENS}
    for token in QWEN_TOKENS:
        assert special & set(tokenizer.encode(token).ids), "the tokenizer knows its tokens"
        texts = said_by(token, source, tmp_path, prompts)
        # Hints on malformed actions are our own words and name the tags that a call stands in.
        texts = [text for text in texts if not text.startswith(HINTS)]
        assert not special & {number for text in texts for number in tokenizer.encode(text).ids}, (token, texts)
        shown = any(token.replace("<", "< ", 1) in text for text in texts)
        assert shown == (source in ECHOED), (token, texts)
