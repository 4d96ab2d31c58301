"""A finished run comes out the same when it is played again, or the first difference is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support.small_world import SmallWorld, small_world

from experiments.cli import run as command
from experiments.evaluate.eval import EvalRun, evaluate, play
from experiments.evaluate.replay import changed_provenance, differences, first_difference, replay
from experiments.runs.journal import read_journal
from experiments.runs.read_run import JOURNAL, PROVENANCE, read_json
from experiments.settings.models import ModelConfig
from experiments.settings.policies import Policy, SeededAttempt, Setting, build_policy
from vt_env.episode.trajectory import Trajectory
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks
from vt_env.types import FrameBatch, Interval, SubtitleLine

__all__ = ["small_world"]


class Faded(FakeVideo):
    """The same video with one grey level changed in every frame."""

    def frames_at(self, times_s) -> FrameBatch:
        frames = super().frames_at(times_s)
        return FrameBatch(frames.data ^ 1, frames.pts_s)


def played(agent: str, tasks: TaskSet, library) -> tuple[Policy, list[Trajectory]]:
    run = EvalRun(agent=agent)
    policy = build_policy(agent, ModelConfig())
    attempts = [SeededAttempt(task, seed) for seed, task in enumerate(tasks)]
    return policy, list(play(policy, attempts, library, run))


@pytest.mark.parametrize("agent", ["random", "scripted", "oracle", "subtitles"])
def test_a_run_on_the_world_is_replayed_without_a_difference(small_world: SmallWorld, agent: str):
    tasks = small_world.tasks.head(6)
    policy, episodes = played(agent, tasks, small_world.library)
    found = list(differences(episodes, tasks, policy.layout, small_world.library))
    assert found == [None] * 6
    assert sum(len(it.frames) for it in episodes) > 0 or agent in ("scripted",)


def change(video: FakeVideo) -> tuple[str, str]:
    """Play with the usual video and replay with this one; return where they part and what the replay shows there."""
    tasks = fake_tasks(1)
    policy, episodes = played("oracle", tasks, FakeLibrary())
    (found,) = differences(episodes, tasks, policy.layout, FakeLibrary((video,)))
    assert found is not None
    return found.where, found.replayed


def test_a_changed_pixel_is_named_by_its_turn():
    assert change(Faded())[0] == "turn 1, frames_hash"


def test_another_length_of_the_video_is_named_in_the_question():
    where, shown = change(FakeVideo(duration_s=540.0))
    assert where == "question, prompt_text" and "09:00" in shown


def test_another_subtitle_is_named_with_the_place_where_texts_part():
    tasks = fake_tasks(1)
    policy, (episode,) = played("subtitles", tasks, FakeLibrary())
    line = SubtitleLine(Interval(400, 404), "look at the square")
    other = FakeLibrary((FakeVideo(subtitle_lines=(line,)),))
    difference = first_difference(episode, replay(episode, tasks[0], policy.layout, other))
    assert difference is not None and difference.where == "turn 1, observation_text"
    assert "(from character" in difference.recorded or difference.recorded != difference.replayed


def test_a_task_that_is_gone_and_a_video_that_is_gone_are_differences():
    policy, episodes = played("oracle", fake_tasks(2), FakeLibrary())
    gone, kept = differences(episodes[::-1], fake_tasks(1), policy.layout, FakeLibrary())
    assert (gone.where, kept) == ("task", None)
    (lost,) = differences(episodes[:1], fake_tasks(1), policy.layout, FakeLibrary(()))
    assert lost.where == "question, prompt_text"


def test_times_are_not_compared_and_frames_without_a_hash_are_compared_by_their_times():
    tasks = fake_tasks(1)
    policy, (episode,) = played("oracle", tasks, FakeLibrary())
    bare = replace(episode, wall_s=99.0, turns=tuple(replace(turn, frames_hash="") for turn in episode.turns))
    assert first_difference(bare, replay(bare, tasks[0], policy.layout, FakeLibrary((Faded(),)))) is None


def test_an_episode_that_broke_is_compared_up_to_there():
    tasks = fake_tasks(1)
    broken = FakeLibrary((FakeVideo(broken_from_s=300.0),))
    policy, episodes = played("oracle", tasks, broken)
    assert episodes[0].invalid is not None
    assert list(differences(episodes, tasks, policy.layout, broken)) == [None]


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    video = Path(__file__).parents[1] / "fixtures/nasa_13013.mp4"
    asked = {"question": "Where is it?", "options": ["Houston", "Greenbelt"], "answer": 1, "evidence": [[1.0, 5.0]]}
    rows = [{**asked, "video": str(video), "task_id": f"task-{n}"} for n in range(3)]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluate(EvalRun(agent="random", tasks=str(tmp_path / "tasks.jsonl"), out=tmp_path / "run"))
    return tmp_path / "run"


def test_the_command_says_that_all_came_out_the_same_or_names_the_first_difference(run_folder, capsys):
    assert command(["replay", str(run_folder)]) == 0
    assert "3 episodes" in capsys.readouterr().out
    lines = [json.loads(line) for line in (run_folder / JOURNAL).read_text().splitlines()]
    lines[1]["turns"][0]["observation_text"] += "!"
    (run_folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert command(["replay", str(run_folder)]) == 1
    said = capsys.readouterr()
    assert "1 of 3 episodes differ" in said.out
    assert f"{lines[1]['task_id']} (sample 0), turn 1, observation_text" in said.err + said.out


def test_episodes_are_drawn_and_chosen_by_their_tasks(run_folder, tmp_path, capsys):
    first, second, _ = read_journal(run_folder)
    boards = tmp_path / "boards"
    chosen = ["replay", str(run_folder), "--boards", str(boards), "--task-ids"]
    assert command([*chosen, second.task_id]) == 0
    assert "1 episode," in capsys.readouterr().out
    (board,) = boards.iterdir()
    assert board.name == f"{second.task_id}-0.png" and Image.open(board).width == 960
    assert command([*chosen, first.task_id, "task-7"]) == 2
    assert "--task-ids task-7" in capsys.readouterr().err


def test_every_record_names_an_origin_and_the_origin_says_what_replaying_needs(run_folder):
    origins = read_json(run_folder / PROVENANCE)["origins"]
    assert {it.provenance for it in read_journal(run_folder)} == set(origins)
    (origin,) = origins.values()
    assert {"annotation_hash", "prompt_id", "sampler", "policy", "seed", "commit", "versions"} <= set(origin)


def test_other_annotations_wording_or_budgets_are_noted():
    tasks = fake_tasks(2)
    layout = build_policy("random", ModelConfig()).layout
    from experiments.evaluate.episode_provenance import evaluation_provenance

    origin = evaluation_provenance(build_policy("random", ModelConfig()), tasks, seed=0)
    assert changed_provenance({"origins": {"a": origin}}, tasks, layout) == []
    changed = TaskSet(tuple(replace(task, gold=None) for task in tasks))
    (note,) = changed_provenance({"origins": {"a": origin}}, changed, layout)
    assert note.startswith("note: annotation_hash was ")
    larger = build_policy("random", ModelConfig(), Setting("paper")).layout
    assert [it.split()[1] for it in changed_provenance({"origins": {"a": origin}}, tasks, larger)] == ["sampler"]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_a_number_of_episodes(limit, capsys):
    assert command(["replay", "some-run", "--limit", str(limit)]) == 2
    assert f"limit={limit}: need 1 or more" in capsys.readouterr().err


def test_only_evaluations_are_replayed(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"run": "sft"}')
    assert command(["replay", str(tmp_path)]) == 2
    assert "only evaluations ('eval') are replayed" in capsys.readouterr().err
