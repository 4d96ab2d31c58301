"""Play one episode: by hand in the terminal, or with an agent.

    vt-env play talk.mp4 --question "Which city is named first?" --option Oslo --option Lima --agent subtitles
    vt-env play world/needle

Writes the transcript, the trajectory, a picture of each look at native resolution, and a storyboard of the episode.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from agents.base import BatchPolicy, Conversation, ask
from agents.baselines.human import HumanAgent
from agents.language.confidence_gate import GateConfig
from agents.rollout import AgentBatch
from experiments.data.contact_sheet import contact_sheet
from experiments.data.video_paths import VIDEO_SUFFIXES, video_ref
from experiments.evaluate.look_pictures import labels_of, native_pictures
from experiments.evaluate.terminal_pictures import Pictures, show_look
from experiments.runs.run_dir import write_text
from experiments.settings.models import ModelConfig
from experiments.settings.policies import (
    Layout,
    Policy,
    SeededAttempt,
    Setting,
    build_policy,
    model_path,
    perception_of,
    tasks_of,
)
from experiments.settings.profile import is_world
from experiments.settings.prompts import choose_prompts
from experiments.settings.protocol import ProtocolConfig
from experiments.settings.world_version import check_world
from vt_env.config import resolve_budget
from vt_env.envs.base import make_episode
from vt_env.envs.storyboard import draw_storyboard, transcript
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import record_episode, write_trajectories
from vt_env.errors import ConfigError
from vt_env.media.decode.video_file import VideoFile
from vt_env.prompts import resolve_prompts
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task
from vt_env.tools.builtin import can_search, tools_for
from vt_env.types import FrameRef, Item
from vt_env.valid_text import as_valid_text


@dataclass(frozen=True)
class PlayRun(ProtocolConfig):
    """Play one episode and write its pictures."""

    target: Annotated[str, tyro.conf.Positional]
    """A video file (with --question and --option), or a task set (`world`, `world/needle`, a folder, a JSONL file)."""
    question: str = ""
    """Question about a video file."""
    option: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """One option of the question; repeat the flag, at least twice."""
    agent: str = "hand"
    """Policy: `hand` (you, in the terminal), a policy by name, or your class as `module:Class` or `file.py:Class`."""
    task_id: str = ""
    """Id of the task; by default the seed chooses one."""
    split: str = "test"
    """Split of the tasks."""
    seed: int = 0
    """Seed of the policy and of the choice of a task."""
    budget: str | None = None
    """Budget of the episode: a preset, optionally with changes (`default,max_calls=16`), or changes alone of the
    profile's."""
    tools: Literal["default", "paper", "adaptive"] | None = None
    """Tool set."""
    out: Path = Path("runs/play")
    """Folder for pictures, transcript and trajectory; files of an earlier episode are replaced."""
    pictures: Pictures = "auto"
    """Frames in the terminal: by its own protocol, as half blocks, or not at all. A pipe gets none."""
    gate: GateConfig = field(default_factory=GateConfig)
    """Confidence gate, for the agent `gated`."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Language model, for policies with one."""

    @property
    def plays_world(self) -> bool:
        """Whether the task is of the generated world."""
        return is_world(self.target)

    @property
    def known_model(self) -> str | None:
        """Model of the policy."""
        return model_path(self.agent, self.model, self.gate)


def main(run: PlayRun) -> None:
    """Play the episode, print the transcript, and write the files.

    Raises:
        ConfigError: The target cannot be played.
        DataError: The video cannot be read.
    """
    task, library = choose_task(run), run.open_library()
    policy = _policy(run, can_search(library, [task.item.video]))
    layout = policy.layout
    task.prepare(task.item.video)
    video = library.open(task.item.video)
    episode = make_episode(task, library, layout.config_for(video.duration_s), layout.tools)
    run.out.mkdir(parents=True, exist_ok=True)
    replies = _play(run, episode, policy.batch_policy([SeededAttempt(task, run.seed)]), video.store.video)
    draw_storyboard(episode).save(run.out / "storyboard.png")
    write_text(run.out / "transcript.txt", transcript(episode) + "\n")
    write_trajectories(
        run.out / "trajectory.jsonl", [record_episode(episode, replies, policy=run.agent, seed=run.seed)]
    )
    print(f"\n{_verdict(episode)}\nthe whole episode as a picture: {run.out / 'storyboard.png'}")


