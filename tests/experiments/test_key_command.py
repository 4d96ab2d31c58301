"""A policy that answers at once is taught the right answer beside just what it will be shown."""

import numpy as np
import pytest

from agents.base import Reply
from agents.language.confidence_gate import gate_looks
from agents.language.one_turn import OneTurnPolicy, spread_frames
from agents.language.token_policy import images_of
from agents.rollout import run_many
from experiments.data.key import AnswerStyle, KeyRun, answer_all, budget_and_looks
from experiments.settings.models import ModelConfig
from experiments.settings.policies import Setting, layout_of
from vt_env.envs.base import make_episode
from vt_env.errors import ConfigError
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks
from vt_env.timed_lines import TimedLines

TASKS = fake_tasks()
LIBRARY = FakeLibrary((FakeVideo(frame_px=112),))


class Recorder:
    """Answers A and keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def act(self, conversations):
        self.shown += conversations
        return [Reply("<answer>A</answer>") for _ in conversations]


def texts(messages) -> list[str]:
    return [
        it if isinstance(it, str) else it.get("text", it["type"])
        for message in messages
        for it in ([message["content"]] if isinstance(message["content"], str) else message["content"])
    ]


def test_the_answer_is_the_key_beside_frames_spread_over_the_video():
    for task, answered in zip(TASKS, answer_all(list(TASKS), LIBRARY, spread_frames(4)), strict=True):
        assert answered.correct and len(answered.turns) == 1 and len(answered.prompt_frames) == 4
        assert answered.turns[0].text == f"<answer>{task.item.options[task.gold.answer_idx]}</answer>"


def test_an_answer_by_letter_names_the_same_option_after_notes_of_what_each_frame_shows():
    style = AnswerStyle("letter", has_notes=True)
    answered = list(answer_all(list(TASKS), LIBRARY, spread_frames(4), style=style))
    for task, it in zip(TASKS, answered, strict=True):
        (turn,) = it.turns
        *notes, answer = turn.text.splitlines()
        captions = TimedLines(LIBRARY.open(task.item.video).captions)
        shown = [line.text for ref in it.prompt_frames for line in captions.on_screen([ref.time_s])]
        assert it.correct and answer == f"<answer>{'ABCD'[task.gold.answer_idx]}</answer>"
        assert notes == shown and len(notes) == 4


@pytest.mark.parametrize(
    ("form", "number", "other"), [("text", "31", "red star"), ("letter", "A", "A"), ("short", "31", "A")]
)
def test_a_short_answer_is_a_number_or_a_letter(form, number, other):
    assert AnswerStyle(form).answer(("31", "12"), 0) == number
    assert AnswerStyle(form).answer(("red star", "blue star"), 0) == other


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "looks"), [("uniform", "uniform"), ("retrieval-only", "retrieval")])
def test_it_is_taught_beside_what_it_will_be_shown_and_is_offered_no_tool(agent, looks):
    pytest.importorskip("torch")
    from experiments.train.sft_rows import TrajectoryRows

    keys = list(answer_all(list(TASKS), LIBRARY, *budget_and_looks(KeyRun(looks=looks, frames=4, budget="tiny"))))
    row = TrajectoryRows(keys, TASKS, LIBRARY)[0]
    layout = layout_of(agent, ModelConfig(uniform_frames=4), Setting("tiny"))
    policy, looking = Recorder(), gate_looks(layout.budget) if agent == "retrieval-only" else None
    run_many(OneTurnPolicy(policy, looking), [make_episode(TASKS[0], LIBRARY, layout.config, layout.tools)])
    (shown,) = policy.shown
    taught, seen = row.messages[:-1], shown.messages(shown.prompts.system_text(has_tools=False))
    assert row.tools == () and texts(taught) == texts(seen)
    pictures = images_of(taught)
    assert 0 < len(pictures) <= 4
    np.testing.assert_array_equal([np.asarray(it) for it in pictures], [np.asarray(it) for it in images_of(seen)])


def test_a_budget_that_is_none_is_refused_before_a_video_is_opened():
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        KeyRun(looks="retrieval", budget="tinny")
