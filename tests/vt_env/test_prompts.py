"""Prompt sets: what every set must say, what each ships with, and files that hold one."""

import json
import re
import string
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.actions.parse import parse_action
from vt_env.actions.read_answer import AnswerStatus, read_answer
from vt_env.budget.remaining import Remaining
from vt_env.config import BudgetConfig, EnvConfig, default_budget, paper_budget
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError
from vt_env.gold import Gold
from vt_env.prompts import (
    DEFAULT,
    SETS,
    TINY,
    PromptSet,
    clip_lines,
    load_prompts,
    read_lines,
    resolve_prompts,
    returned_text,
    save_prompts,
    spoken_lines,
)
from vt_env.testing import FakeLibrary, FakeVideo, fake_task, fake_tasks
from vt_env.tools.builtin import DEFAULT_TOOLS, tools_for
from vt_env.tools.check_arguments import check_arguments
from vt_env.types import Answer, Interval, Malformed, ScoredInterval, SubtitleLine, ToolCall

EACH_SET = pytest.mark.parametrize("prompts", SETS.values(), ids=SETS)
EACH_PERCEPTION = pytest.mark.parametrize("perception", ["frames", "captions"])
ITEM = fake_task().item


def started(prompts: PromptSet, perception: str = "frames", budget: BudgetConfig | None = None, **changes) -> Episode:
    config = EnvConfig(perception, budget or default_budget(), prompts=prompts)
    episode = Episode(ITEM, fake_task().gold, FakeVideo(), config, **changes)
    episode.start()
    return episode


def every_text(prompts: PromptSet, perception: str) -> Iterator[str]:
    """Play calls of all kinds, failures among them, until none is left."""
    episode = started(prompts, perception, replace(default_budget(), max_calls=9))
    yield episode.prompt_text
    calls = [
        ToolCall("clip_retrieval", {"query": "red square"}),
        ToolCall("clip_retrieval", {"query": "green"}),
        ToolCall("subtitle_retrieval", {"query": "delta"}),
        ToolCall("subtitle_zoom", {"start_s": 0, "end_s": 1}),
        ToolCall(episode.perception.zoom_tool, {"start_s": 320, "end_s": 340}),
        ToolCall("spatial_zoom", {"time_s": 322, "box": [0, 0, 0.5, 0.5]}),
        ToolCall("nothing"),
        parse_action("I think it is B"),
        parse_action("<answer>B"),
    ]
    for call in calls:
        yield episode.apply(call).observation.text


@EACH_SET
@EACH_PERCEPTION
def test_the_question_each_option_the_duration_and_the_budget_stand_in_the_first_observation(prompts, perception):
    text = started(prompts, perception).prompt_text
    assert all(it in text for it in (ITEM.question, "A. 12", "B. 47", "C. 31", "D. 88", "10:00"))
    assert prompts.budget_text(Remaining(8, 16), perception) in text
    assert ("frame" in prompts.budget_text(Remaining(8, 16), perception)) == (perception == "frames")


@EACH_SET
@EACH_PERCEPTION
def test_every_observation_tells_what_is_left_and_the_last_one_that_it_is_time_to_answer(prompts, perception):
    *texts, last = every_text(prompts, perception)
    for spent, text in enumerate(texts):
        said = text.removeprefix(prompts.without_budget(text))
        assert f" {9 - spent} " in said and said != text
    assert prompts.budget_spent in last and "nswer" in prompts.budget_spent


@EACH_SET
@EACH_PERCEPTION
def test_no_text_depends_on_the_answer_key(prompts, perception):
    config, shown = EnvConfig(perception, prompts=prompts), set()
    for gold in (Gold(0), Gold(3, (Interval(1, 2),)), None):
        episode = Episode(ITEM, gold, FakeVideo(), config)
        shown.add((episode.start().text, episode.apply(Malformed("", "x")).observation.text))
    assert len(shown) == 1


@EACH_PERCEPTION
def test_with_captions_the_default_set_speaks_of_no_frame(perception):
    texts = [DEFAULT.system, DEFAULT.system_without_tools, *every_text(DEFAULT, perception)]
    assert any("frame" in text for text in texts) == (perception == "frames")


@EACH_SET
def test_lines_of_all_sets_are_read_back(prompts):
    episode = started(prompts)
    found = episode.apply(ToolCall("clip_retrieval", {"query": "red square", "top_k": 2})).observation
    assert [str(it.interval) for it in found.lines] == ["05:20-05:30", "05:30-05:40"]
    said = episode.apply(ToolCall("subtitle_retrieval", {"query": "delta"})).observation
    assert [it.text for it in said.lines] == ["the code of delta is 31"]
    assert (read_lines(found.text), read_lines(said.text)) == (found.lines, said.lines)