def choose_task(run: PlayRun) -> Task:
    """Build a task from a video file, a question and options, or choose one of a task set.

    Raises:
        ConfigError: The target does not exist, or a video file lacks a question or options.
    """
    path = Path(run.target)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
        if not run.question or len(run.option) < 2:
            raise ConfigError(
                f"{path}: a video needs --question and two --option or more, got {len(run.option)} --option"
            )
        try:
            return Task(Item(path.stem, run.question, run.option, video_ref(path)), None)
        except ValueError as reason:
            raise ConfigError(str(reason)) from reason
    if run.question or run.option:
        raise ConfigError(f"{run.target}: not a video file ({', '.join(VIDEO_SUFFIXES)}), so it takes no --question")
    tasks = tasks_of(run.agent, load_tasks(run.target, run.split))
    check_world(run.known_model, tasks)
    return tasks.by_id(run.task_id) if run.task_id else tasks.shuffle(np.random.default_rng(run.seed))[0]


def _policy(run: PlayRun, is_searched: bool) -> Policy:
    run.check_protocol("frames" if run.agent == "hand" else perception_of(run.agent))
    chosen = run.chosen
    prompts = choose_prompts(run.prompts, run.known_model, other=resolve_prompts(chosen.prompts))
    if run.agent != "hand":
        setting = Setting(
            chosen.budget,
            run.offered,
            chosen.media,
            prompts=prompts,
            can_search=is_searched,
            reply_tokens=chosen.reply_tokens,
        )
        return build_policy(run.agent, run.model, setting, run.gate)
    tools = tools_for("frames", run.offered, can_search=is_searched, answers=prompts.answers)
    layout = Layout("frames", tools, resolve_budget(chosen.budget), media=chosen.media, prompts=prompts)
    return Policy(run.agent, layout, lambda attempts: AgentBatch([HumanAgent(layout.tools, input)]))


def _play(run: PlayRun, episode: Episode, policy: BatchPolicy, video: VideoFile) -> list[str]:
    """Play to the end of the episode or of standard input; return the policy's replies."""
    for old in run.out.glob("look-*.png"):
        old.unlink()
    observation = episode.start()
    conversation = Conversation(0, episode.policy_item, [observation], prompts=episode.config.prompts)
    if run.agent != "hand":
        print(episode.prompt_text)
    _draw(run, video, 0, episode.prompt_frames)
    while episode.stop is None:
        try:
            reply = ask(policy, [conversation])[0].text
        except EOFError:
            break
        conversation.replies.append(reply)
        before = len(episode.turns)
        observation = episode.apply(*episode.actions(reply)).observation
        conversation.observations.append(observation)
        if run.agent != "hand":
            print(f"> {as_valid_text(reply)}\n{observation.text}")
        for number, turn in enumerate(episode.turns[before:], start=before + 1):
            _draw(run, video, number, turn.frames)
    return conversation.replies


def _draw(run: PlayRun, video: VideoFile, number: int, frames: Sequence[FrameRef]) -> None:
    """Write the frames of a turn as a picture and print its path; number 0 is the question."""
    if frames:
        picture = run.out / f"look-{number:02d}.png"
        drawn, labels = native_pictures(video, frames), labels_of(frames)
        sheet = contact_sheet(drawn, labels)
        sheet.save(picture)
        show_look(drawn, labels, sheet, run.pictures)
        print(f"[{picture}]")


def _verdict(episode: Episode) -> str:
    if episode.stop is None:
        return "not finished"
    idx = episode.reading.option_idx
    answer = "no answer" if idx is None else f"answer: {episode.item.options[idx]}"
    verdict = {True: " (right)", False: " (wrong)", None: ""}[episode.correct]
    return f"{answer}{verdict}"
