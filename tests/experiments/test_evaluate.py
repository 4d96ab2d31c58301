"""An evaluation plays every task once, whatever happens to the process, and never scores what could not be played."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.videos import VideoSpec, write_video

from experiments.cli import COMMANDS
from experiments.cli import run as command
from experiments.evaluate import eval as evaluation
from experiments.evaluate.eval import EvalRun, evaluate, play
from experiments.runs.journal import read_journal
from experiments.runs.read_run import CONFIG, JOURNAL, PROVENANCE, read_json
from experiments.runs.run_dir import write_json
from experiments.settings.library import LibraryConfig
from experiments.settings.models import ModelConfig
from experiments.settings.policies import SeededAttempt, build_policy
from experiments.settings.profile import MediaFlags
from experiments.settings.text_models import ServedWriter
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.jsonl import append_line
from vt_env.testing import FakeLibrary, FakeVideo, fake_task
from vt_env.types import VideoRef

HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twelve tasks about two small videos, and a cache for them."""
    folder = tmp_path_factory.mktemp("tasks")
    for name in ("one", "two"):
        write_video(folder / f"{name}.mp4", VideoSpec(subtitles=((0.5, 2.0, f"the code of {name} is 47"),)))
    asked = {"question": "what is the code?", "options": ["12", "47", "31"], "answer": 1, "evidence": [[0.5, 2.0]]}
    rows = [{**asked, "video": f"{('one', 'two')[n % 2]}.mp4", "task_id": f"task-{n:02d}"} for n in range(12)]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(autouse=True)
def cache(folder, monkeypatch):
    monkeypatch.setenv("VT_ENV_CACHE", str(folder / "cache"))


def run_of(folder: Path, out: Path, **changes) -> EvalRun:
    return replace(EvalRun(out=out, tasks=str(folder), batch=3), **changes)


def by_task(path: Path) -> dict[tuple[str, int], Trajectory]:
    return {(it.task_id, it.sample): it.without_times() for it in read_journal(path)}


@pytest.mark.parametrize(("agent", "accuracy"), [("oracle", 1.0), ("constant", 0.0), ("subtitles", 1.0)])
def test_agents_score_what_they_must(folder, tmp_path, agent, accuracy):
    row = evaluate(run_of(folder, tmp_path, agent=agent))
    assert (row.policy, row.n, row.accuracy, row.status) == (agent, 12, accuracy, {"ok": 12})


def test_the_first_n_tasks_are_played_each_once_and_named_in_the_journal(folder, tmp_path):
    evaluate(run_of(folder, tmp_path, agent="random", n=5, seed=3))
    episodes = read_journal(tmp_path)
    assert sorted(it.task_id for it in episodes) == [f"task-{n:02d}" for n in range(5)]
    assert {(it.policy, it.seed) for it in episodes} == {("random", 3)}


def test_a_finished_run_is_only_read_again(folder, tmp_path, monkeypatch):
    row = evaluate(run_of(folder, tmp_path))
    journal = (tmp_path / JOURNAL).read_bytes()
    monkeypatch.setattr(evaluation, "build_policy", None)
    assert evaluate(run_of(folder, tmp_path)) == row
    assert (tmp_path / JOURNAL).read_bytes() == journal


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"task_id": "of another file"}, "attempt 0 at task 'of another file' is no part of this run"),
        ({"sample": 7}, "attempt 7 at task 'task-01' is no part of this run"),
        ({}, "attempt 0 at task 'task-01' occurs twice"),
    ],
)
def test_an_episode_that_the_run_did_not_play_is_refused_and_not_counted(folder, tmp_path, change, told):
    evaluate(run_of(folder, tmp_path))
    played = next(it for it in read_journal(tmp_path) if it.task_id == "task-01")
    append_line(tmp_path / JOURNAL, replace(played, **change).to_json())
    with pytest.raises(DataError, match=told):
        evaluate(run_of(folder, tmp_path))


def test_another_agent_is_refused_in_the_same_directory(folder, tmp_path):
    evaluate(run_of(folder, tmp_path, n=1))
    with pytest.raises(ConfigError, match=r"agent='random', now agent='oracle': give another --out"):
        evaluate(run_of(folder, tmp_path, n=1, agent="oracle"))


@pytest.mark.slow
def test_frames_tools_search_and_budget_are_those_that_a_run_names_and_a_replay_knows_them(folder, tmp_path, capsys):
    pytest.importorskip("transformers")
    choices = {"tools": "paper", "budget": "default,max_calls=2,frames_per_zoom=1", "encoder": "world"}
    evaluate(run_of(folder, tmp_path, agent="random", media=MediaFlags(max_pixels=56 * 56), **choices))
    episodes = read_journal(tmp_path)
    assert {frame.size_px for it in episodes for frame in it.frames} == {(56, 56)}
    assert max(it.calls for it in episodes) == 2
    assert {len(turn.frames) for it in episodes for turn in it.turns} == {0, 1}
    (origin,) = read_json(tmp_path / PROVENANCE)["origins"].values()
    assert origin["clip_encoder"].startswith("transformers-")
    assert origin["sampler"]["media"]["max_pixels"] == 3136
    assert command(["replay", str(tmp_path)]) == 0
    assert "byte for byte" in capsys.readouterr().out


