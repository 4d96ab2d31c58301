"""The class that TRL is given has tools and nothing else, and pays for what a conversation holds and nothing else."""

import inspect
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from vt_env.actions.parse import parse_action
from vt_env.config import RewardConfig
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.gold import Gold
from vt_env.integrations.trl import environment_class, reward_functions, training_rows
from vt_env.prompts import DEFAULT, OVER, TINY
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import FakeLibrary, FakeVideo, fake_task, fake_tasks, read_second
from vt_env.tools.builtin import tools_for
from vt_env.types import Interval, StopReason

LIBRARY = FakeLibrary((FakeVideo(frame_px=112),))
CALL = {"type": "function", "function": {"name": "frame_zoom", "arguments": {}}}
EVIDENCE = RewardConfig({"evidence": 1.0})


def make(library=LIBRARY, **choices):
    return environment_class(fake_tasks(), library=library, **{"prompts": "tiny", **choices})


def started(library=LIBRARY, **choices):
    environment = make(library, **choices)()
    environment.reset(task_id="fake/0", seed=0, prompt=[])
    return environment


def text_of(content) -> str:
    return content if isinstance(content, str) else content[-1]["text"]


def said(text, **more) -> dict:
    return {"role": "assistant", "content": text, **more}


def result(content, name="frame_zoom") -> dict:
    return {"role": "tool", "name": name, "content": content}


def played(environment, last, *calls) -> list[dict]:
    """Call a tool for each of `calls` (start and end) and say `last`."""
    messages = []
    for start_s, end_s in calls:
        messages += [said("", tool_calls=[CALL]), result(environment.frame_zoom(start_s=start_s, end_s=end_s))]
    return [*messages, said(last)]


def paid(environments, completions, rewards="default"):
    logged = {}
    (function,) = reward_functions(rewards)
    values = function(
        completions=completions, environments=environments, log_metric=logged.__setitem__, task_id=["fake/0"]
    )
    return values, logged


def recorded(environment, completion) -> Trajectory:
    """What is put on record of one rollout, read back from its line."""
    steps = []
    (function,) = reward_functions("shaped", lambda step, rollouts: steps.append((step, rollouts)))
    state = SimpleNamespace(global_step=3)
    paid = function(
        completions=[completion], environments=[environment], log_metric=lambda *_: None, trainer_state=state
    )
    ((step, (trajectory,)),) = steps
    assert step == 3 and trajectory.reward == paid[0]
    return Trajectory.from_json(trajectory.to_json())


def test_public_members_are_the_tools_and_reset_alone():
    environment = make()
    public = [name for name, _ in inspect.getmembers(environment) if not name.startswith("_")]
    assert public == sorted([*(tool.name for tool in tools_for("frames")), "reset"])


@pytest.mark.slow
def test_the_methods_have_the_schemas_of_the_tools():
    get_json_schema = pytest.importorskip("transformers.utils").get_json_schema
    environment = make()()
    for tool in tools_for("frames"):
        assert get_json_schema(getattr(environment, tool.name)) == tool.schema


def test_reset_depends_on_the_row_alone():
    used, fresh = started(), make()()
    used.frame_zoom(start_s="05:20", end_s="05:40")
    row = {"task_id": "fake/1", "seed": 1, "prompt": []}
    assert used.reset(**row) == fresh.reset(**row)
    again = [environment.frame_zoom(start_s="01:00", end_s="02:00")[-1] for environment in (used, fresh)]
    assert again[0] == again[1] and "Left: 7 calls" in again[0]["text"]


def test_global_frames_stand_before_the_question():
    content = make(budget="paper")().reset(task_id="fake/0")
    assert [block["type"] for block in content] == ["image"] * 32 + ["text"]
    assert text_of(content).startswith("Question: ") and text_of(content).endswith("Left: 8 calls, 32 frames.")


def test_a_result_is_pictures_of_one_size_and_the_text_that_names_their_times():
    *images, text = started().frame_zoom(start_s="05:20", end_s="05:40")
    assert [read_second(np.asarray(block["image"])) for block in images] == [325, 335]
    assert {block["image"].size for block in images} == {(112, 112)}
    assert text["text"] == "Frames at 05:25 05:35.\nLeft: 7 calls, 14 frames."


def test_with_captions_everything_is_plain_text():
    environment = make(perception="captions")()
    assert environment.reset(task_id="fake/0").endswith("Left: 8 calls.")
    assert environment.caption_zoom(start_s=320, end_s=330) == "05:20-05:46 red square 47\nLeft: 7 calls."


def test_a_wrong_argument_is_answered_in_the_result_and_costs_a_call():
    environment = started()
    answer = environment.frame_zoom(start_s="99:00", end_s="99:10", zoom=2)
    assert answer.startswith("Error: frame_zoom has no argument 'zoom'") and answer.endswith(
        "Left: 7 calls, 16 frames."
    )
    _, logged = paid([environment], [[said("", tool_calls=[CALL]), result(answer), said("<answer>47</answer>")]])
    assert (logged["episode/calls"], logged["episode/failed_calls"], logged["terms/format"]) == (1, 1, 0)


