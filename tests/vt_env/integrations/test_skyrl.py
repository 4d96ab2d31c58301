"""SkyRL's own `make` opens episodes and its steps give what a bare episode gives."""

from collections.abc import Sequence
from typing import Any

import pytest
import skyrl_gym
from skyrl_gym.envs import registration

from vt_env.episode.messages import result_messages
from vt_env.episode.serialisers import decode_picture
from vt_env.errors import ConfigError
from vt_env.integrations import skyrl
from vt_env.session import SessionSource
from vt_env.testing import Conversation, FakeLibrary, FakeVideo, Played, Received, integration_conformance, tiny_vlm

TINY = tiny_vlm()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch):
    """Makes environments as a training does; the tasks are in memory."""
    if "vt_env" not in registration.registry:
        skyrl_gym.register("vt_env", "vt_env.integrations.skyrl:LongVideoEnv")

    def environment(source: SessionSource, task_id: str | None, **row: Any) -> Any:
        monkeypatch.setattr(skyrl, "session_source", lambda config: source)
        extras = row if task_id is None else {"task_id": task_id, **row}
        return skyrl_gym.make("vt_env", env_config={"tasks": "world"}, extras=extras)

    return environment


def shown(message: dict[str, Any]) -> Received:
    content = message["content"]
    pictures = tuple(decode_picture(it["image_url"]["url"]) for it in content if it["type"] == "image_url")
    text = "".join(it["text"] for it in content if it["type"] == "text")
    return Received(text.removeprefix("<tool_response>\n").removesuffix("\n</tool_response>"), pictures)


def test_skyrl_conforms(make):
    def play(source: SessionSource, conversation: Conversation) -> Played:
        env = make(source, conversation.task_id)
        (_, question), _ = env.init([])
        received, reward, stop = list[Received](), 0.0, None
        for text in (text for turn in conversation.turns for text in turn.texts):
            step = env.step(text)
            reward += step["reward"]
            stop = step["metadata"].get("stop", stop)
            received += [shown(it) for it in step["observations"]] or [Received("The episode is over.")]
        return Played(shown(question), tuple(received), reward, stop)

    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        return [play(source, it) for it in conversations]

    # The loop ends with the episode: nothing is shown to the model behind its last call.
    integration_conformance(adapter, without={"over calls"})


LOOK = TINY.replies["fake/0"][0]


def test_a_result_is_rendered_as_the_chat_template_renders_one_of_a_tool(make):
    processor = pytest.importorskip("transformers").AutoProcessor.from_pretrained(TINY.folder)
    env = make(TINY.source, "fake/0")
    env.init([])
    (message,) = env.step(LOOK)["observations"]
    expected = result_messages(TINY.source.open(task_id="fake/0").act(LOOK).observation)

    content = [{"type": "image"} if it["type"] == "image_url" else it for it in message["content"]]
    as_user, as_tool = (
        processor.apply_chat_template(it, tokenize=False) for it in ([{**message, "content": content}], expected)
    )
    assert as_user == as_tool


def test_the_results_of_one_reply_share_a_turn_as_in_qwens_template(make):
    env = make(TINY.source, "fake/0")
    env.init([])
    (message,) = env.step(f"{LOOK}\n{LOOK}")["observations"]

    texts = "".join(it["text"] if it["type"] == "text" else "#" for it in message["content"])
    assert texts.startswith("<tool_response>\n##Frames")
    assert "</tool_response>\n<tool_response>\n##Frames" in texts


def test_replies_beyond_the_generators_limit_end_the_episode_without_an_answer(make):
    env = make(TINY.source, "fake/0", max_turns=1)
    env.init([])
    step = env.step(TINY.replies["fake/0"][0])
    assert (step["done"], step["reward"], step["metadata"]["stop"]) == (True, 0.0, "context_full")
    assert env.step("<answer>B</answer>")["reward"] == 0.0
    assert env.get_metrics()["answered"] == 0.0


def test_a_video_that_cannot_be_read_ends_its_episode_alone(make):
    source = SessionSource(
        TINY.source.tasks, tools=["frame_zoom"], library=FakeLibrary((FakeVideo(broken_from_s=0),)), prompts="tiny"
    )
    env = make(source, "fake/0")
    env.init([])
    step = env.step(TINY.replies["fake/0"][0])
    assert step["done"] and "nothing can be decoded" in step["metadata"]["invalid"]
    assert env.get_metrics() == {"invalid": 1.0}


def test_a_row_without_a_task_is_refused_when_its_environment_is_made(make):
    with pytest.raises(ConfigError, match="no task_id"):
        make(TINY.source, None)
    with pytest.raises(ConfigError, match="fake/9"):
        make(TINY.source, "fake/9")
