"""The text environment: chat messages out, what a model wrote in, whatever agent's form it is in."""

# ruff: noqa: D417  The episode is not an argument that a model gives to a tool.

import gymnasium as gym
import pytest
from PIL import Image
from support.small_media import SMALL_MEDIA

from vt_env.actions.parse import ActionReader, parse_action, render_action
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.episode.messages import message
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks, read_second
from vt_env.tools.builtin import tools_for
from vt_env.tools.tool import Tool
from vt_env.types import Answer, Malformed, ToolCall

ZOOM = ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0})
LOOK = render_action(ToolCall("frame_zoom", ZOOM.arguments, "there it is"))


def make(perception: str = "frames") -> LongVideoQATextEnv:
    return LongVideoQATextEnv(fake_tasks(), perception=perception, library=FakeLibrary(), media=SMALL_MEDIA)


def read(text: str, perception: str = "frames"):
    return ActionReader.for_tools(tools_for(perception)).read(text).action


def test_the_conversation_is_what_chat_templates_take():
    env = make()
    opening, _ = env.reset(seed=0)
    shown, *_ = env.step(LOOK)
    env.step("<answer>47</answer>")
    messages = env.messages()
    assert [it["role"] for it in messages] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert messages[1] == message(**opening) and messages[2]["content"] == [{"type": "text", "text": LOOK}]
    pictures = [block["image"] for block in messages[3]["content"] if block["type"] == "image"]
    assert len(pictures) == 2 and all(isinstance(it, Image.Image) for it in pictures)
    assert messages[3]["content"][-1] == {"type": "text", "text": shown["text"]}
    assert [schema["function"]["name"] for schema in env.tool_schemas] == [tool.name for tool in env.tools]


def test_writing_to_an_observation_spoils_neither_the_conversation_nor_later_frames():
    env = make()
    env.reset(seed=0)
    env.step(LOOK)[0]["frames"][0][:] = 7
    assert read_second(env.step(LOOK)[0]["frames"][0]) == 325
    image = env.messages()[3]["content"][0]["image"]
    assert isinstance(image, Image.Image) and len(image.getcolors()) == 2


def test_samples_are_calls_and_answers_that_can_be_read():
    space = make().action_space
    space.seed(0)
    actions = [parse_action(space.sample()) for _ in range(100)]
    assert {it.name for it in actions if isinstance(it, ToolCall)} == {tool.name for tool in make().tools}
    assert {it.text for it in actions if isinstance(it, Answer)} == {"A", "B", "C", "D"}


def test_an_action_that_is_no_text_is_refused():
    env = make()
    env.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction, match="need a text"):
        env.step(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "FrameZoom", "arguments": {"video_path": "v.mp4", "interval": [320, 340]}}</tool_call>',
        '<tool_call>{"name": "crop_video", "arguments": {"video_path": "v", "start_time": 320, "end_time": "05:40"}}',
        "<action>choose frames between 320 and 340</action>",
        "<action>choose frames between 320 and 340.</action>",
        "<action>choose frames between 05:20 and 00:05:40</action>",
        "<retrieve>320,340</retrieve>",
        "<retrive> 320, 340 </retrive>",
        '<video_zoom> {"segment": [320, 340.0], "fps": 4} </video_zoom>',
    ],
)
def test_every_agents_zoom_is_the_perceptions_zoom(text: str):
    assert read(text) == ZOOM
    looked = read(text, "captions")
    expected = "frame_zoom" if "FrameZoom" in text else "caption_zoom"
    assert isinstance(looked, ToolCall) and looked.name == expected


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ('<tool_call>{"name": "Clip_Retrieval", "arguments": {"query": "a", "topk": 3}}', ("clip_retrieval", 3)),
        ('<tool_call>{"name": "clip_search_tool", "arguments": {"event_description": "a"}}', ("clip_retrieval", None)),
        ('<tool_call>{"name": "global_browse_tool", "arguments": {"query": "a"}}', ("clip_retrieval", None)),
        ("<search>a</search>", ("clip_retrieval", None)),
        ("<visual_query>a</visual_query>", ("clip_retrieval", None)),
        ("<request_grounding>a</request_grounding>", ("subtitle_retrieval", None)),
    ],
)  # fmt: skip
def test_every_agents_search_is_a_retrieval(text: str, action: tuple[str, int | None]):
    name, top_k = action
    assert read(text) == ToolCall(name, {"query": "a"} if top_k is None else {"query": "a", "top_k": top_k})


@pytest.mark.parametrize("thought", ["I could <search> again.", "I give <answer> when sure.", "<tool_call> it is."])
def test_what_an_agent_thinks_about_a_tag_is_no_tag(thought: str):
    before = f"<think>{thought}</think>"
    assert read(f"{before}\n<search>a</search>") == ToolCall("clip_retrieval", {"query": "a"}, before)
    assert read(f"{before}<answer>B</answer>") == Answer("B", before)


@pytest.mark.parametrize(
    "text",
    [
        "so <answer>B</answer>",
        r"so <answer>\boxed{B}</answer>",
        r"so <answer>\boxed{\text{B}}</answer>",
        "so <action>output answer: B</action>",
        'so <tool_call>{"name": "finish", "arguments": {"answer": "B"}}</tool_call>',
    ],
)
def test_every_agents_answer_is_an_answer(text: str):
    assert read(text) == Answer("B", "so")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<retrieve>5,1",
        "<retrieve>5</retrieve>",
        "<retrieve>5,10</retrieve><retrieve>5,10</retrieve>",
        "<action>output answer: </action>",
        "<action>get frame number at time noon</action>",
        '<video_zoom>{"segment": [1]}</video_zoom>',
        '<video_zoom>{"segment": [NaN, 1e999]}</video_zoom>',
        "<search></search>",
        "<tool>get_caption((1,2)</tool>",
        "<search>a</search><tool_call>{",
        "<search>\ud800</search>",
        '<tool_call>{"name": "finish", "arguments": {}}</tool_call>',
        f"<search>{'a' * 3000}</search>",
    ],
)
def test_what_no_dialect_reads_is_malformed_with_a_reason(text: str):
    action = read(text)
    assert isinstance(action, Malformed) and action.reason


def crop_video(episode: object, video_path: str, interval: list[float]) -> str:
    """Crop.

    Args:
        video_path: Path.
        interval: Interval.
    """
    return f"{video_path} {interval}"


def test_a_tool_on_offer_keeps_its_name_and_its_arguments():
    text = '<tool_call>{"name": "crop_video", "arguments": {"video_path": "v", "interval": [1, 2]}}</tool_call>'
    action = ActionReader.for_tools([Tool.of(crop_video)]).read(text).action
    assert action == ToolCall("crop_video", {"video_path": "v", "interval": [1, 2]})


def test_a_reading_of_our_own_form_is_what_it_is_without_dialects():
    for action in (ZOOM, Answer("47", "so"), ToolCall("spatial_zoom", {"time_s": 5.0, "box": [0, 0, 1, 1]})):
        assert read(render_action(action)) == action


def test_a_broken_video_leaves_the_conversation_readable():
    env = LongVideoQATextEnv(fake_tasks(), library=FakeLibrary((FakeVideo(broken_from_s=0),)))
    env.reset(seed=0)
    with pytest.raises(Exception, match="decoded"):
        env.step(LOOK)
    assert [it["role"] for it in env.messages()] == ["system", "user"]
