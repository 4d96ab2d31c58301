"""`clip_retrieval` is offered where there is something to search: for a run as a whole, and in each episode."""

# ruff: noqa: D417  The episode is not an argument that a model gives to a tool.

from typing import Any

import pytest
from support.small_media import SMALL_MEDIA

from vt_env.config import EnvConfig
from vt_env.envs.base import EpisodeEnv
from vt_env.envs.numeric_env import LongVideoQANumericEnv
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError
from vt_env.integrations.trl import environment_class
from vt_env.session import SessionSource
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.testing import FakeLibrary, FakeVideo, fake_task
from vt_env.tools.builtin import can_search, tools_for
from vt_env.types import Item, Malformed, ToolCall, VideoRef

SEARCHED = FakeVideo(VideoRef("searched", "searched.mp4"))
MUTE = FakeVideo(VideoRef("mute", "mute.mp4"), captions=None)
LIBRARY = FakeLibrary((SEARCHED, MUTE))
SEARCH = ToolCall("clip_retrieval", {"query": "red square"})
WITHOUT = [tool.name for tool in tools_for("frames")][1:]


def task(video: FakeVideo) -> Task:
    item = fake_task().item
    return Task(Item(video.ref.handle, item.question, item.options, video.ref), fake_task().gold)


ALL, NONE = TaskSet((task(SEARCHED), task(MUTE))), TaskSet((task(MUTE),))


def made(kind: type[EpisodeEnv[Any, Any]], tasks: TaskSet, **choices: Any) -> Any:
    return kind(tasks, library=LIBRARY, media=SMALL_MEDIA, **choices)


def names(tools: Any) -> list[str]:
    return [tool.name for tool in tools]


def test_a_run_can_search_if_one_of_its_videos_can():
    assert can_search(LIBRARY, ALL.videos) and not can_search(LIBRARY, NONE.videos) and not can_search(LIBRARY, [])
    assert names(tools_for("frames", can_search=False)) == WITHOUT
    assert names(tools_for("captions", "paper", can_search=False))[0] == "subtitle_retrieval"
    assert tools_for("frames", "none", can_search=False) == ()
    with pytest.raises(ConfigError, match="clips cannot be searched here"):
        tools_for("frames", "clip_retrieval", can_search=False)


def test_a_tool_of_ones_own_under_that_name_is_kept():
    def clip_retrieval(episode: Any, query: str) -> str:
        """Find clips.

        Args:
            query: What to find.
        """
        return f"nothing like {query}"

    (own,) = tools_for("frames", ["none", clip_retrieval], can_search=False)
    episode = Episode(task(MUTE).item, None, MUTE, EnvConfig(), (own,))
    episode.start()
    assert "nothing like red square" in episode.apply(SEARCH).observation.text


@pytest.mark.parametrize("kind", [LongVideoQAEnv, LongVideoQATextEnv])
def test_an_environment_without_a_video_to_search_does_not_have_the_tool(kind: type[EpisodeEnv[Any, Any]]):
    env, full = made(kind, NONE), made(kind, ALL)
    assert names(env.tools) == WITHOUT and names(full.tools) == ["clip_retrieval", *WITHOUT]
    if kind is LongVideoQAEnv:
        assert len(env.action_space.spaces) == len(full.action_space.spaces) - 1
    env.action_space.seed(3)
    env.reset(seed=0)
    for _ in range(4):
        assert env.step(env.action_space.sample())[4]["error"] != "malformed"


def test_an_episode_does_not_offer_the_tool_in_a_video_that_cannot_be_searched():
    env = made(LongVideoQATextEnv, ALL)
    offered = {}
    for chosen in ("searched", "mute"):
        env.reset(options={"task_id": chosen})
        offered[chosen] = [schema["function"]["name"] for schema in env.tool_schemas]
    assert offered == {"searched": ["clip_retrieval", *WITHOUT], "mute": WITHOUT}
    hint = env.step("what?")[0]["text"]
    assert "subtitle_retrieval" in hint and "clip_retrieval" not in hint


def test_a_policy_that_was_told_of_the_tool_for_the_whole_run_is_told_that_this_video_has_no_use_for_it():
    env = made(LongVideoQAEnv, ALL)
    env.reset(options={"task_id": "mute"})
    for action in ((0, {"query": "red", "top_k": 2}), SEARCH, '<tool_call>{"name": "ClipRetrieval"}</tool_call>'):
        observation, *_, info = env.step(action)
        assert info["error"] == "tool_error" and observation["remaining"]["calls"] == 12 - len(env.episode.turns)
        assert "the clips of this video cannot be searched; the tools are subtitle_retrieval" in observation["text"]
    env.reset(options={"task_id": "searched"})
    assert env.step(SEARCH)[4]["error"] is None


def test_the_numeric_environment_keeps_its_actions_and_masks_the_search():
    env, other = made(LongVideoQANumericEnv, NONE), made(LongVideoQANumericEnv, ALL)
    assert env.action_space == other.action_space and env.action_names[0] == "search_clips"
    _, info = env.reset(seed=0)
    assert info["action_mask"][:3].tolist() == [0, 1, 1]
    env.step(0)
    assert isinstance(env.episode.turns[0].action, Malformed)
    with pytest.raises(ConfigError, match="clip_retrieval not on offer"):
        made(
            LongVideoQANumericEnv, ALL, tools=["subtitle_retrieval", "subtitle_summary", "frame_zoom", "subtitle_zoom"]
        )


def test_a_class_for_trl_has_the_tool_if_one_video_has_a_use_for_it():
    none, some = (environment_class(tasks, library=LIBRARY) for tasks in (NONE, ALL))
    assert not hasattr(none, "clip_retrieval") and hasattr(some, "clip_retrieval")
    environment: Any = some()
    environment.reset(task_id="mute")
    assert "cannot be searched" in environment.clip_retrieval(query="red")
    environment.reset(task_id="searched")
    assert "05:20" in environment.clip_retrieval(query="red")


def test_sessions_follow_the_same_rule():
    assert names(SessionSource(NONE, library=LIBRARY).tools) == WITHOUT
    source = SessionSource(ALL, library=LIBRARY)
    assert names(source.tools)[0] == "clip_retrieval" and names(source.open(task_id="mute").tools) == WITHOUT


def test_an_encoder_beside_a_library_is_refused_in_one_line():
    for make in (
        lambda: made(LongVideoQAEnv, ALL, encoder="colours"),
        lambda: SessionSource(ALL, encoder="none", library=LIBRARY),
    ):
        with pytest.raises(ConfigError, match="the library has its own"):
            make()
    with pytest.raises(ConfigError, match="did you mean 'colours'"):
        LongVideoQAEnv("world", encoder="coulors")


def test_a_view_of_a_search_names_its_sources_where_there_are_several():
    class Both(FakeVideo):
        @property
        def search_sources(self) -> tuple[str, ...]:
            return ("pictures", "captions")

        def search_clips(self, query: str, top_k: int) -> Any:
            return [type(hit)(hit.interval, hit.score, ("captions",)) for hit in super().search_clips(query, top_k)]

    episode = Episode(task(SEARCHED).item, None, Both(SEARCHED.ref), EnvConfig())
    episode.start()
    outcome = episode.apply(SEARCH)
    assert "#1 05:20-05:30 1.00 (captions)" in outcome.observation.text
    assert outcome.observation.lines[0].sources == ("captions",)