TIMED = st.builds(
    lambda start_s, duration_s, words: SubtitleLine(Interval(start_s, start_s + duration_s), " ".join(words)),
    st.floats(0, 40_000),
    st.floats(0.01, 500),
    st.lists(
        st.sampled_from(["red", "47", "<think>", "00:03-00:05", "#2", "\n", "<|im_end|>", "ß\u2028x"]), min_size=1
    ),
).filter(lambda line: line.text.strip())
CLIPS = st.lists(st.builds(ScoredInterval, st.builds(lambda it: it.interval, TIMED), st.floats(-1, 1)), max_size=5)


@given(st.sampled_from([DEFAULT, TINY]), st.lists(TIMED, max_size=5), CLIPS)
def test_the_record_of_lines_is_what_their_text_says(prompts, words, clips):
    for lines, text in (
        ((it := spoken_lines(words)), prompts.captions_text(it)),
        ((it := spoken_lines(words)), prompts.subtitles_text(it)),
        ((it := clip_lines(clips)), prompts.clips_text(it)),
    ):
        assert read_lines(returned_text(text)) == lines
        assert all(it.line in text.splitlines() or it.score is not None for it in lines)


@EACH_SET
@EACH_PERCEPTION
def test_results_under_two_budgets_are_equal_but_for_the_words_on_what_is_left(prompts, perception):
    call = ToolCall("subtitle_retrieval", {"query": "delta"})
    few, many = (started(prompts, perception, it).apply(call).observation.text for it in (default_budget(), PAPER))
    assert few != many or perception == "captions"
    assert prompts.without_budget(few) == prompts.without_budget(many) != few


PAPER = replace(paper_budget(), global_frames=0)


def test_the_tiny_set_is_that_of_the_shipped_model():
    folder = Path(__file__).parents[2] / "experiments" / "tiny_model" / "base"
    assert load_prompts(folder / "vt_env_prompts.json") == TINY


@EACH_PERCEPTION
def test_the_hint_of_the_default_set_shows_a_call_that_works(perception):
    episode = started(DEFAULT, perception)
    hint = episode.apply(parse_action("I think it is B")).observation.text
    assert "could not be read: neither a call nor an answer. A tool" in hint
    (example,) = re.findall(r"<tool_call>.*?</tool_call>", hint, re.DOTALL)
    assert episode.apply(parse_action(example)).error is None


@pytest.mark.parametrize("name", DEFAULT_TOOLS)
@pytest.mark.parametrize("duration_s", [1.0, 13.0, 36_000.0])
def test_an_example_of_each_tool_is_a_legal_call(name, duration_s):
    (tool,) = tools_for("captions" if name == "caption_zoom" else "frames", [name])
    assert check_arguments(tool, tool.example("a red car", duration_s), duration_s, BudgetConfig())


def test_what_the_default_set_writes_inside_answer_tags_is_no_option():
    texts = [str(value) for name, value in asdict(DEFAULT).items() if name not in ("name", "version")]
    answers = [answer for text in texts for answer in re.findall(r"<answer>(.*?)</answer>", text)]
    assert set(answers) == {" and "} and len(answers) >= 4
    assert read_answer("and", ITEM.options).status is AnswerStatus.UNPARSED
    assert read_answer("B", ITEM.options).option_idx == 1


def test_a_policy_without_tools_is_not_told_to_use_them():
    assert "tools" in DEFAULT.system_text() and "Search" not in DEFAULT.system_text(has_tools=False)
    episode = started(DEFAULT, tools=())
    assert "<tool_call>" not in episode.apply(parse_action("B")).observation.text


def test_frames_beside_the_question_are_introduced_with_their_times():
    opening = started(DEFAULT, budget=paper_budget()).prompt_text
    assert opening.startswith("Shown here: frames of the video at 00:09 00:28 ")
    assert started(TINY, budget=paper_budget()).prompt_text.startswith("Question: ")