@pytest.mark.slow
def test_a_control_of_shuffled_frames_is_named_in_its_records_and_replayed(folder, tmp_path, capsys):
    row = evaluate(run_of(folder, tmp_path, agent="random", n=6, seed=4, shuffle_frames=True))
    assert row.policy == "random (control: shuffled frames)"
    episodes = read_journal(tmp_path)
    assert {it.policy for it in episodes} == {row.policy} and any(it.frames for it in episodes)
    (origin,) = read_json(tmp_path / PROVENANCE)["origins"].values()
    assert origin["controls"] == {"shuffled frames": {"seed": 4}}
    assert read_json(tmp_path / CONFIG)["controls"] == ["shuffled frames"]
    assert command(["replay", str(tmp_path)]) == 0
    with pytest.raises(ConfigError, match=r"controls=\['shuffled frames'\], now"):
        evaluate(run_of(folder, tmp_path, agent="random", n=6, seed=4))


@pytest.mark.parametrize("agent", ["blind", "scripted"])
def test_frames_are_not_shuffled_for_a_policy_that_sees_none(folder, tmp_path, agent):
    with pytest.raises(ConfigError, match="it sees no frames"):
        evaluate(run_of(folder, tmp_path, agent=agent, shuffle_frames=True))


def test_an_evaluation_begun_before_there_were_controls_goes_on(folder, tmp_path):
    row = evaluate(run_of(folder, tmp_path, n=2))
    config = read_json(tmp_path / CONFIG)
    del config["shuffle_frames"]
    write_json(tmp_path / CONFIG, config)
    assert evaluate(run_of(folder, tmp_path, n=2)) == row


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index", "eval", "play", "synth", "key", "sft", "rft", "grpo"])
def test_a_command_that_opens_videos_is_told_how_they_are_stored_and_searched(name):
    pytest.importorskip("transformers")
    module = importlib.import_module(COMMANDS[name].module)
    assert issubclass(getattr(module, COMMANDS[name].config), LibraryConfig)


@pytest.mark.parametrize("kept_lines", [0, 4, 11])
def test_a_torn_journal_goes_on_to_what_an_undisturbed_run_writes(folder, tmp_path, kept_lines):
    evaluate(run_of(folder, tmp_path / "whole", agent="random"))
    evaluate(run_of(folder, tmp_path / "torn", agent="random"))
    lines = (tmp_path / "torn" / JOURNAL).read_bytes().splitlines(keepends=True)
    torn = b"".join(lines[:kept_lines]) + lines[kept_lines][:40]
    (tmp_path / "torn" / JOURNAL).write_bytes(torn)
    evaluate(run_of(folder, tmp_path / "torn", agent="random"))
    assert by_task(tmp_path / "torn") == by_task(tmp_path / "whole")
    assert len(read_journal(tmp_path / "torn")) == 12


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_episode_and_repeats_none(folder, tmp_path):
    flags = ["--tasks", str(folder), "--out", str(tmp_path), "--agent", "random", "--batch", "1"]
    slow = "import agents.baselines.random_policy as a, time; old = a.RandomAgent.reset\n"
    slow += "def reset(self, task, observation):\n    time.sleep(0.3)\n    old(self, task, observation)\n"
    slow += "a.RandomAgent.reset = reset\nfrom experiments.cli import run\nrun(['eval', *__import__('sys').argv[1:]])"
    process = subprocess.Popen([sys.executable, "-c", slow, *flags], cwd=HERE, stderr=subprocess.DEVNULL)
    journal = tmp_path / JOURNAL
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = journal.read_bytes()
    assert 3 <= before.count(b"\n") < 12
    subprocess.run([sys.executable, "-m", "experiments.cli", "eval", *flags], cwd=HERE, check=True, capture_output=True)
    assert journal.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert sorted(it.task_id for it in read_journal(tmp_path)) == [f"task-{n:02d}" for n in range(12)]
    assert (tmp_path / "report.json").exists()


def test_a_video_that_cannot_be_opened_is_an_error_and_no_wrong_answer(tmp_path):
    policy = build_policy("oracle", ModelConfig())
    lost = fake_task(task_id="lost")
    lost = replace(lost, item=replace(lost.item, video=VideoRef("elsewhere", "elsewhere.mp4")))
    attempts = [SeededAttempt(task, 0) for task in (fake_task(task_id="first"), lost, fake_task(task_id="last"))]
    episodes = {it.task_id: it for it in play(policy, attempts, FakeLibrary(), EvalRun(agent="oracle"))}
    assert {name: it.correct for name, it in episodes.items()} == {"first": True, "lost": None, "last": True}
    assert "elsewhere" in episodes["lost"].invalid and not episodes["lost"].turns


