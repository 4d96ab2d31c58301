"""Agents and the runner, on a video in memory and on the generated world."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from support.small_world import CAPTIONS, FRAMES, SmallWorld, small_world

from agents.base import Conversation
from agents.baselines.constant import ConstantAgent
from agents.baselines.oracle import OracleAgent
from agents.baselines.random_policy import RandomAgent
from agents.baselines.world_script import ScriptedAgent
from agents.rollout import AgentBatch, run_episode, run_many
from experiments.analysis.accuracy import policy_row
from vt_env.budget.remaining import Remaining
from vt_env.config import EnvConfig, paper_budget
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.prompts import spoken_lines
from vt_env.testing import FakeLibrary, FakeVideo, fake_task
from vt_env.timed_lines import Caption, CloseUp
from vt_env.types import Box, Interval, Item, Malformed, Observation, ScoredInterval, StopReason, SubtitleLine

__all__ = ["small_world"]

NEEDLE_PLAY = """\
<tool_call>
{"name": "clip_retrieval", "arguments": {"query": "red square", "top_k": 8}}
</tool_call>
#1 05:00-05:10
<tool_call>
{"name": "caption_zoom", "arguments": {"start_s": "05:00", "end_s": "05:10"}}
</tool_call>
red circle near 12 look
#2 05:10-05:20
<tool_call>
{"name": "caption_zoom", "arguments": {"start_s": "05:10", "end_s": "05:20"}}
</tool_call>
red square yes 47 answer
<answer>47</answer>"""


class Endless:
    """Writes the same text for ever."""

    def __init__(self, text: str) -> None:
        self.text = text

    def reset(self, task: Item, observation: Observation) -> None:
        pass

    def act(self, observation: Observation) -> str:
        return self.text


class Unranked(FakeVideo):
    """A video whose search offers every captioned clip, in the order of time."""

    def search_clips(self, query: str, top_k: int) -> list[ScoredInterval]:
        starts_s = range(0, int(self.duration_s), 10)
        clips = [Interval(start_s, start_s + 10) for start_s in starts_s]
        shown = [clip for clip in clips if any(line.interval.overlap_s(clip) for line in self.captions)]
        return [ScoredInterval(clip, 0.5) for clip in shown[:top_k]]


def captioned(*captions: tuple[float, float, str], lines: tuple[SubtitleLine, ...] = ()) -> Unranked:
    told = tuple(SubtitleLine(Interval(start_s, end_s), text) for start_s, end_s, text in captions)
    return Unranked(captions=told, subtitle_lines=lines)


def episode_about(video: FakeVideo, question: str = "", config=CAPTIONS) -> Episode:
    task = fake_task()
    item = replace(task.item, question=question) if question else task.item
    return Episode(item, task.gold, video, config)


def script(persistence: float = 1.0, seed: int = 0) -> ScriptedAgent:
    return ScriptedAgent(np.random.default_rng(seed), persistence)


def test_an_agent_is_given_the_question_the_duration_and_the_budget_and_no_name_of_a_task_or_file():
    task = fake_task()
    item = replace(task.item, video=replace(task.item.video, path="needle/answer-47.mp4", captions_path="47.jsonl"))
    episode = Episode(item, task.gold, FakeVideo(), EnvConfig(budget=paper_budget()))
    opening = episode.start()
    given = episode.policy_item
    assert (given.question, given.options, given.duration_s) == (item.question, item.options, 600.0)
    assert given.budget == opening.remaining == Remaining(8, 32)
    episode.apply(Malformed("", "nothing"))
    assert episode.policy_item == given == pickle.loads(pickle.dumps(given))
    told = repr(given)
    assert not any(word in told for word in (item.task_id, item.family, ".mp4", ".jsonl"))


def test_an_agent_reads_control_tokens_broken_as_a_model_does():
    item = replace(fake_task().item, question="what is <|im_end|>?", options=("<think>", "other"))
    given = Episode(item, None, FakeVideo(), FRAMES).policy_item
    assert (given.question, given.options) == ("what is < |im_end|>?", ("< think>", "other"))


def test_options_that_are_shown_alike_make_their_episode_invalid():
    task = fake_task()
    item = replace(task.item, options=("<think>", "< think>"))
    played = run_episode(ConstantAgent(), Episode(item, task.gold, FakeVideo(), FRAMES))
    assert "are shown alike" in played.invalid


def test_a_conversation_shows_frames_before_the_text_that_names_their_times():
    episode = make_episode(fake_task(), FakeLibrary(), FRAMES)
    conversation = Conversation(0, episode.item, [episode.start()])
    frames = FakeVideo().frames_at([20.0, 30.0])
    conversation.replies.append("a call")
    conversation.observations.append(Observation("Frames at 00:20 00:30.", Remaining(7, 14), frames))
    system, question, reply, result = conversation.messages("Answer.")
    assert [it["role"] for it in (system, question, reply, result)] == ["system", "user", "assistant", "tool"]
    assert reply["content"] == [{"type": "text", "text": "a call"}]
    assert [block["type"] for block in result["content"]] == ["image", "image", "text"]
    assert (np.asarray(result["content"][1]["image"]) == frames.data[1]).all()


@pytest.mark.parametrize("config", [CAPTIONS, FRAMES])
def test_the_random_agent_visits_every_tool_and_no_call_of_it_fails(config):
    used = set()
    for seed in range(60):
        episode = make_episode(fake_task(), FakeLibrary(), config)
        played = run_episode(RandomAgent(np.random.default_rng(seed), episode.tools), episode)
        assert played.stop is StopReason.ANSWERED
        assert played.errors == ()
        assert played.calls <= config.budget.max_calls and len(played.frames) <= config.budget.max_frames
        used |= {turn.call.name for turn in played.turns if turn.call}
    assert used == {tool.name for tool in episode.tools}


def test_the_constant_agent_answers_the_first_option_at_once():
    played = run_episode(ConstantAgent(), make_episode(fake_task(answer_idx=0), FakeLibrary(), FRAMES))
    assert played.correct and len(played.turns) == 1


def test_the_script_copies_its_candidate_and_marks_what_it_sees():
    video = captioned((300, 310, "red circle 12"), (310, 320, "red square 47"), (320, 600, "blue star 31"))
    played = run_episode(script(), episode_about(video))
    assert "\n".join(turn.text for turn in played.turns) == NEEDLE_PLAY
    assert played.correct


def test_a_script_without_persistence_guesses_after_one_wrong_candidate():
    video = captioned((0, 300, "red circle 12"), (300, 310, "red square 47"))
    plays = [run_episode(script(0.0, seed), episode_about(video)) for seed in range(40)]
    assert {len(played.viewed) for played in plays} == {1}
    assert {played.answer for played in plays} == set("ABCD"[: len(fake_task().item.options)])


def test_the_script_answers_from_the_subtitle_that_gives_the_code():
    lines = (
        SubtitleLine(Interval(10, 14), "nobody knows the code of delta"),
        SubtitleLine(Interval(190, 194), "the code of delta is 31"),
    )
    played = run_episode(script(), episode_about(captioned(lines=lines), "what is the code of delta?"))
    assert played.turns[-1].text == "03:10-03:14 the code of delta is 31\n<answer>31</answer>"


def test_the_script_looks_at_the_screen_when_the_name_is_said():
    video = captioned((0, 100, "red star 11"), (100, 600, "red square 47"), lines=(
        SubtitleLine(Interval(120, 124), "look at kilo now"),
    ))  # fmt: skip
    question = "what number is on screen when the narrator says kilo?"
    played = run_episode(script(), episode_about(video, question))
    assert [turn.text.splitlines()[0] for turn in played.turns[1:]] == ["02:00-02:04 look at kilo now", "red square 47"]
    assert played.answer == "47"


def played_about(video: FakeVideo, question: str, *options: str):
    task = fake_task()
    item = replace(task.item, question=question, options=options)
    return run_episode(script(), Episode(item, task.gold, video, CAPTIONS))


def thoughts(played) -> list[str]:
    return [line for turn in played.turns for line in turn.text.split("<")[0].splitlines() if line]


def test_the_script_counts_until_a_candidate_has_another_colour():
    video = captioned(
        (0, 10, "red square 11"), (100, 110, "red star 12"), (200, 210, "red square 13"), (300, 310, "blue square 14")
    )
    played = played_about(video, "how many times is the red square shown?", "1", "2", "3")
    assert [line for line in thoughts(played) if "count" in line] == [
        "red square yes 11 count 1 look",
        "red star near 12 count 1 look",
        "red square yes 13 count 2 look",
        "blue square no 14 count 2 answer",
    ]
    assert played.answer == "2"


def test_the_script_puts_what_it_finds_in_the_order_of_its_times():
    class Sorted(Unranked):
        def search_clips(self, query: str, top_k: int) -> list[ScoredInterval]:
            return [it for it in super().search_clips(query, 9) if self.shows(it.interval, query)]

        def shows(self, clip: Interval, query: str) -> bool:
            return any(query in line.text and line.interval.overlap_s(clip) for line in self.captions)

    told = ((400, 410, "red square 11"), (100, 110, "blue star 12"), (200, 210, "pink cross 13"))
    video = Sorted(captions=tuple(SubtitleLine(Interval(*it[:2]), it[2]) for it in told))
    question = "in which order are these shown: the red square, the blue star, the pink cross?"
    played = played_about(video, question, "red square, blue star, pink cross", "blue star, pink cross, red square")
    assert [line for line in thoughts(played) if "order" in line] == [
        "red square yes 11 order red square 06:40 then",
        "blue star yes 12 order blue star 01:40, red square 06:40 then",
        "pink cross yes 13 order blue star 01:40, pink cross 03:20, red square 06:40 answer",
    ]
    assert played.answer == "B"


def test_the_script_looks_at_the_times_that_options_name():
    video = captioned((0, 100, "red star 11"), (100, 200, "blue square 12"), (200, 600, "red square 13"))
    question = "when is the red square shown?"
    played = played_about(video, question, "00:10-00:20", "01:50-02:00", "05:00-05:10")
    assert thoughts(played) == [
        "A. 00:10-00:20", "red star near 11 then", "B. 01:50-02:00", "blue square no 12 then", "C. 05:00-05:10",
        "red square yes 13 answer", "C. 05:00-05:10",
    ]  # fmt: skip
    assert (played.answer, played.calls) == ("05:00-05:10", 3)


def test_the_script_looks_closely_where_the_caption_says_the_thing_is():
    close_up = CloseUp(Box(0.25, 0.36, 0.29, 0.4), "small 57", 0.3)
    caption = Caption(Interval(300, 310), "red square 12 left high", (close_up,))
    video = Unranked(captions=(SubtitleLine(Interval(280, 300), "red circle 12 right low"), caption))
    played = played_about(video, "what is the small number on the red square?", "12", "57")
    assert "red square yes 12 left high small 05:05" in thoughts(played)
    assert (thoughts(played)[-1], played.answer, played.errors) == ("small 57", "57", ())


def test_the_script_takes_the_first_option_that_it_does_not_find():
    video = captioned((0, 10, "red square 11"), (100, 110, "blue star 12"), (200, 210, "red star 13"))
    played = played_about(video, "which of these is never shown?", "red square", "blue cross", "blue star")
    assert played.answer == "blue cross"
    assert [line for line in thoughts(played) if line[1] == "."] == ["A. red square", "B. blue cross", "B. blue cross"]


def test_the_script_guesses_a_question_it_does_not_know_and_one_whose_calls_are_spent():
    unknown = run_episode(script(), episode_about(FakeVideo(), "who is it?"))
    config = replace(CAPTIONS, budget=replace(CAPTIONS.budget, max_calls=1))
    spent = run_episode(script(), episode_about(FakeVideo(), config=config))
    assert [played.stop for played in (unknown, spent)] == [StopReason.ANSWERED] * 2
    assert (unknown.calls, spent.calls) == (0, 1)


@pytest.mark.parametrize(
    ("question", "options", "last", "answers"),
    [
        ("what number is beside the red square?", ("11", "12", "13"), "red star near 11 answer", {"11", "12", "13"}),
        ("how many times is the red star shown?", ("1", "2", "3"), "red star yes 11 count 1 answer", {"1"}),
        ("when is the red square shown?", ("00:00-00:10", "05:00-05:10", "01:00-01:10"), "red star near 11 answer",
         {"05:00-05:10", "01:00-01:10"}),
        ("which of these is never shown?", ("red star", "blue star", "red cross"), "red star yes 11 answer",
         {"blue star", "red cross"}),
        ("in which order are these shown: the red star, the blue star, the red cross?",
         ("red star, blue star, red cross", "blue star, red star, red cross"),
         "red star yes 11 order red star 00:00 answer",
         {"red star, blue star, red cross", "blue star, red star, red cross"}),
        ("what is the small number on the red star?", ("11", "12"), "red star yes 11 answer", {"11", "12"}),
    ],
)  # fmt: skip
def test_what_the_last_call_shows_is_marked_before_the_guess_and_what_it_rules_out_is_not_guessed(
    question: str, options: tuple[str, ...], last: str, answers: set[str]
):
    video = captioned((0, 10, "red star 11"), (100, 110, "blue cross 12"))
    task, given = fake_task(), set()
    for seed in range(30):
        config = replace(CAPTIONS, budget=replace(CAPTIONS.budget, max_calls=1 if "when" in question else 2))
        item = replace(task.item, question=question, options=options)
        played = run_episode(script(seed=seed), Episode(item, task.gold, video, config))
        assert played.turns[-1].text == f"{last}\n<answer>{played.answer}</answer>"
        given.add(played.answer if "count" in last else options["ABC".index(played.answer)])
    assert given == answers


def test_a_subtitle_shorter_than_a_second_is_read_as_that_second():
    (line,) = spoken_lines([SubtitleLine(Interval(3.2, 3.9), "yes")])
    assert (line.interval, line.text, line.line) == (Interval(3, 4), "yes", "00:03-00:03 yes")


def test_episodes_played_together_are_those_played_alone():
    def agents():
        return [script(0.5, seed) for seed in range(5)]

    def episodes():
        return [episode_about(FakeVideo()) for _ in range(5)]

    together = run_many(AgentBatch(agents()), episodes(), policy_name="script", seed=3, samples=range(5))
    alone = [
        run_episode(agent, episode, policy_name="script", seed=3, sample=sample)
        for sample, (agent, episode) in enumerate(zip(agents(), episodes(), strict=True))
    ]
    assert together == alone


def test_a_video_that_fails_makes_its_own_trajectory_invalid_and_no_other():
    broken = FakeVideo(broken_from_s=300)
    look = '<tool_call>{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}</tool_call>'
    episodes = [episode_about(video, config=FRAMES) for video in (FakeVideo(), broken, FakeVideo())]
    played = run_many(AgentBatch([Endless(look), Endless(look), ConstantAgent()]), episodes)
    assert [it.invalid is None for it in played] == [True, False, True]
    assert "nothing can be decoded" in played[1].invalid
    assert (played[1].stop, played[1].correct) == (None, None)


def test_a_policy_that_writes_nonsense_until_its_calls_are_spent_is_data():
    played = run_episode(Endless("let me think"), episode_about(FakeVideo()))
    assert (played.stop, played.correct, played.invalid) == (StopReason.OUT_OF_CALLS, False, None)
    assert played.errors[:-1] == ("malformed",) * CAPTIONS.budget.max_calls


@pytest.mark.slow
@pytest.mark.parametrize("config", [CAPTIONS, FRAMES])
def test_the_oracle_answers_every_question_of_the_world(small_world: SmallWorld, config):
    for task in small_world.tasks:
        episode = make_episode(task, small_world.library, config)
        played = run_episode(OracleAgent(task.gold, task.item, episode.perception.zoom_tool), episode)
        assert (played.correct, played.errors) == (True, ())
        assert played.reward_terms["evidence"] > 0


@pytest.mark.slow
def test_the_script_beats_chance_on_the_world(small_world: SmallWorld, capsys):
    agents = [script(seed=seed) for seed in range(len(small_world.tasks))]
    episodes = [make_episode(task, small_world.library, CAPTIONS) for task in small_world.tasks]
    row = policy_row("script", run_many(AgentBatch(agents), episodes))
    families = ", ".join(f"{name} {it.accuracy:.2f}" for name, it in row.families.items())
    low, high = row.ci95
    with capsys.disabled():
        # The number is wanted in the output of a passing test as well.
        print(f"\nscript: accuracy {row.accuracy:.3f} [{low:.3f}, {high:.3f}], n={row.n} ({families})")  # noqa: T201
    assert row.n >= 60 and low > 0.25
