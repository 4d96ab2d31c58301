"""Everything a training of seconds needs: a random tiny model, four tasks on one video, and eight trajectories.

A random model calls no tools; what is learned by heart from these trajectories does: two a question, alike but for the
answer, so that rewards differ within a group.
"""

import json
from fractions import Fraction
from itertools import product
from pathlib import Path

from support.videos import VideoSpec, write_video

from experiments.settings.prompts import PROMPTS_FILE
from experiments.tiny_model.model import build_model
from experiments.tiny_model.processor import build_processor
from vt_env.actions.parse import parse_action
from vt_env.config import EnvConfig, MediaConfig, default_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import record_episode, write_trajectories
from vt_env.media.library import VideoLibrary
from vt_env.prompts import TINY, save_prompts
from vt_env.task_sources import load_tasks

TASKS = 4


def texts(number: int, answer: int) -> list[str]:
    """Two looks and an answer."""
    start, end = f"00:{10 * number:02d}", f"00:{10 * number + 8:02d}"
    call = f'{{"name": "frame_zoom", "arguments": {{"start_s": "{start}", "end_s": "{end}"}}}}'
    again = f'{{"name": "spatial_zoom", "arguments": {{"time_s": "{start}", "box": [0, 0, 0.5, 0.5]}}}}'
    return [
        f"#1 {start}\n<tool_call>\n{call}\n</tool_call>",
        f"no\n<tool_call>\n{again}\n</tool_call>",
        f"yes {answer}\n<answer>{answer}</answer>",
    ]


def write_tasks(folder: Path) -> Path:
    """Write a video and `tasks.jsonl`."""
    write_video(folder / "video.mp4", VideoSpec(frames=120, fps=Fraction(2), size_px=(224, 224)))
    colours = ("red", "blue", "green", "white")
    rows = [
        {
            "video": "video.mp4",
            "question": f"what number is beside the {colours[number]} square?",
            "options": [str(40 + other) for other in range(TASKS)],
            "answer": number,
            "task_id": f"task-{number}",
            "split": "train",
        }
        for number in range(TASKS)
    ]
    path = folder / "tasks.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def write_training_folder(folder: Path, wrong_by: tuple[int, ...] = (0, 1)) -> None:
    """Write a random model (`random`), tasks and `trajectories.jsonl`; one trajectory a task for each of `wrong_by`."""
    processor = build_processor()
    build_model(processor.tokenizer, seed=0).save_pretrained(folder / "random")
    processor.save_pretrained(folder / "random")
    save_prompts(TINY, folder / "random" / PROMPTS_FILE)
    library, trajectories = VideoLibrary(MediaConfig()), []
    tasks = load_tasks(write_tasks(folder), "train")
    for (number, task), off in product(enumerate(tasks), wrong_by):
        written = texts(number, 40 + (number + off) % TASKS)
        episode = make_episode(task, library, EnvConfig("frames", default_budget(), prompts=TINY))
        episode.start()
        for text in written:
            episode.apply(parse_action(text))
        trajectories.append(record_episode(episode, written))
    write_trajectories(folder / "trajectories.jsonl", trajectories)
