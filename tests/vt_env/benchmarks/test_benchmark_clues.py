"""CG-Bench's clue condition shows only clues, and CRR compares two runs over their common questions."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.benchmark_files import cgbench_row, lvbench_video, write_json, write_jsonl
from support.videos import VideoSpec, write_video

from experiments.cli import run
from experiments.runs.journal import read_journal
from experiments.settings.models import ModelConfig
from experiments.settings.policies import Setting, layout_of
from vt_env.benchmarks.readers.registry import read_annotations, with_view
from vt_env.benchmarks.readers.rows import Annotations
from vt_env.benchmarks.scoring.cgbench_clues import with_clues
from vt_env.benchmarks.scoring.replies import Ended, Reply
from vt_env.benchmarks.scoring.scoreboard import Scoreboard, score
from vt_env.benchmarks.scoring.scoreboard_text import latex_table, plain
from vt_env.config import BudgetConfig, EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.perception import moments_of_parts
from vt_env.errors import ConfigError, DataError
from vt_env.intervals import union
from vt_env.task_sources import load_tasks
from vt_env.testing import FakeLibrary, fake_task, read_second
from vt_env.types import Interval, ToolCall

PARTS = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 60)), min_size=1, max_size=19).map(
    lambda spans: union([Interval(start_s, start_s + length_s) for start_s, length_s in spans])
)
SIX_FRAMES = BudgetConfig(max_calls=1, max_frames=7, frames_per_zoom=1, global_frames=6)
NO_FRAMES = BudgetConfig(max_calls=1, max_frames=7, frames_per_zoom=1, global_frames=0)


def cgbench(folder: Path, count: int = 6, **changes) -> Annotations:
    rows = [cgbench_row(qid, video_uid=f"v{qid % 3}", **changes) for qid in range(count)]
    return read_annotations(write_json(folder / "a.json", rows))


def replies(annotations: Annotations, letters: str) -> dict[str, Reply]:
    """A reply a question, the letters repeated; B is right, `?` cannot be read, `!` is an error."""
    texts = [letters[idx % len(letters)] for idx in range(len(annotations.rows))]
    return {
        row.task_id: Reply(row.task_id, text, Ended.ERROR if text == "!" else Ended.STOP)
        for row, text in zip(annotations.rows, texts, strict=True)
    }


def board_of(annotations: Annotations, whole: str, clues: str) -> Scoreboard:
    given_whole, given_clues = replies(annotations, whole), replies(annotations, clues)
    return with_clues(score(annotations, given_whole), annotations, given_whole, given_clues)


def excerpt(*parts: tuple[float, float], config: EnvConfig | None = None) -> Episode:
    task = fake_task()
    shown = tuple(Interval(*part) for part in parts)
    task = replace(task, item=replace(task.item, shown=shown))
    return make_episode(task, FakeLibrary(), config or EnvConfig(budget=SIX_FRAMES))


@given(PARTS, st.integers(1, 32))
def test_moments_lie_in_their_parts_rise_and_are_no_more_than_asked_for(parts, count):
    times_s = moments_of_parts(parts, count)
    assert len(times_s) <= count and times_s == sorted(times_s)
    held = [sum(part.contains(time_s) for time_s in times_s) for part in parts]
    assert sum(held) == len(times_s) and (count < len(parts) or min(held) >= 1)


def test_moments_are_shared_out_as_the_official_script_shares_its_frames():
    times_s = moments_of_parts([Interval(410, 436), Interval(900, 905)], 32)
    assert (sum(time_s < 500 for time_s in times_s), len(times_s)) == (26, 31)
    assert times_s[:2] == [410.5, 411.5] and times_s[-1] == 904.5
    assert moments_of_parts([Interval(0, 100), Interval(200, 201), Interval(300, 301)], 3) == [50, 200.5, 300.5]


def test_an_excerpt_shows_frames_of_its_parts_each_once_and_nothing_else():
    observation = excerpt((20, 22), (100, 103), (21, 23)).start()
    assert observation.frames is not None
    assert [read_second(picture) for picture in observation.frames.data] == [20, 21, 22, 100, 101, 102]
    short = excerpt((20.4, 20.6)).start()
    assert short.frames is not None and [read_second(picture) for picture in short.frames.data] == [20]


def test_no_tool_leads_out_of_an_excerpt():
    episode = excerpt((20, 22))
    episode.start()
    outcome = episode.apply(ToolCall("frame_zoom", {"start_s": 0, "end_s": 10}))
    assert outcome.error == "tool_error" and outcome.observation.frames is None
    assert "no tool is offered for this question" in outcome.observation.text


@pytest.mark.parametrize("config", [EnvConfig("captions", SIX_FRAMES), EnvConfig(budget=NO_FRAMES)])
def test_an_excerpt_that_could_show_nothing_is_refused(config):
    with pytest.raises(ConfigError, match="take perception='frames' and 1 or more global frames"):
        excerpt((20, 22), config=config)


def test_an_excerpt_behind_the_end_is_an_error_of_the_data_and_one_across_it_is_cut():
    episode = excerpt((700, 710))
    with pytest.raises(DataError, match="11:40-11:50 lie behind its end, 600 s"):
        episode.start()
    assert episode.invalid
    assert len(excerpt((598, 610)).start().frames or ()) == 2


@pytest.fixture
def copy(tmp_path: Path, monkeypatch) -> Path:
    """A copy of CG-Bench with two videos of 30 seconds, below the data root."""
    monkeypatch.setenv("VT_ENV_DATA", str(tmp_path))
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cgbench"
    clues = [[[5, 8], [20, 22]], [[10, 12]], [[3, 4]], [[25, 40]]]
    rows = [
        cgbench_row(qid, video_uid=f"v{qid % 2}", clue_intervals=spans, duration=30) for qid, spans in enumerate(clues)
    ]
    write_json(folder / "cgbench.json", rows)
    for name in ("v0", "v1"):
        (folder / "cg_videos_720p").mkdir(exist_ok=True)
        write_video(folder / "cg_videos_720p" / f"{name}.mp4", VideoSpec(frames=300))
    return folder


def test_the_view_has_the_same_questions_and_shows_their_clues(copy: Path):
    whole, clues = load_tasks("cgbench"), load_tasks("cgbench/clues")
    assert [it.item.task_id for it in clues] == [it.item.task_id for it in whole]
    assert (whole.is_excerpt, clues.is_excerpt) == (False, True)
    assert clues[0].item.shown == (Interval(5, 8), Interval(20, 22)) and not clues[0].item.train_allowed
    assert [it.item for it in load_tasks(f"{copy}/clues")] == [it.item for it in clues]


def test_questions_without_a_clue_are_left_out_of_the_view_and_named(copy: Path):
    row = cgbench_row(9, video_uid="v0", clue_intervals=[[8, 8]])
    rows = [*json.loads((copy / "cgbench.json").read_text()), row]
    write_json(copy / "cgbench.json", rows)
    with pytest.warns(UserWarning, match="1 of 5 questions have no clue interval and are left out: 9"):
        assert len(load_tasks("cgbench/clues")) == 4
    write_json(copy / "cgbench.json", [row])
    with pytest.raises(DataError, match="none of 1 questions has a clue interval"):
        load_tasks("cgbench/clues")


def test_views_that_are_not_there_are_refused(copy: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="did you mean 'cgbench/clues'"):
        load_tasks("cgbench/clue")
    write_jsonl(tmp_path / "lvbench" / "a.jsonl", [lvbench_video()])
    with pytest.raises(ConfigError, match="lvbench has no view 'clues'; that is one of cgbench, cgbench_mini"):
        load_tasks("lvbench/clues")


@pytest.mark.parametrize("agent", ["full", "retrieval-only", "blind", "oracle", "random", "caption-only", "gated"])
def test_agents_that_look_with_tools_are_refused(agent):
    with pytest.raises(ConfigError, match="without tools; allowed are uniform, constant, or your module:Class"):
        layout_of(agent, ModelConfig(), Setting(is_excerpt=True))


def test_more_frames_than_clue_acc_takes_are_refused():
    layout = layout_of("uniform", ModelConfig(uniform_frames=32), Setting(is_excerpt=True))
    assert (layout.tools, layout.budget.global_frames) == ((), 32)
    with pytest.raises(ConfigError, match=r"model\.uniform_frames=33: .*need 1 to 32 frames"):
        layout_of("uniform", ModelConfig(uniform_frames=33), Setting(is_excerpt=True))


def evaluate(out: Path, tasks: str, agent: str = "constant", *flags: str) -> Path:
    assert run(["eval", "--tasks", tasks, "--agent", agent, "--out", str(out), *flags]) == 0
    return out


def test_a_run_from_clues_is_journalled_replayed_and_scored_under_its_own_name(copy: Path, tmp_path: Path, capsys):
    clues = evaluate(tmp_path / "clues", "cgbench/clues", "constant", "--model.uniform-frames", "32")
    shown = {it.task_id: [frame.time_s for frame in it.prompt_frames] for it in read_journal(clues)}
    assert shown == {
        "cgbench/0": [5, 6, 7, 20, 21],
        "cgbench/1": [10, 11],
        "cgbench/2": [3],
        "cgbench/3": [25, 26, 27, 28, 29],
    }
    (origin,) = json.loads((clues / "provenance.json").read_text())["origins"].values()
    assert origin["shown"].startswith("parts of each video alone")
    assert run(["replay", str(clues)]) == 0
    assert run(["rescore", str(clues)]) == 0
    assert run(["rescore", str(clues), "--annotations", str(copy)]) == 0
    text = capsys.readouterr().out
    assert text.count("clue-acc[4/12129]") == 4 and "long-acc" not in text


def test_two_runs_give_crr_by_rescoring_and_in_a_report(copy: Path, tmp_path: Path, capsys):
    whole = evaluate(tmp_path / "runs" / "whole", "cgbench")
    clues = evaluate(tmp_path / "runs" / "clues", "cgbench/clues", "constant", "--model.uniform-frames", "4")
    out, table = tmp_path / "scores.json", tmp_path / "rows.tex"
    flags = ["--clues", str(clues), "--out", str(out), "--latex-file", str(table)]
    assert run(["rescore", str(whole), *flags]) == 0
    assert "CRR[4/12129]" in capsys.readouterr().out
    others = json.loads(out.read_text())["strict"]["others"]
    assert others["clue-acc[4/12129]"]["value"] == 0 and others["CRR[4/12129]"]["value"] is None
    assert "clue-acc[4/12129] & long-acc[4/12129] & CRR[4/12129] & mIoU" in table.read_text()
    assert run(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "report.md").read_text()
    assert "constant on clues" in page and "| CRR[4/12129] |" in page and "### cgbench/clues, test" in page


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("whole", "whole", "evaluate with --tasks cgbench/clues"),
        ("clues", "clues", "the first run shows the clues alone"),
        ("whole", "gone", "is this a run directory?"),
        ("others", "clues", "CRR compares one model with itself"),
    ],
)
def test_runs_of_the_wrong_kind_are_refused_in_one_line(copy: Path, tmp_path: Path, capsys, first, second, message):
    for name, tasks in (("whole", "cgbench"), ("clues", "cgbench/clues")):
        evaluate(tmp_path / name, tasks)
    evaluate(tmp_path / "others", "cgbench", "random")
    (tmp_path / "gone").mkdir()
    capsys.readouterr()
    assert run(["rescore", str(tmp_path / first), "--clues", str(tmp_path / second)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_crr_is_the_smaller_accuracy_over_that_on_clues(tmp_path: Path):
    board = board_of(cgbench(tmp_path), "BAAAAA", "BBBBAA")
    others = board.strict.others
    assert others["clue-acc[6/12129]"].value == pytest.approx(400 / 6)
    assert others["CRR[6/12129]"].value == pytest.approx(25)
    better = board_of(cgbench(tmp_path), "BBBBBA", "BBBBAA").strict.others["CRR[6/12129]"]
    assert better.value == 100 and better.ci95 == (100, 100)
    assert "CRR[6/12129]" in plain(board) and "CRR[6/12129]" in latex_table([("sft", board)])


def test_the_interval_of_crr_pairs_the_runs_by_video(tmp_path: Path):
    # Half of what each video's clues give is found in the whole video: no draw of videos can change that.
    annotations = cgbench(tmp_path, 60, clue_intervals=[[0, 10]])
    rows = annotations.rows
    clues = {row.task_id: Reply(row.task_id, "B" if idx < 42 else "A") for idx, row in enumerate(rows)}
    whole = {row.task_id: Reply(row.task_id, "B" if idx < 21 else "A") for idx, row in enumerate(rows)}
    crr = with_clues(score(annotations, whole), annotations, whole, clues).strict.others["CRR[60/12129]"]
    assert crr.value == pytest.approx(50) and crr.ci95 == pytest.approx((50, 50))


def test_the_official_names_stand_only_where_both_runs_cover_every_question(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mini = cgbench(tmp_path, 3000)
        assert {"clue-acc", "CRR"} <= board_of(mini, "BA", "B").strict.others.keys()
    whole, clues = replies(mini, "BA"), replies(mini, "B")
    clues.popitem()
    others = with_clues(score(mini, whole), mini, whole, clues).strict.others
    assert list(others) == ["clue-acc[2999/3000]", "CRR[2999/3000]"] and others["CRR[2999/3000]"].n == 2999


def test_questions_that_failed_in_either_run_count_in_neither(tmp_path: Path):
    board = board_of(cgbench(tmp_path), "BB!BAA", "BBBB!A")
    assert board.strict.others["clue-acc[4/12129]"].value == 75
    assert board.strict.others["CRR[4/12129]"].value == 100


def test_the_official_rule_leaves_out_what_it_cannot_read_in_each_run_apart(tmp_path: Path):
    board = board_of(cgbench(tmp_path), "B?AAAA", "BBBB??")
    assert board.official is not None
    assert board.official.others["CRR[6/12129]"].value == pytest.approx(20)
    assert board.official.others["clue-acc[6/12129]"].n == 4
    assert board.strict.others["CRR[6/12129]"].value == pytest.approx(25)


def test_crr_needs_clues_a_run_on_whole_videos_and_shared_questions(tmp_path: Path):
    annotations = cgbench(tmp_path)
    given_all = replies(annotations, "B")
    board = score(annotations, given_all)
    with pytest.raises(ConfigError, match="no question of cgbench has a reply in both runs"):
        with_clues(board, annotations, given_all, {})
    with pytest.raises(ConfigError, match="belong to no question of cgbench"):
        with_clues(board, annotations, given_all, {"lvbench/1": Reply("lvbench/1", "A")})
    with pytest.raises(ConfigError, match="the first run shows the clues alone"):
        with_clues(score(with_view(annotations, "clues"), given_all), annotations, given_all, given_all)
    other = read_annotations(write_jsonl(tmp_path / "lv" / "a.jsonl", [lvbench_video()]))
    with pytest.raises(ConfigError, match="lvbench has no clue condition"):
        with_clues(score(other, replies(other, "B")), other, replies(other, "B"), replies(other, "B"))


def test_spans_are_not_scored_where_they_were_given_away(tmp_path: Path):
    annotations = cgbench(tmp_path)
    cited = {task_id: replace(it, cited=((410.0, 436.0),)) for task_id, it in replies(annotations, "B").items()}
    assert score(annotations, cited).grounded and not score(with_view(annotations, "clues"), cited).grounded