def test_a_video_that_breaks_in_the_middle_is_an_error_too(tmp_path):
    policy = build_policy("oracle", ModelConfig())
    library = FakeLibrary((FakeVideo(broken_from_s=300.0),))
    (episode,) = play(policy, [SeededAttempt(fake_task(), 0)], library, EvalRun(agent="oracle"))
    assert episode.correct is None and "nothing can be decoded" in episode.invalid


def test_a_task_without_a_key_has_no_oracle(tmp_path):
    policy = build_policy("oracle", ModelConfig())
    with pytest.raises(ConfigError, match="has no answer key, which agent='oracle' needs"):
        list(play(policy, [SeededAttempt(replace(fake_task(), gold=None), 0)], FakeLibrary(), EvalRun(agent="oracle")))


def test_random_answers_do_not_depend_on_the_batch(folder, tmp_path):
    evaluate(run_of(folder, tmp_path / "a", agent="random", batch=1))
    evaluate(run_of(folder, tmp_path / "b", agent="random", batch=12))
    assert by_task(tmp_path / "a") == by_task(tmp_path / "b")


def test_policies_that_are_not_there_are_refused_in_one_line():
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        build_policy("randon", ModelConfig())
    with pytest.raises(ConfigError, match=r"agent='sft' needs a trained checkpoint: give --model\.path"):
        build_policy("sft", ModelConfig())


SUMMARY_AGENT = """
class Asker:
    def reset(self, task, observation):
        self.asked = False

    def act(self, observation):
        if self.asked:
            return "<answer>47</answer>"
        self.asked = True
        return '<tool_call>{"name": "subtitle_summary", "arguments": {"query": "code"}}</tool_call>'
"""


def test_subtitles_are_summed_up_by_the_model_that_is_named_and_so_replayed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(ServedWriter, "__call__", lambda self, prompt: f"{self.model} says 47")
    (tmp_path / "asker.py").write_text(SUMMARY_AGENT)
    agent = f"{tmp_path / 'asker.py'}:Asker"
    flags = ["--tasks", str(folder), "--out", str(tmp_path / "run"), "--agent", agent, "--n", "2"]
    assert command(["eval", *flags, "--text.summaries-model", "writer"]) == 0
    assert all("writer says 47" in it.turns[0].observation_text for it in read_journal(tmp_path / "run"))
    (origin,) = read_json(tmp_path / "run" / PROVENANCE)["origins"].values()
    assert origin["text_models"]["encoder"] is None and origin["text_models"]["summariser"].startswith("chat-writer-")
    assert command(["replay", str(tmp_path / "run")]) == 0
    assert command(["eval", *flags, "--text.summaries-model", "other"]) == 2


def test_what_could_not_be_played_is_tried_again_by_the_same_command(folder, tmp_path, capsys):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name in ("one", "two"):
        (tasks / f"{name}.mp4").write_bytes((folder / f"{name}.mp4").read_bytes())
    (tasks / "tasks.jsonl").write_text((folder / "tasks.jsonl").read_text())
    (tasks / "two.mp4").write_bytes(b"no video")
    flags = ["eval", "--agent", "oracle", "--tasks", str(tasks), "--out", str(tmp_path / "run")]
    assert command(flags) == 0
    assert "6 invalid episodes are not scored; run the same command again to retry them" in capsys.readouterr().out
    assert sum(it.invalid is not None for it in read_journal(tmp_path / "run")) == 6
    (tasks / "two.mp4").write_bytes((folder / "two.mp4").read_bytes())
    assert command(flags) == 0
    episodes = read_journal(tmp_path / "run")
    assert sorted(it.task_id for it in episodes) == [f"task-{n:02d}" for n in range(12)]
    assert all(it.correct and it.invalid is None for it in episodes)


def test_tasks_without_a_key_are_played_and_reported_and_scored_once_there_is_one(folder, tmp_path, capsys):
    rows = [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]
    source = folder / "keyless.jsonl"
    source.write_text("".join(json.dumps({**row, "answer": None}) + "\n" for row in rows))
    assert command(["eval", "--agent", "constant", "--tasks", str(source), "--out", str(tmp_path)]) == 0
    assert "12 |" in capsys.readouterr().out and not (tmp_path / "plots" / "families.png").exists()
    source.write_text("".join(json.dumps({**row, "answer": row["options"][0]}) + "\n" for row in rows))
    assert command(["rescore", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "12 episodes, 12 verdicts changed" in text and "| constant | 1.00 |" in text


def test_equal_attempts_of_a_model_are_refused():
    with pytest.raises(ConfigError, match=r"all attempts would be the same; give --model\.temperature"):
        EvalRun(agent="base", samples=8, model=ModelConfig(temperature=0.0))
    assert EvalRun(agent="base", samples=8, model=ModelConfig(temperature=1.0)).samples == 8
    for wrong in ({"temperature": -1.0}, {"temperature": float("nan")}, {"max_new_tokens": 0}, {"uniform_frames": -2}):
        with pytest.raises(ConfigError, match=r"need [01] or more"):
            ModelConfig(**wrong)
