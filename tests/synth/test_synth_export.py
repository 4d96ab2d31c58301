"""Exports are loaded back: by the library itself where it is installed, else by the rules of its format."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.baselines.world_script import ScriptedAgent
from agents.rollout import run_episode
from experiments.settings.policies import BASE_MODEL
from synth.export import FORMATS, export
from synth.frame_files import PictureRecord, describe_pictures
from synth.ground import ground
from vt_env.actions.parse import render_actions
from vt_env.config import EnvConfig, default_budget, paper_budget
from vt_env.envs.base import make_episode
from vt_env.episode.messages import message
from vt_env.episode.trajectory import Trajectory, TurnRecord, record_episode
from vt_env.errors import ConfigError, DataError
from vt_env.prompts import DEFAULT
from vt_env.testing import FakeLibrary, FakeVideo, fake_task, read_second
from vt_env.tools.builtin import tools_for
from vt_env.types import ToolCall

FRAME_PX = 112
LIBRARY = FakeLibrary((FakeVideo(frame_px=FRAME_PX),))


def grounded(sample: int = 0, budget: str = "default") -> Trajectory:
    """A trajectory that retrieves, looks at two frames and answers; with the paper's budget it begins with 32 more."""
    budgets = {"default": default_budget(), "paper": paper_budget()}
    task = fake_task()
    source = run_episode(
        ScriptedAgent(np.random.default_rng(0)),
        make_episode(task, LIBRARY, EnvConfig("captions", default_budget())),
        sample=sample,
    )
    return ground(source, make_episode(task, LIBRARY, EnvConfig("frames", budgets[budget]))).trajectory


def several() -> Trajectory:
    """A trajectory whose first reply holds three calls, two of which show frames."""
    calls = (
        ToolCall("clip_retrieval", {"query": "red square", "top_k": 1}, "Look."),
        ToolCall("frame_zoom", {"start_s": 320, "end_s": 330}),
        ToolCall("spatial_zoom", {"time_s": 330, "box": [0, 0, 0.5, 1]}),
    )
    texts = [render_actions(calls), "<answer>47</answer>"]
    episode = make_episode(fake_task(), LIBRARY, EnvConfig("frames", default_budget()))
    episode.start()
    for text in texts:
        episode.apply(*episode.actions(text))
    return record_episode(episode, texts)


def write(folder: Path, form: str, trajectories: Sequence[Trajectory]) -> list[PictureRecord]:
    pictures, _ = describe_pictures(trajectories, lambda handle: LIBRARY.videos[0])
    rows = export(folder, form, trajectories, pictures, lambda handle: LIBRARY.videos[0])
    assert rows == len(trajectories)
    return pictures


def seconds_of(folder: Path, images: Sequence[str]) -> list[int]:
    return [read_second(np.asarray(Image.open(folder / name))) for name in images]


def expected_seconds(trajectory: Trajectory) -> list[int]:
    return [int(frame.time_s) for frame in trajectory.frames]


@pytest.mark.slow
def test_trl_reads_its_rows_and_its_collator_trains_on_what_we_train_on(tmp_path: Path):
    from datasets import load_dataset
    from transformers import AutoProcessor
    from trl import is_conversational
    from trl.chat_template_utils import qwen3_vl_chat_template
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    from agents.language.token_policy import ChatTokens
    from vt_env.integrations.trl import prepare_processor

    trajectory = grounded()
    write(tmp_path / "trl", "trl", [trajectory, replace(trajectory, sample=1)])
    rows = load_dataset(
        "json", data_files=str(tmp_path / "trl" / "train.jsonl"), cache_dir=str(tmp_path), split="train"
    )
    assert len(rows) == 2 and is_conversational(rows[0])
    assert seconds_of(tmp_path / "trl", rows[0]["images"]) == expected_seconds(trajectory)
    processor = prepare_processor(AutoProcessor.from_pretrained(BASE_MODEL))
    collator = DataCollatorForVisionLanguageModeling(processor, assistant_only_loss=True)
    pictures = [Image.open(tmp_path / "trl" / name) for name in rows[0]["images"]]
    batch = collator([{"messages": rows[0]["messages"], "images": pictures}])
    assert (batch["input_ids"] == processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")).sum() == 16 * len(
        pictures
    )
    learned = processor.tokenizer.decode(batch["labels"][batch["labels"] != -100])
    assert learned == "".join(f"{turn.text}<|im_end|>" for turn in trajectory.turns)
    # Beside pictures TRL renders no tools, so the system turn holds them, as the template would have put them there.
    processor.chat_template = qwen3_vl_chat_template
    schemas = sorted((it.schema for it in tools_for("frames")), key=lambda it: it["function"]["name"])
    opening = ChatTokens(processor, schemas).prompt_ids(
        [message("system", DEFAULT.system_text()), message("user", trajectory.prompt_text)]
    )
    batch = collator([{"messages": rows[0]["messages"], "images": pictures}])
    # The last tokens of the opening ask for a reply.
    same = processor.tokenizer.decode(opening).rpartition("<|im_start|>")[0]
    assert processor.tokenizer.decode(batch["input_ids"][0]).startswith(same) and "frame_zoom" in same


