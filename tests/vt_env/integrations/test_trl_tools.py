"""Tool calls of a batch run side by side, and TRL is handed what it would have got one by one."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from vt_env.errors import ConfigError
from vt_env.integrations.trl import environment_class, reward_functions
from vt_env.integrations.trl.parallel_tools import CallBatch, ParallelTools, SameThread
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks

LIBRARY = FakeLibrary((FakeVideo(frame_px=112),))


def made(tools="default", count=2):
    factory = environment_class(fake_tasks(), library=LIBRARY, tools=tools, prompts="tiny")
    environments = [factory() for _ in range(count)]
    for environment in environments:
        environment.reset(task_id="fake/0")
    return environments


def asked(*calls) -> list[dict]:
    functions = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in calls]
    return [{"role": "assistant", "content": "", "tool_calls": functions}]


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def begin(environments, completions, pool):
    batch = CallBatch(environments, completions, pool)
    for environment in environments:
        environment._rollout.before_call = batch.begin


def test_calls_of_two_episodes_run_at_the_same_time(pool):
    both = Barrier(2, timeout=10)

    def meet(episode) -> str:
        """Wait for the other episode."""
        both.wait()
        return "met"

    environments = made([meet])
    begin(environments, [asked(("meet", {})), asked(("meet", {}))], pool)
    # One after the other, as TRL asks for them, the first would wait for ever.
    assert [environment.meet() for environment in environments] == ["met\nLeft: 7 calls, 16 frames."] * 2


def test_results_are_those_of_calls_made_in_one_thread(pool):
    calls = [("subtitle_retrieval", {"query": "code"}), ("frame_zoom", {"start_s": "05:20", "end_s": "05:40"})]
    plain, ahead = made(count=3), made(count=3)
    for environments, executor in ((plain, SameThread()), (ahead, pool)):
        begin(environments, [asked(*calls), asked(*reversed(calls)), asked(calls[0])], executor)
    orders = (calls, calls[::-1], calls[:1])
    for order, one, other in zip(orders, plain, ahead, strict=True):
        assert [getattr(one, name)(**given) for name, given in order] == [
            getattr(other, name)(**given) for name, given in order
        ]


def test_each_turn_of_a_conversation_is_begun_once(pool):
    (environment,) = made(count=1)
    completion = asked(("subtitle_retrieval", {"query": "code"}))
    begin([environment], [completion], pool)
    first = environment.subtitle_retrieval(query="code")
    completion += [{"role": "tool", "content": first}, *asked(("subtitle_retrieval", {"query": "ship"}))]
    second = environment.subtitle_retrieval(query="ship")
    assert "Left: 7 calls" in first and "Left: 6 calls" in second


def test_calls_that_trl_answers_itself_are_not_made(pool):
    (environment,) = made(count=1)
    given = ("subtitle_retrieval", {"query": "code"})
    begin([environment], [asked(("look", {}), ("subtitle_retrieval", "code"), given)], pool)
    assert "Left: 7 calls" in environment.subtitle_retrieval(query="code")


def test_a_bug_in_a_call_comes_out_where_trl_asks_for_its_result_and_again_in_the_end(pool):
    def broken_tool(episode) -> str:
        """Break."""
        raise KeyError("a bug")

    (environment,) = made([broken_tool], 1)
    begin([environment], [asked(("broken_tool", {}))], pool)
    with pytest.raises(KeyError, match="a bug"):
        environment.broken_tool()
    (function,) = reward_functions()
    with pytest.raises(KeyError, match="a bug"):
        function(
            completions=[[{"role": "assistant", "content": ""}]],
            environments=[environment],
            log_metric=lambda name, value: None,
        )


def test_videos_of_a_batch_are_opened_once_each_and_those_that_cannot_be_read_say_so_later():
    opened: list[str] = []

    class Counting(FakeLibrary):
        def open(self, ref):
            opened.append(ref.handle)
            return super().open(ref)

    factory = environment_class(fake_tasks(), library=Counting((FakeVideo(frame_px=112),)))
    rows = [{"task_id": "fake/0"}, {"task_id": "fake/1"}, {"task_id": "fake/0"}]
    ParallelTools(1).open_videos({None: factory}, rows)
    assert not opened
    ParallelTools(2).open_videos({None: factory}, rows)
    ParallelTools(2).open_videos({"a": factory, "b": factory}, [{**row, "environment": "b"} for row in rows])
    assert len(opened) == 4


def test_no_thread_is_refused():
    with pytest.raises(ConfigError, match="tool_threads=0"):
        ParallelTools(0)