def test_after_the_last_call_the_result_says_so_and_a_later_answer_comes_too_late():
    environment = started()
    texts = [text_of(environment.subtitle_retrieval(query="code")) for _ in range(10)]
    assert texts[7].endswith("Left: 0 calls. Answer now.") and texts[8:] == [OVER, OVER]
    values, logged = paid([environment], [[*(result(text) for text in texts), said("<answer>47</answer>")]])
    assert values == [0] and logged["episode/no_answer"] == 1 and logged["episode/rolled_back"] == 0


@pytest.mark.parametrize(
    ("last", "reward", "counts"),
    [
        ("red square yes\n<answer>47</answer>", 1, (0, 0)),
        ("<answer>B</answer>", 1, (0, 0)),
        ("<answer>12</answer>", 0, (0, 0)),
        ("<answer>purple</answer>", 0, (0, 1)),
        ("<answer>47", 0, (1, 0)),
        ("it is 47", 0, (1, 0)),
        ('<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s"}}\n</tool_call>', 0, (1, 0)),
    ],
)
def test_the_last_message_is_scored_and_what_is_no_answer_is_counted(last, reward, counts):
    environment = started()
    values, logged = paid([environment], [played(environment, last, (320, 346))])
    assert values == [reward]
    assert (logged["episode/no_answer"], logged["episode/unread_answer"]) == counts
    assert logged["terms/accuracy"] == reward


def test_a_rollout_that_ends_in_a_call_has_no_answer():
    environment = started()
    values, logged = paid([environment], [[said("<answer>47</answer>", tool_calls=[CALL])]])
    assert values == [0] and logged["episode/no_answer"] == 1


@pytest.mark.parametrize(
    "said_first", [said("", tool_calls=[CALL, CALL]), said("<answer>47</answer>", tool_calls=[CALL])]
)
def test_a_reply_that_is_malformed_elsewhere_is_not_paid_though_trl_plays_it(said_first):
    environment = started(budget="default,max_parallel_calls=1")
    looks = [result(environment.frame_zoom(start_s=320, end_s=346)) for _ in said_first["tool_calls"]]
    values, logged = paid([environment], [[said_first, *looks, said("<answer>47</answer>")]])
    assert values == [0] and logged["episode/no_answer"] == 1


def test_ending_early_without_an_answer_costs_all_calls():
    environment = started()
    values, logged = paid([environment], [[said("")]], RewardConfig({"accuracy": 1.0, "cost": 1.0}))
    assert values == [0] and logged["terms/cost"] == -1


def test_results_that_were_taken_back_are_not_paid():
    environment, whole = started(), started()
    answer = "<answer>47</answer>"
    completion = played(environment, answer, (320, 346))
    seen, kept = paid([whole], [played(whole, answer, (320, 346))], EVIDENCE)
    # TRL takes back the results and ends the rollout with the message that asked for them.
    unseen, logged = paid([environment], [completion[:1]], EVIDENCE)
    assert (seen, unseen) == ([1], [0])
    assert (kept["terms/evidence"], logged["terms/evidence"]) == (1, 0)
    assert logged["episode/rolled_back"] == 1 and logged["episode/frames"] == 0 and logged["episode/calls"] == 0


def test_a_message_of_trl_about_a_call_it_refused_is_not_taken_for_a_result():
    environment = started()
    refused = [said("", tool_calls=[CALL]), result("{'error': 'Tool look not found.'}", "look")]
    values, logged = paid(
        [environment], [[*refused, *played(environment, "<answer>47</answer>", (320, 346))]], EVIDENCE
    )
    assert values == [1] and logged["episode/calls"] == 1 and logged["episode/rolled_back"] == 0


def test_an_unreadable_video_is_masked_and_counted_and_leaves_the_others_alone():
    broken = FakeLibrary((FakeVideo(frame_px=112, broken_from_s=300),))
    bad, good = started(broken), started()
    completions = [played(environment, "<answer>47</answer>", (320, 346)) for environment in (bad, good)]
    assert completions[0][1]["content"] == OVER and bad.subtitle_retrieval(query="code") == OVER
    values, logged = paid([bad, good], completions)
    assert values == [None, 1] and logged["episode/invalid"] == 0.5 and logged["terms/accuracy"] == 1
    assert logged["families/needle"] == 1


def test_what_each_family_was_paid_is_logged_once_a_rollout():
    environments, paid_once = [started() for _ in range(3)], []
    (function,) = reward_functions()
    function(
        completions=[[said(f"<answer>{answer}</answer>")] for answer in (47, 12, 47)],
        environments=environments,
        log_metric=lambda name, value: paid_once.append((name, value)),
    )
    assert [it for it in paid_once if it[0].startswith("families/")] == [("families/needle", it) for it in (1, 0, 1)]


