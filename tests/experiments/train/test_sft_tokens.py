"""SFT has the token ids and the loss mask of GRPO for the same trajectory."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from PIL import Image
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen3_vl_chat_template

from experiments.launch import small_models
from experiments.tiny_model.model import build_model
from experiments.tiny_model.processor import build_processor
from experiments.train.sft_rows import IGNORED, ConversationCollator, Row, TrajectoryRows
from vt_env.config import EnvConfig, resolve_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import record_episode
from vt_env.errors import DataError
from vt_env.integrations.trl import environment_class, prepare_processor, reward_functions, training_rows
from vt_env.integrations.trl.trainer import EpisodeGRPOTrainer, EpisodeTrainerConfig
from vt_env.prompts import DEFAULT, TINY
from vt_env.prompts.peers import LONGVT, VIDEOZOOMER
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks, read_second

pytestmark = pytest.mark.slow

LIBRARY = FakeLibrary((FakeVideo(frame_px=112),))
LARGE = FakeLibrary((FakeVideo(frame_px=448),))
TASKS = fake_tasks()
TEXTS = (
    '#1\n<tool_call>\n{"name": "clip_retrieval", "arguments": {"query": "red square"}}\n</tool_call>',
    '#1\n<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}\n</tool_call>',
    '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "99:20", "end_s": "99:40"}}\n</tool_call>',
    '<tool_call>\n{"name": "spatial_zoom", "arguments": {"time_s": "05:25", "box": [0, 0, 0.5, 0.5]}}\n</tool_call>',
    "red square yes 47 answer\n<answer>47</answer>",
)
GROUPED = (f"{TEXTS[0]}\n{TEXTS[1].partition(chr(10))[2]}", f"{TEXTS[2]}\n{TEXTS[3]}", TEXTS[-1])
"""The same calls in two replies."""


@pytest.fixture(scope="module", params=["tiny", "tiny with Qwen3-VL's template"])
def processor(request):
    processor = build_processor()
    if request.param != "tiny":
        processor.chat_template = qwen3_vl_chat_template
    return processor


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def large_processor(request):
    return prepare_processor(small_models.build_processor(request.param))


@pytest.fixture(scope="module")
def model():
    return build_model(build_processor().tokenizer, seed=0)


def play(budget="default", texts=TEXTS, library=LIBRARY, prompts=DEFAULT):
    episode = make_episode(TASKS[0], library, EnvConfig("frames", resolve_budget(budget), prompts=prompts))
    episode.start()
    for text in texts:
        episode.apply(*episode.actions(text))
    return record_episode(episode, texts)


def scripted(trainer, texts):
    """Let TRL play its own tool loop on given replies instead of sampled ones; return what it would train on."""
    tokenizer = trainer.processing_class.tokenizer
    replies = iter([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts])

    def reply(prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        ids = next(replies)
        return [list(ids) for _ in prompt_ids], None

    trainer._generate_single_turn = reply
    rows = [trainer.train_dataset[0]] * trainer.num_generations
    return trainer._generate_and_score_completions(rows)


def grpo_trainer(model, processor, tmp_path, budget, library=LIBRARY, prompts=DEFAULT, kind=GRPOTrainer):
    environment = environment_class(TASKS, budget=budget, library=library, prompts=prompts)
    args = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=4000,
        use_cpu=True,
        bf16=False,
        report_to="none",
    )
    return kind(
        model=model,
        processing_class=processor,
        environment_factory=environment,
        train_dataset=training_rows(environment),
        reward_funcs=reward_functions(),
        args=args,
    )


def assert_same_as_grpo(model, processor, budget, tmp_path, library, prompts=DEFAULT, texts=TEXTS, kind=GRPOTrainer):
    trainer = grpo_trainer(model, processor, tmp_path, budget, library, prompts, kind)
    played = scripted(trainer, texts)
    real = torch.cat([played["prompt_mask"], played["completion_mask"]], dim=1)[0].bool()
    ids = torch.cat([played["prompt_ids"], played["completion_ids"]], dim=1)[0][real].tolist()
    own = torch.cat([torch.zeros_like(played["prompt_mask"]), played["tool_mask"]], dim=1)[0][real].bool().tolist()

    collator = ConversationCollator(processor)
    row = TrajectoryRows([play(budget, texts, library, prompts)], TASKS, library)[0]
    assert collator.encode(row) == (ids, own)
    batch = collator([row])
    assert torch.equal(batch["pixel_values"], played["pixel_values"][: len(batch["pixel_values"])])
    assert played["num_images"] == [len(batch["image_grid_thw"])] * 2
    assert trainer._metrics["train"]["terms/accuracy"] == [1] and trainer._metrics["train"]["episode/calls"] == [4]
    return collator, row, batch


@pytest.mark.parametrize(("budget", "prompts"), [("default", TINY), ("paper", TINY), ("paper", DEFAULT)])
def test_ids_and_mask_of_a_replayed_trajectory_are_those_of_grpo(
    model, processor, tmp_path, budget, prompts, monkeypatch
):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    assert_same_as_grpo(model, processor, budget, tmp_path, LIBRARY, prompts)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_holds_for_replies_with_several_calls(model, processor, tmp_path, monkeypatch, threads):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    kind = partial(EpisodeGRPOTrainer, config=EpisodeTrainerConfig(tool_threads=threads, drop_zero_advantage=False))
    _, row, _ = assert_same_as_grpo(model, processor, "default", tmp_path, LIBRARY, DEFAULT, GROUPED, kind)
    roles = [message["role"] for message in row.messages]
    assert roles == ["system", "user", *["assistant", "tool", "tool"] * 2, "assistant"]


def test_the_same_holds_for_the_processors_of_real_checkpoints(model, large_processor, tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    collator, row, batch = assert_same_as_grpo(model, large_processor, "default", tmp_path, LARGE)
    text = large_processor.tokenizer.decode(collator.encode(row)[0])
    assert '"name": "frame_zoom"' in text.split("<|im_end|>")[0] and "<tool_response>" in text
    written = large_processor.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])
    assert written == "".join(f"{text}<|im_end|>" for text in TEXTS)
    frame_tokens = (448 // large_processor.image_processor.patch_size // 2) ** 2
    assert int(batch["mm_token_type_ids"].sum()) == 3 * frame_tokens == len(batch["pixel_values"]) // 4


def test_labels_are_the_replies_with_their_end_tokens_and_nothing_else(processor):
    row = TrajectoryRows([play()], TASKS, LIBRARY)[0]
    batch = ConversationCollator(processor)([row])
    tokenizer = processor.tokenizer
    written = tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])
    assert written == "".join(f"{text}<|im_end|>" for text in TEXTS)
    assert (batch["mm_token_type_ids"].bool() <= (batch["labels"] == IGNORED)).all()
    assert int(batch["mm_token_type_ids"].sum()) * 4 == len(batch["pixel_values"])


def test_the_pictures_of_a_row_are_those_that_the_episode_showed():
    messages = TrajectoryRows([play()], TASKS, LIBRARY)[0].messages
    images = [block["image"] for message in messages for block in message["content"] if block["type"] == "image"]
    assert [read_second(np.asarray(image)) for image in images[:2]] == [325, 335] and len(images) == 3


def test_rows_of_unequal_length_with_and_without_pictures_share_a_batch(processor):
    picture = Image.new("RGB", (112, 112), "red")
    question = {
        "role": "user",
        "content": [{"type": "image", "image": picture}, {"type": "text", "text": "What is shown?"}],
    }
    plain = Row((question, {"role": "assistant", "content": "red"}))
    text_only = Row(
        (
            {"role": "user", "content": [{"type": "text", "text": "Copy #1 red"}]},
            {"role": "assistant", "content": "#1 red"},
        )
    )
    batch = ConversationCollator(processor)([plain, text_only, TrajectoryRows([play()], TASKS, LIBRARY)[0]])
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    assert batch["input_ids"].shape == (3, max(lengths)) and lengths[1] < lengths[0] < lengths[2]
    assert [int((row != IGNORED).sum()) for row in batch["labels"][:2]] == [2, 4]
    assert len(batch["image_grid_thw"]) == 4 and batch["mm_token_type_ids"].sum(dim=1).tolist() == [16, 0, 48]


def test_trajectories_without_an_answer_or_with_a_malformed_turn_are_left_out():
    rows = TrajectoryRows([play(), play(texts=TEXTS[:2]), play(texts=("what?", *TEXTS))], TASKS, LIBRARY)
    assert (len(rows), rows.left_out) == (1, 2) and rows.lengths()[0] > 100


def test_rows_weigh_what_their_family_does_and_a_family_that_is_not_there_is_refused():
    rows = TrajectoryRows([replace(play(), family="needle"), replace(play(), family="absence")], TASKS, LIBRARY)
    assert rows.weights({}) == [1, 1] and rows.weights({"absence": 3}) == [1, 3]
    with pytest.raises(DataError, match="'order': no trajectory is of that family; give one of absence, needle"):
        rows.weights({"order": 2})
    with pytest.raises(DataError, match="give one family a weight above 0"):
        rows.weights({"absence": 0, "needle": 0})


def test_rows_of_no_family_can_be_weighed_too():
    rows = TrajectoryRows([replace(play(), family=""), replace(play(), family="needle")], TASKS, LIBRARY)
    assert rows.weights({"(not named)": 0.5}) == [0.5, 1]


def test_frames_of_another_size_are_refused_and_say_which_size_is_needed():
    rows = TrajectoryRows([play()], TASKS, FakeLibrary((FakeVideo(frame_px=56),)))
    with pytest.raises(DataError, match=r"of 112 x 112 px were shown, . of 56 x 56 px are stored"):
        rows[0]


def test_trajectories_of_other_tasks_are_refused():
    with pytest.raises(DataError, match="not among the tasks"):
        TrajectoryRows([play()], TASKS[1:], LIBRARY)


def test_rows_of_another_agent_s_protocol_show_its_tools_and_keep_its_roles():
    for prompts, shown, roles in ((LONGVT, ["crop_video"], {"tool"}), (VIDEOZOOMER, [], {"user"})):
        row = TrajectoryRows([play(texts=TEXTS[1::3], prompts=prompts)], TASKS, LIBRARY, ("frame_zoom",))[0]
        assert [it["function"]["name"] for it in row.tools] == shown
        assert {it["role"] for it in row.messages[3:-1]} == roles
        assert row.messages[0]["content"][0]["text"] == prompts.system_text()


def test_a_row_that_is_too_long_is_refused_whole(processor):
    with pytest.raises(DataError, match=r"allowed are 100: raise --max-length"):
        ConversationCollator(processor, 100)([TrajectoryRows([play()], TASKS, LIBRARY)[0]])


def test_frames_stored_at_another_rate_are_refused():
    trajectory = play()
    shifted = replace(
        trajectory,
        turns=tuple(
            replace(turn, frames=tuple(replace(it, time_s=it.time_s + 0.4) for it in turn.frames))
            for turn in trajectory.turns
        ),
    )
    with pytest.raises(DataError, match=r"s were shown, those of .* are stored; open it with the media\.frame_rate_hz"):
        TrajectoryRows([shifted], TASKS, LIBRARY)[0]
