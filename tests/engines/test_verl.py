"""verl's own agent loop worker plays episodes; runs where verl is installed (`.ci/engines verl`)."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("verl", reason="verl has an environment of its own: .ci/engines verl")

import pyarrow
from hydra import compose, initialize_config_module
from pyarrow import parquet
from transformers import AutoProcessor
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.protocol import DataProto
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.workers.config import RolloutConfig
from verl.workers.rollout.replica import TokenOutput

from vt_env.episode.tools_text import sorted_schemas
from vt_env.integrations.verl import agent_loop as integration
from vt_env.integrations.verl.rows import agent_name, loop_entry, verl_rows
from vt_env.session import SessionSource
from vt_env.testing import Conversation, FakeLibrary, FakeVideo, Played, Received, integration_conformance, tiny_vlm

TINY = tiny_vlm()
PROCESSOR = AutoProcessor.from_pretrained(TINY.folder)
TOKENIZER = PROCESSOR.tokenizer
RESULT = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.DOTALL)


class ScriptedServer:
    """What verl asks for tokens: the replies of each row, in order; keeps what the requests held."""

    def __init__(self, replies: Sequence[Sequence[str]]) -> None:
        self.replies = replies
        self.prompts: list[list[list[int]]] = [[] for _ in replies]
        self.images: list[list[list[Any]]] = [[] for _ in replies]

    async def generate(self, request_id: str, *, prompt_ids: list[int], **request: Any) -> TokenOutput:
        row = int(request_id.removeprefix("det-"))
        await asyncio.sleep(0.001 * (row % 3))
        self.prompts[row].append(list(prompt_ids))
        self.images[row].append(list(request["image_data"] or []))
        turn = len(self.prompts[row]) - 1
        reply = self.replies[row][turn] if turn < len(self.replies[row]) else ""
        ids = [*TOKENIZER.encode(reply), TOKENIZER.eos_token_id]
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids), extra_fields={})


def play_rows(
    loops: Path,
    server: ScriptedServer,
    task_ids: Sequence[str],
    response_length: int = 16_000,
) -> DataProto:
    """Play rows through verl's worker, each with the replies of the server."""
    overrides = [
        f"actor_rollout_ref.model.path={TINY.folder}",
        "actor_rollout_ref.rollout.name=vllm",
        "actor_rollout_ref.rollout.full_determinism=true",
        "data.max_prompt_length=6000",
        f"data.max_response_length={response_length}",
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={loops}",
    ]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides)
    worker = AgentLoopWorker(config, server)
    rows = {
        "agent_name": [agent_name("train")] * len(task_ids),
        "raw_prompt": [[{"role": "user", "content": ""}]] * len(task_ids),
        "extra_info": [{"task_id": it} for it in task_ids],
        "priority": list(range(len(task_ids))),
    }
    batch = DataProto.from_dict(non_tensors={name: as_objects(values) for name, values in rows.items()})
    return asyncio.run(worker.generate_sequences(batch))


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Plays rows with a loop that its configuration file names, as a training does; the tasks are in memory."""

    def run(source: SessionSource, server: ScriptedServer, task_ids: Sequence[str], **lengths: int) -> DataProto:
        loops = tmp_path / "agent_loops.json"
        loops.write_text(json.dumps([loop_entry("train", {"tasks": "world"})]))
        monkeypatch.setattr(integration, "session_source", lambda config: source)
        return play_rows(loops, server, task_ids, **lengths)

    return run


def as_objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def written(batch: DataProto, row: int) -> list[str]:
    """Return the texts of the runs of tokens that the mask gives to the model."""
    runs: list[list[int]] = []
    before = 0
    for token, mask in zip(
        batch.batch["responses"][row].tolist(), batch.batch["response_mask"][row].tolist(), strict=True
    ):
        if mask and not before:
            runs.append([])
        if mask:
            runs[-1].append(token)
        before = mask
    return [TOKENIZER.decode(it) for it in runs]


def ids_of(batch: DataProto, row: int) -> list[int]:
    return batch.batch["input_ids"][row][batch.batch["attention_mask"][row].bool()].tolist()


def test_the_tokens_are_those_of_the_chat_template_and_the_mask_marks_what_the_model_wrote(play):
    task_ids = list(TINY.replies)
    batch = play(TINY.source, ScriptedServer([TINY.replies[it] for it in task_ids]), task_ids)

    for row, task_id in enumerate(task_ids):
        chat = TINY.messages(task_id)[:-1]
        rendered = PROCESSOR.apply_chat_template(chat, tools=sorted_schemas(TINY.tool_schemas), tokenize=True)
        (expected,) = rendered
        # The template ends each turn with a line break, which nothing follows after the last one.
        assert ids_of(batch, row) == list(expected)[:-1]
        assert written(batch, row) == [f"{it}{TOKENIZER.eos_token}" for it in TINY.replies[task_id]]


def test_rewards_measures_and_pictures_reach_the_trainer(play):
    task_ids = list(TINY.replies)
    batch = play(TINY.source, ScriptedServer([TINY.replies[it] for it in task_ids]), task_ids)

    assert batch.batch["rm_scores"].sum(1).tolist() == [TINY.rewards[it] for it in task_ids]
    assert batch.non_tensor_batch["accuracy"].tolist() == [1, 0, 1, 0]
    assert batch.non_tensor_batch["answered"].tolist() == [1, 1, 1, 0]
    assert batch.non_tensor_batch["calls"].tolist() == [1, 2, 1, 3]
    merge = PROCESSOR.image_processor.merge_size**2
    for row, inputs in enumerate(batch.non_tensor_batch["multi_modal_inputs"]):
        grid = inputs.get("image_grid_thw")
        tokens = 0 if grid is None else int(grid.prod(-1).sum()) // merge
        assert ids_of(batch, row).count(PROCESSOR.image_token_id) == tokens
        assert batch.non_tensor_batch["frames"][row] == (0 if grid is None else len(grid))
    assert np.isfinite(batch.batch["rollout_log_probs"].numpy()).all()


def test_a_conversation_that_is_full_ends_without_an_answer(play):
    look = TINY.replies["fake/0"][0]
    room = len(TOKENIZER.encode(look)) + 40
    batch = play(TINY.source, ScriptedServer([TINY.replies["fake/0"]]), ["fake/0"], response_length=room)

    assert batch.non_tensor_batch["answered"].tolist() == [0]
    assert batch.batch["rm_scores"].sum().item() == 0
    # The result did not fit, so no part of it is shown.
    assert written(batch, 0) == [f"{look}{TOKENIZER.eos_token}"]


def test_a_video_that_cannot_be_read_is_masked_and_the_others_are_played(play):
    source = SessionSource(
        TINY.source.tasks,
        budget=TINY.source.config.budget,
        tools=[it.name for it in TINY.source.tools],
        prompts="tiny",
        library=FakeLibrary((FakeVideo(frame_px=112, broken_from_s=300),)),
    )
    task_ids = list(TINY.replies)
    batch = play(source, ScriptedServer([TINY.replies[it] for it in task_ids]), task_ids)

    # All but one look at what cannot be decoded.
    assert batch.non_tensor_batch[integration.MASKED].tolist() == [1, 1, 0, 1]
    assert batch.batch["response_mask"].sum(1).bool().tolist() == [False, False, True, False]
    assert batch.batch["rm_scores"].sum(1).tolist() == [0, 0, 1, 0]


def test_verl_conforms(play):
    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        replies = [[text for turn in it.turns for text in turn.texts] for it in conversations]
        server = ScriptedServer(replies)
        batch = play(source, server, [it.task_id for it in conversations])
        rewards = batch.batch["rm_scores"].sum(1).tolist()
        return [played(server, row, len(texts), rewards[row]) for row, texts in enumerate(replies)]

    # The loop ends with the episode: nothing is shown to the model behind its last call.
    integration_conformance(adapter, without={"over calls", "after the end"})


def played(server: ScriptedServer, row: int, replies: int, reward: float) -> Played:
    """Read what the server was shown: the question, then the result that each request added."""
    requests, images = server.prompts[row], server.images[row]
    opening = shown(TOKENIZER.decode(requests[0]).rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0])
    received = [
        Received(
            shown(RESULT.findall(TOKENIZER.decode(after[len(before) :]))[-1]),
            tuple(np.array(it) for it in images[number + 1][len(images[number]) :]),
            json.dumps(after).encode(),
        )
        for number, (before, after) in enumerate(pairwise(requests))
    ]
    over = [Received("The episode is over.")] * (replies - len(received))
    return Played(Received(opening), tuple(received[:replies]) + tuple(over), reward, None)


def shown(text: str) -> str:
    return re.sub(r"(<\|vision_start\|>)?(<\|image_pad\|>)+(<\|vision_end\|>)?", "", text)


def test_the_recipe_is_a_configuration_of_verl(tmp_path: Path):
    script = Path(__file__).parents[2] / "experiments" / "integrations" / "verl" / "train.sh"
    printed = subprocess.run(
        [script, tmp_path], env={**os.environ, "DRY_RUN": "1", "NODES": "4"}, capture_output=True, text=True, check=True
    )
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", printed.stdout.splitlines())

    assert config.trainer.nnodes * config.trainer.n_gpus_per_node == config.actor_rollout_ref.rollout.agent.num_workers
    rollout: RolloutConfig = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    assert rollout.agent.agent_loop_config_path == f"{tmp_path}/agent_loops.json"


def test_the_rows_are_read_by_verls_data_set(tmp_path: Path):
    rows = verl_rows(TINY.source.tasks, "train", is_training=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", ["data.filter_overlong_prompts=true"])
    data = RLHFDataset(str(tmp_path / "train.parquet"), TOKENIZER, config.data, PROCESSOR)

    assert [it["extra_info"]["task_id"] for it in data] == list(TINY.replies)
    assert {it["agent_name"] for it in data} == {agent_name("train")}
    assert "47" not in json.dumps(rows)