def test_a_rollout_is_on_record_with_what_the_model_wrote_and_what_was_paid_for_it():
    environment = started()
    completion = played(environment, "red square yes\n<answer>47</answer>", (320, 346))
    completion[0]["content"] = "I look there."
    record = recorded(environment, completion)
    look, answer = record.turns
    assert parse_action(look.text).name == look.call.name == "frame_zoom" and look.text.startswith("I look there.\n")
    assert look.observation_text == "Frames at 05:26 05:39.\nLeft: 7 calls, 14 frames."
    assert [frame.time_s for frame in look.frames] == [326, 339]
    assert answer.text == "red square yes\n<answer>47</answer>" and answer.call is None
    assert record.correct and record.reward_terms["evidence"] == 1 and record.reward > 1


def test_what_was_taken_back_is_not_on_record():
    environment = started()
    record = recorded(environment, played(environment, "<answer>47</answer>", (320, 346))[:1])
    (turn,) = record.turns
    assert turn.text == '<tool_call>\n{"name": "frame_zoom", "arguments": {}}\n</tool_call>'
    assert record.frames == () and not record.correct and record.stop is StopReason.OUT_OF_CALLS


def test_a_rollout_that_a_call_ended_is_on_record_up_to_that_call():
    environment = started()
    messages = []
    for number in range(10):
        messages += [said(f"{number}", tool_calls=[CALL]), result(environment.frame_zoom(start_s=320, end_s=346))]
    record = recorded(environment, [*messages, said("<answer>47</answer>")])
    assert [turn.text.partition("\n")[0] for turn in record.turns] == [str(number) for number in range(9)]
    assert record.calls == 8 and record.answer is None and record.reward == 0


def test_a_rollout_whose_video_cannot_be_read_is_not_on_record():
    broken = started(FakeLibrary((FakeVideo(frame_px=112, broken_from_s=300),)))
    completion = played(broken, "<answer>47</answer>", (320, 346))
    steps = []
    (function,) = reward_functions("default", lambda *step: steps.append(step))
    state = SimpleNamespace(global_step=0)
    function(completions=[completion], environments=[broken], log_metric=lambda *_: None, trainer_state=state)
    assert steps == [(0, [])]


def test_a_video_that_cannot_be_opened_is_masked_too():
    environment = make(FakeLibrary(()))()
    assert environment.reset(task_id="fake/0") == OVER
    values, logged = paid([environment], [[said("<answer>47</answer>")]])
    assert values == [None] and logged == {"episode/invalid": 1}


def test_a_bug_in_a_tool_comes_out_of_the_reward_function():
    def broken_tool(episode) -> str:
        """Break."""
        raise KeyError("a bug")

    environment = started(tools=[broken_tool])
    with pytest.raises(KeyError, match="a bug"):
        environment.broken_tool()
    assert environment.frame_zoom(start_s=0, end_s=10) == OVER
    with pytest.raises(KeyError, match="a bug"):
        paid([environment], [[said("<answer>47</answer>")]])


@pytest.mark.parametrize(("prompts", "tools"), [(TINY, "default"), (DEFAULT, "default"), (DEFAULT, "none")])
def test_rows_name_tasks_and_do_not_depend_on_answers(prompts, tools):
    pytest.importorskip("datasets")
    swapped = TaskSet(tuple(replace(task, gold=Gold(3, (Interval(1, 2),))) for task in fake_tasks()))
    make_class = partial(environment_class, library=LIBRARY, prompts=prompts, tools=tools)
    rows, others = (training_rows(make_class(tasks)) for tasks in (fake_tasks(), swapped))
    assert rows.to_list() == others.to_list()
    assert rows.column_names == ["prompt", "task_id", "seed"] and rows["task_id"][2] == "fake/2"
    assert rows["prompt"][0] == [
        {"role": "system", "content": prompts.system_text(has_tools=tools != "none")},
        {"role": "user", "content": ""},
    ]


def test_rows_come_again_where_a_step_takes_more_of_them():
    pytest.importorskip("datasets")
    environment = environment_class(fake_tasks(), library=LIBRARY)
    once, more = training_rows(environment), training_rows(environment, len(fake_tasks()) + 1)
    assert more["task_id"] == [*once["task_id"], *once["task_id"]]
    assert list(more["seed"]) == list(range(2 * len(once)))


def test_tasks_without_an_answer_are_refused():
    with pytest.raises(ConfigError, match="'fake/0' has no answer"):
        environment_class(TaskSet((replace(fake_task(), gold=None),)), library=LIBRARY)


@pytest.mark.parametrize(
    "text", ["<action>output answer: 47</action>", r"<think><answer>12</answer></think><answer>\boxed{47}</answer>"]
)
def test_the_last_message_is_read_as_everywhere_else(text):
    environment = started()
    values, _ = paid([environment], [[said(text)]])
    assert values == [1.0]
    assert recorded(started(), [said(text)]).answer == "47"