def test_the_datasets_folder_is_loaded_with_its_pictures_inside(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    trajectory = grounded()
    write(tmp_path / "set", "datasets", [trajectory])
    (row,) = datasets.load_from_disk(str(tmp_path / "set"))
    assert [read_second(np.asarray(picture)) for picture in row["images"]] == expected_seconds(trajectory)
    assert (row["task_id"], row["family"]) == ("fake/0", "needle")
    assert [message["role"] for message in row["messages"]] == [
        "system",
        "user",
        *["assistant", "user"] * 2,
        "assistant",
    ]


@pytest.mark.parametrize("budget", ["default", "paper"])
def test_ms_swift_rows_follow_its_agent_format(tmp_path: Path, budget: str):
    """Format: swift.readthedocs.io, Instruction/Agent-support (4.2): roles, JSON texts, one image a `<image>`."""
    trajectory = grounded(budget=budget)
    write(tmp_path / "swift", "ms-swift", [trajectory])
    (row,) = map(json.loads, (tmp_path / "swift" / "train.jsonl").read_text().splitlines())
    roles = [message["role"] for message in row["messages"]]
    assert roles[:2] == ["system", "user"] and roles[-1] == "assistant"
    assert set(roles) <= {"system", "user", "assistant", "tool_call", "tool_response"}
    for role, following in pairwise(roles):
        assert (following == "tool_response") is (role == "tool_call")
    calls = [json.loads(it["content"]) for it in row["messages"] if it["role"] == "tool_call"]
    assert [call["name"] for call in calls] == ["clip_retrieval", "frame_zoom"]
    assert all(isinstance(call["arguments"], dict) for call in calls)
    assert sum(it["content"].count("<image>") for it in row["messages"]) == len(row["images"])
    assert isinstance(row["tools"], str) and json.loads(row["tools"])[0]["type"] == "function"
    assert seconds_of(tmp_path / "swift", row["images"]) == expected_seconds(trajectory)


@pytest.mark.parametrize("budget", ["default", "paper"])
def test_llama_factory_rows_follow_its_sharegpt_format(tmp_path: Path, budget: str):
    """Format: LLaMA-Factory, data/README.md: turns alternate between what is given and what is learned."""
    trajectory = grounded(budget=budget)
    write(tmp_path / "factory", "llama-factory", [trajectory])
    info = json.loads((tmp_path / "factory" / "dataset_info.json").read_text())["vt_env"]
    assert info["formatting"] == "sharegpt"
    (row,) = json.loads((tmp_path / "factory" / info["file_name"]).read_text())
    assert set(info["columns"].values()) == set(row)
    turns = row["conversations"]
    assert [turn["from"] in ("human", "observation") for turn in turns] == [True, False] * (len(turns) // 2)
    assert [turn["value"] for turn in turns[1::2]] == [turn.text for turn in trajectory.turns]
    assert sum(turn["value"].count("<image>") for turn in turns) == len(row["images"])
    assert seconds_of(tmp_path / "factory", row["images"]) == expected_seconds(trajectory)


def test_replies_with_several_calls_are_exported_with_a_result_a_call(tmp_path: Path):
    trajectory = several()
    results = [turn.observation_text for turn in trajectory.turns[:-1]]
    for form in ("trl", "ms-swift", "llama-factory"):
        write(tmp_path / form, form, [trajectory])
    (row,) = map(json.loads, (tmp_path / "trl" / "train.jsonl").read_text().splitlines())
    assert [it["role"] for it in row["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    blocks = row["messages"][3]["content"]
    text = "".join(it["text"] for it in blocks)
    assert text == "\n".join(f"<tool_response>\n{it}\n</tool_response>" for it in results)
    assert sum(it["type"] == "image" for it in blocks) == len(row["images"]) == 3
    (row,) = map(json.loads, (tmp_path / "ms-swift" / "train.jsonl").read_text().splitlines())
    roles = [it["role"] for it in row["messages"]]
    assert roles[2:] == ["assistant", *["tool_call"] * 3, *["tool_response"] * 3, "assistant"]
    assert [it["content"].replace("<image>", "") for it in row["messages"][6:9]] == results
    (row,) = json.loads((tmp_path / "llama-factory" / "train.json").read_text())
    assert [it["from"] for it in row["conversations"]] == ["human", "gpt", "observation", "gpt"]
    assert row["conversations"][2]["value"].count("<tool_response>") == 2


def test_what_cannot_be_learned_from_is_not_exported(tmp_path: Path):
    good = grounded()
    bad = replace(good, turns=(TurnRecord("?", None, "Malformed", error="malformed"), *good.turns))
    pictures, _ = describe_pictures([good, bad], lambda handle: LIBRARY.videos[0])
    assert export(tmp_path / "x", "trl", [good, bad], pictures, lambda handle: LIBRARY.videos[0]) == 1


def test_a_picture_that_has_changed_since_is_refused_and_nothing_is_written(tmp_path: Path):
    trajectory = grounded()
    pictures, videos = describe_pictures([trajectory], lambda handle: LIBRARY.videos[0])
    assert len(pictures) == 2 and videos[0].handle == "fake"
    changed = [replace(it, sha256="0" * 64) for it in pictures]
    with pytest.raises(DataError, match="has changed since"):
        export(tmp_path / "x", "trl", [trajectory], changed, lambda handle: LIBRARY.videos[0])
    assert not (tmp_path / "x").exists()


def test_frames_of_another_size_are_refused():
    with pytest.raises(DataError, match="pictures of 32 x 32 px where 112 x 112 px were shown"):
        describe_pictures([grounded()], lambda handle: FakeVideo())


def test_an_export_takes_the_place_of_an_old_one_and_formats_are_named(tmp_path: Path):
    for _ in range(2):
        write(tmp_path / "x", "ms-swift", [grounded()])
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    with pytest.raises(ConfigError, match=", ".join(FORMATS)):
        export(tmp_path / "y", "csv", [], [], lambda handle: LIBRARY.videos[0])


def literal_tags(sample: int = 0) -> Trajectory:
    """A trajectory whose thought, query and answer name the tags of other trainers."""
    call = ToolCall("clip_retrieval", {"query": "a page that says <image>", "top_k": 1}, "Is <image> or <video> shown?")
    look = ToolCall("frame_zoom", {"start_s": 320, "end_s": 330})
    texts = [render_actions([call]), render_actions([look]), "<ref-object> <image>\n<answer>47</answer>"]
    episode = make_episode(fake_task(), LIBRARY, EnvConfig("frames", default_budget()))
    episode.start()
    for text in texts:
        episode.apply(*episode.actions(text))
    return replace(record_episode(episode, texts), sample=sample)


@pytest.mark.parametrize("form", ["ms-swift", "llama-factory"])
def test_a_literal_tag_of_a_teacher_is_no_picture(tmp_path: Path, form: str):
    trajectory = literal_tags()
    write(tmp_path / "x", form, [trajectory])
    if form == "ms-swift":
        (row,) = map(json.loads, (tmp_path / "x" / "train.jsonl").read_text().splitlines())
        texts = [it["content"] for it in row["messages"]]
    else:
        (row,) = json.loads((tmp_path / "x" / "train.json").read_text())
        texts = [it["value"] for it in row["conversations"]]
    whole = "".join(texts)
    assert whole.count("<image>") == len(row["images"]) == 2
    assert "<video>" not in whole and "<ref-object>" not in whole
    assert whole.count("< image>") >= 2 and "< video> shown?" in whole


@pytest.mark.slow
@pytest.mark.parametrize("form", ["trl", "ms-swift"])
def test_datasets_reads_rows_of_which_the_first_have_no_picture(tmp_path: Path, form: str):
    from datasets import load_dataset

    blind = replace(grounded(), turns=grounded().turns[-1:])
    seen = grounded(sample=9)
    write(tmp_path / "x", form, [*(replace(blind, sample=n) for n in range(8)), seen])
    path = tmp_path / "x" / "train.jsonl"
    # In chunks of one row, as a file of more than 10 MiB is read in chunks of many.
    rows = load_dataset("json", data_files=str(path), cache_dir=str(tmp_path), split="train", chunksize=1)
    assert [len(row["images"]) for row in rows] == [2, *[0] * 8]