def test_an_environment_takes_a_name_a_file_or_a_set(tmp_path):
    save_prompts(replace(DEFAULT, name="mine"), tmp_path / "p.json")
    for choice, name in (("tiny", "tiny"), (tmp_path / "p.json", "mine"), (DEFAULT, "default")):
        env = LongVideoQAEnv(fake_tasks(), library=FakeLibrary(), prompts=choice)
        assert env.config.prompts.name == name
    allowed = r"allowed are default, default-tool, tiny, longvt, .*, or a \.json.*mean 'tiny'"
    with pytest.raises(ConfigError, match=f"prompts='tinny': {allowed}"):
        LongVideoQAEnv(fake_tasks(), library=FakeLibrary(), prompts="tinny")


TEXTS = st.text(st.characters(exclude_characters="{}<>", exclude_categories=["Cs"]), max_size=20)


@given(TEXTS, TEXTS, st.integers(1, 99))
def test_a_set_that_is_written_to_a_file_is_read_back(tmp_path_factory, before, after, version):
    path = tmp_path_factory.getbasetemp() / "prompts.json"
    mine = replace(DEFAULT, name="mine", version=version, result=f"{before}{{result}}{after}{{budget}}", system=after)
    save_prompts(mine, path)
    assert load_prompts(path) == resolve_prompts(path) == mine and mine.id == f"mine@{version}"
    assert mine.key != DEFAULT.key


def test_a_toml_file_names_the_texts_that_differ(tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\nversion = 2\nno_clips = "Nothing."\n')
    assert load_prompts(tmp_path / "mine.toml") == replace(DEFAULT, name="mine", version=2, no_clips="Nothing.")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "need an object with name, version"),
        ([], "need an object with name, version"),
        ({"name": "mine", "version": "1"}, "version='1': need a text and a whole number"),
        ({"name": "My set", "version": 1}, "name='My set': need lower-case letters"),
        ({"name": "mine", "version": 0}, "version=0: need a whole number"),
        ({"name": "mine", "version": 1, "sytem": ""}, "no text 'sytem'; allowed are .* mean 'system'"),
        ({"name": "mine", "version": 1, "system": 3}, "system is int; need a text"),
        ({"name": "mine", "version": 1, "system": "half \ud83d"}, "system: not valid Unicode"),
        ({"name": "mine", "version": 1, "result": "{result}"}, "result lacks {budget}"),
        ({"name": "mine", "version": 1, "error": "{message} {name}"}, "error holds {name}; allowed are {message}"),
        ({"name": "mine", "version": 1, "error": "{message.real}"}, "error holds {message.real}"),
        ({"name": "mine", "version": 1, "error": "{message!r}"}, "error holds {message!r}"),
        ({"name": "mine", "version": 1, "error": "{message"}, "expected '}'"),
        ({"name": "mine", "version": 1, "error": "<b{message}>"}, "puts a placeholder inside a tag"),
        (
            {"name": "tiny", "version": 1, "system": "Go."},
            "texts differ from those of tiny@1, which ships; give it another name",
        ),
    ],
)
def test_a_file_that_is_no_prompt_set_is_refused_in_one_line(tmp_path, values, message):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=message) as error:
        load_prompts(path)
    assert "\n" not in str(error.value) and "prompts" in str(error.value)


@pytest.mark.parametrize("content", ["{", "", "[" * 100_000, None], ids=["cut", "empty", "deep", "missing"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "p.json").write_text(content)
    with pytest.raises(ConfigError, match="need a JSON or TOML file"):
        load_prompts(tmp_path / "p.json")


def test_every_text_of_a_set_says_which_placeholders_it_holds():
    for it in fields(PromptSet):
        if it.name not in ("name", "version", "answers", "calls", "times", "hints", "tool_schemas"):
            for prompts in SETS.values():
                found = {name for _, name, _, _ in string.Formatter().parse(getattr(prompts, it.name)) if name}
                assert set(it.metadata["needed"]) <= found <= set(it.metadata["allowed"])


def test_an_answer_ends_every_episode_alike():
    assert {started(it).apply(Answer("47")).observation.text for it in SETS.values()} == {"The episode is over."}


def test_a_doubled_brace_is_one_brace_in_every_text_a_model_reads():
    call = '{{"name": "look"}}'
    fixed = ("system", "system_without_tools", "budget_spent", "no_clips", "no_subtitles", "no_captions")
    prompts = replace(DEFAULT, name="braces", **dict.fromkeys(fixed, call))
    texts = [prompts.system_text(), prompts.system_text(has_tools=False)]
    texts += [
        prompts.budget_text(Remaining(0, 0), "frames"),
        prompts.clips_text([]),
        prompts.subtitles_text([]),
        prompts.captions_text([]),
    ]
    assert texts == ['{"name": "look"}'] * 6
