"""The law of boxes (`tests/vt_env/test_box_law.py`) for what each backend of a language model is given, and SFT.

Transformers runs its model, and servers are asked by HTTP. Of vLLM the requests are looked at that its engine is
handed. What an image processor makes of a picture has the size of the picture, so that no processor resizes it again.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.place_videos import BOXES, SPECS, Pixels, assert_law_of_all, looks, opened, replies_of_all, shapes, tasks

from agents.backends.chat_wire import ChatReply, ReplyStatus
from agents.backends.fake_server import FakeChatServer, completion, native_call
from agents.backends.generator import Completion, TokenSequence
from agents.backends.sampling import Sampling
from agents.base import Conversation
from agents.language.token_policy import images_of
from agents.language.tool_calling_chat import ChatSampling, ChatTurns
from experiments.evaluate.eval import EvalRun, play
from experiments.settings.models import BASE_MODEL, ModelConfig, PolicyServerConfig
from experiments.settings.policies import SeededAttempt, Setting, build_policy
from vt_env.config import EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import record_episode
from vt_env.tools.builtin import tools_for

pytest.importorskip("httpx")
pytest.importorskip("transformers")

__all__ = ["shapes"]
pytestmark = pytest.mark.slow
GREEDY = Sampling(temperature=0.0, max_new_tokens=1)


def looked(folder: Path, name: str, number: int = 0) -> Conversation:
    """Return a conversation that saw a frame and a closer look at each box, and goes on."""
    episode = make_episode(tasks(folder, name)[0], opened(folder), EnvConfig())
    conversation = Conversation(number, episode.policy_item, [episode.start()], replies_of_all())
    for text in conversation.replies:
        conversation.observations.append(episode.apply(*episode.actions(text)).observation)
    return conversation


def decoded(messages: Sequence[Mapping[str, Any]]) -> list[Pixels]:
    """Return the pictures of messages as they are sent to a server."""
    blocks = [block for it in messages if isinstance(it["content"], list) for block in it["content"]]
    urls = [block["image_url"]["url"] for block in blocks if block["type"] == "image_url"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]


@pytest.fixture(scope="module")
def processor() -> Any:
    from agents.backends.load import load_processor

    return load_processor(str(BASE_MODEL))


def test_what_transformers_is_given(shapes: Path, processor: Any) -> None:
    from agents.backends.transformers_generate import TransformersGenerator
    from agents.language.token_policy import ChatPolicy, ChatTokens

    class Watched(TransformersGenerator):
        def _inputs(self, sequences: Sequence[TokenSequence]) -> Any:
            self.images = [it.images for it in sequences]
            self.tensors = super()._inputs(sequences)
            return self.tensors

    generator = Watched(BASE_MODEL, processor, GREEDY)
    tokens = ChatTokens(processor, [it.schema for it in tools_for("frames")])
    replies = ChatPolicy(tokens, generator, range(len(SPECS))).act(
        [looked(shapes, name, number) for number, name in enumerate(SPECS)]
    )
    assert [it.record.completion_tokens for it in replies] == [1] * len(SPECS)
    for name, images in zip(SPECS, generator.images, strict=True):
        assert_law_of_all([np.asarray(it) for it in images], name)
    patch_px = processor.image_processor.patch_size
    sizes = [(int(w) * patch_px, int(h) * patch_px) for _, h, w in generator.tensors["image_grid_thw"]]
    assert sizes == [it.size for images in generator.images for it in images], "resized once more"


def test_what_vllm_is_handed(shapes: Path, processor: Any) -> None:
    from agents.backends.vllm_generate import VllmGenerator
    from agents.language.token_policy import ChatPolicy, ChatTokens

    class Requests:
        """The requests of the generator; its engine is not built."""

        context_tokens, max_new_tokens = 100_000, 1

        def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[Completion]:
            generator = object.__new__(VllmGenerator)
            image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
            generator._image_token_ids = [image_token]
            self.made = [generator._prompt(it) for it in sequences]
            counts = [it["prompt_token_ids"].count(image_token) for it in self.made]
            assert counts == [1 + len(BOXES)] * len(sequences), "one token an image, which vLLM makes as many as it has"
            return [Completion([processor.tokenizer.eos_token_id]) for _ in sequences]

    requests = Requests()
    tokens = ChatTokens(processor, [it.schema for it in tools_for("frames")])
    conversations = [looked(shapes, name, number) for number, name in enumerate(SPECS)]
    ChatPolicy(tokens, requests, range(len(SPECS))).act(conversations)
    for name, made in zip(SPECS, requests.made, strict=True):
        assert_law_of_all([np.asarray(it) for it in made["multi_modal_data"]["image"]], name)


@pytest.mark.parametrize("calls", ["text", "native"])
def test_what_a_server_is_sent(shapes: Path, calls: str) -> None:
    frame, _ = looks(BOXES[0])
    written = [frame, *(looks(box)[1] for box in BOXES)]
    texts = [completion(it) for it in replies_of_all()]
    native = [native_call(it.name, dict(it.arguments), call_id=f"call0000{n}") for n, it in enumerate(written)]
    turns = [*(native if calls == "native" else texts), completion("<answer>A</answer>")]
    left = iter(turns * len(SPECS))
    with FakeChatServer(lambda body: next(left)) as server:
        model = ModelConfig(backend="openai", server=PolicyServerConfig(base_url=server.base_url, calls=calls))
        run = EvalRun(agent="full", model=model, batch=1)
        policy = build_policy("full", model, Setting(), run.gate, 1)
        attempts = [SeededAttempt(tasks(shapes, name)[0], 0) for name in SPECS]
        episodes = list(play(policy, attempts, opened(shapes), run))
        policy.close()
    assert [it.calls for it in episodes] == [len(written)] * len(SPECS) and not any(it for it in episodes if it.errors)
    for episode, last in zip(episodes, server.requests[len(turns) - 1 :: len(turns)], strict=True):
        assert_law_of_all(decoded(last["messages"]), episode.task_id)


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize("name", SPECS)
def test_what_a_teacher_is_shown(shapes: Path, name: str, role: Any) -> None:
    """Both of an engine in this process, which takes PIL images, and of a server."""
    episode = make_episode(tasks(shapes, name)[0], opened(shapes), EnvConfig())
    turns = ChatTurns(episode.tools, ChatSampling(), 0, result_role=role)
    observation = episode.start()
    for text in replies_of_all():
        turns.request(observation)
        observation = episode.apply(*episode.actions(turns.read(ChatReply(ReplyStatus.OK, text)))).observation
    request = turns.request(observation)
    blocks = [block for it in request.messages if not isinstance(it["content"], str) for block in it["content"]]
    images = [np.asarray(block["image"]) for block in blocks if block["type"] == "image"]
    assert_law_of_all(images, name)
    sent = decoded(json.loads(json.dumps(request.body("model")))["messages"])
    assert all((one == other).all() for one, other in zip(images, sent, strict=True))
    assert all(one.shape[2] == other.shape[2] == 3 for one, other in pairwise(sent))


def test_rows_of_sft_and_their_batches(shapes: Path, processor: Any) -> None:
    from experiments.train.sft_rows import ConversationCollator, TrajectoryRows

    texts = [*replies_of_all(), "<answer>A</answer>"]
    for name in SPECS:
        episode = make_episode(tasks(shapes, name)[0], opened(shapes), EnvConfig())
        episode.start()
        for text in texts:
            episode.apply(*episode.actions(text))
        row = TrajectoryRows([record_episode(episode, texts)], tasks(shapes, name), opened(shapes))[0]
        images = images_of(row.messages)
        assert_law_of_all([np.asarray(it) for it in images], name)
        patch_px = processor.image_processor.patch_size
        grids = ConversationCollator(processor)([row])["image_grid_thw"]
        sizes = [(int(w) * patch_px, int(h) * patch_px) for _, h, w in grids]
        assert sizes == [it.size for it in images], "resized once more"
