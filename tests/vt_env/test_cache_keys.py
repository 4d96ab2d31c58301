"""What is kept for later is known by all that decides it: media settings, prompts, models; another one is made anew."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from support.videos import VideoSpec, write_video

from agents.backends.chat_wire import ChatReply, ChatRequest, ReplyStatus
from agents.backends.paid_replies import ReplyJournal
from agents.backends.sampling import Sampling
from experiments.evaluate import episode_provenance
from experiments.evaluate.episode_provenance import check_same_provenance, prompt_id
from experiments.evaluate.eval import EvalRun, evaluate
from experiments.evaluate.replay import ReplayRun
from experiments.evaluate.replay import main as replay
from experiments.runs.journal import read_journal
from experiments.runs.read_run import CONFIG, JOURNAL, PROVENANCE, read_json
from experiments.runs.run_dir import write_json
from experiments.settings.models import ModelConfig, PolicyServerConfig
from synth import captioner
from synth.captioner import Captioner
from vt_env.config import MediaConfig
from vt_env.episode.messages import message
from vt_env.errors import ConfigError
from vt_env.media.cache.build_once import LOCK
from vt_env.media.library import VideoLibrary
from vt_env.media.search.encoders import ColourNameEncoder
from vt_env.media.text import summaries
from vt_env.media.text.line_index import build_line_index
from vt_env.media.text.summaries import ChatSummariser, WrittenSummaries
from vt_env.prompts import DEFAULT, TINY, save_prompts
from vt_env.testing import FakeVideo
from vt_env.tools.builtin import tools_for
from vt_env.types import Box, Interval, SubtitleLine, VideoRef

LINES = (SubtitleLine(Interval(0, 2), "the code is 47"), SubtitleLine(Interval(3, 4), "look at the circle"))
MEDIA, VIDEO = MediaConfig(), FakeVideo()
REQUEST = ChatRequest([message("user", "which number?", FakeVideo().frames_at([1.0]).data)])


class Other(ColourNameEncoder):
    """The same vectors under another name."""

    key = "other-1"


class Words:
    """A text encoder that counts what it is asked."""

    def __init__(self, key: str) -> None:
        self.key, self.asked = key, 0

    def encode_texts(self, texts: list[str]):
        self.asked += 1
        return np.ones((len(texts), 1), dtype=np.float32)


class Model:
    """A chat model that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: object) -> ChatReply:
        self.asked += 1
        return ChatReply(ReplyStatus.OK, f"reply {self.asked}")

    def write(self, prompt: str) -> str:
        return self(prompt).text


def opened(video: Path, cache: Path, config: MediaConfig = MEDIA, encoder="colours") -> dict[str, set[str]]:
    """Open a video, and list what the cache holds then."""
    VideoLibrary(config, cache, encoder).open(VideoRef("v", str(video)))
    names = {kind: {it.name for it in (cache / kind).iterdir()} for kind in ("stores", "clips")}
    return {kind: {name for name in some if not name.endswith(LOCK)} for kind, some in names.items()}


@pytest.mark.parametrize(
    ("config", "stores"),
    [
        (MediaConfig(max_pixels=56 * 56), 2),
        (MediaConfig(patch_px=32), 2),
        (MediaConfig(min_pixels=1), 2),
        (MediaConfig(frame_rate_hz=2.0), 2),
        (MediaConfig(clip_s=2.0), 1),
    ],
)
def test_other_media_settings_store_and_index_a_video_anew(tmp_path, config, stores):
    path = tmp_path / "v.mp4"
    write_video(path, VideoSpec(frames=30))
    before = opened(path, tmp_path / "cache")
    assert opened(path, tmp_path / "cache") == before
    after = opened(path, tmp_path / "cache", config)
    assert (len(after["stores"]), len(after["clips"])) == (stores, 2)


def test_another_encoder_indexes_clips_anew_and_shares_the_frames(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, VideoSpec(frames=30))
    opened(path, tmp_path / "cache")
    after = opened(path, tmp_path / "cache", encoder=Other())
    assert (len(after["stores"]), len(after["clips"])) == (1, 2)


def test_lines_are_encoded_anew_by_another_encoder_and_for_other_words(tmp_path):
    first, second = Words("a"), Words("b")
    for encoder, lines, asked in ((first, LINES, 1), (first, LINES, 1), (second, LINES, 1), (first, LINES[:1], 2)):
        build_line_index(lines, encoder, tmp_path)
        assert encoder.asked == asked


def test_a_summary_is_written_anew_for_another_query_track_model_or_prompt(tmp_path, monkeypatch):
    model = Model()

    def about(query: str = "code", name: str = "m", lines=LINES) -> str:
        return WrittenSummaries(ChatSummariser(name, model.write), tmp_path).about(query, lines)

    assert about() == about() == "reply 1"
    assert [about("circle"), about(name="n"), about(lines=LINES[:1])] == ["reply 2", "reply 3", "reply 4"]
    monkeypatch.setattr(summaries, "PROMPT", summaries.PROMPT + " Be brief.")
    assert about() == "reply 5"


def test_a_caption_is_made_anew_for_other_frames_another_question_model_length_or_prompt(tmp_path, monkeypatch):
    model = Model()

    def caption(seen=VIDEO, at_s=1.0, question="which?", box=None, name="m", tokens=64) -> str:
        made = Captioner(model, name, tmp_path, "question", max_tokens=tokens)
        return made.caption(seen, seen.frames_at([at_s]), question, box)

    assert caption() == caption() == "reply 1"
    others = [
        {"seen": replace(FakeVideo(), frame_px=64)},
        {"seen": replace(FakeVideo(), ref=VideoRef("other", "other.mp4"))},
        {"at_s": 2.0},
        {"question": "where?"},
        {"box": Box(0, 0, 0.5, 0.5)},
        {"name": "n"},
        {"tokens": 65},
    ]
    for count, changes in enumerate(others, start=2):
        assert caption(**changes) == caption(**changes) == f"reply {count}"
    monkeypatch.setattr(captioner, "PROMPT_VERSION", "another")
    assert caption() == f"reply {len(others) + 2}"


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [message("user", "which colour?", FakeVideo().frames_at([1.0]).data)]},
        {"messages": [message("user", "which number?", FakeVideo().frames_at([2.0]).data)]},
        {"messages": [message("user", "which number?", replace(FakeVideo(), frame_px=64).frames_at([1.0]).data)]},
        {"tools": [{"type": "function", "function": {"name": "look"}}]},
        {"sampling": Sampling(max_new_tokens=5)},
        {"sampling": Sampling(temperature=0.5)},
        {"sampling": Sampling(top_k=3)},
        {"sampling": Sampling(stop=("x",))},
        {"sampling": Sampling(extra_body='{"n": 1}')},
        {"seed": 1},
        {"logprobs": True},
        {"extra": {"top_p": 0.5}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_paid_reply_is_not_given_to_another_request(tmp_path, changes):
    model = Model()
    ask = ReplyJournal(tmp_path / "replies.jsonl", "m").through(model)
    assert ask(REQUEST).text == ask(REQUEST).text == "reply 1"
    assert ask(replace(REQUEST, **changes)).text == "reply 2"
    again = ReplyJournal(tmp_path / "replies.jsonl", "m").through(model)
    assert again(REQUEST).text == "reply 1" and model.asked == 2
    with pytest.raises(ConfigError, match="holds replies of 'm', now 'n'"):
        ReplyJournal(tmp_path / "replies.jsonl", "n")


@pytest.fixture
def half(tmp_path, monkeypatch) -> EvalRun:
    """An evaluation that was killed after one of two episodes."""
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    write_video(tmp_path / "v.mp4", VideoSpec(frames=30))
    rows = [{"video": "v.mp4", "question": f"q{n}", "options": ["1", "2"], "answer": 0} for n in range(2)]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = EvalRun(agent="constant", tasks=str(tmp_path), out=tmp_path / "run")
    evaluate(run)
    journal = run.out / JOURNAL
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    return run


def test_a_journal_goes_on_where_nothing_changed_and_not_with_other_wording_or_annotations(half, monkeypatch):
    kept = (half.out / JOURNAL).read_bytes()
    with monkeypatch.context() as changed:
        changed.setattr(episode_provenance, "OVER", "Finished.")
        with pytest.raises(ConfigError, match=r"were played with prompt_id .*: give another --out"):
            evaluate(half)
    tasks = Path(half.tasks) / "tasks.jsonl"
    before = tasks.read_text()
    tasks.write_text(before.replace('"answer": 0', '"answer": 1'))
    with pytest.raises(ConfigError, match=r"were played with annotation_hash .*: give another --out"):
        evaluate(half)
    tasks.write_text(before)
    assert (half.out / JOURNAL).read_bytes() == kept
    assert evaluate(half).n == len(read_journal(half.out)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": "paper"},
        {"seed": 1},
        {"model": ModelConfig(path="other")},
        {"model": ModelConfig(backend="vllm")},
        {"model": ModelConfig(temperature=0.5)},
        {"model": ModelConfig(max_new_tokens=5)},
        {"model": ModelConfig(top_p=0.5)},
        {"model": ModelConfig(stop=("x",))},
        {"model": ModelConfig(uniform_frames=4)},
        {"model": ModelConfig(server=PolicyServerConfig(model="other"))},
    ],
    ids=str,
)
def test_a_journal_does_not_go_on_with_other_settings_of_what_plays(half, changes):
    with pytest.raises(ConfigError, match=r"was run with .*: give another --out"):
        evaluate(replace(half, **changes))


def test_a_journal_does_not_go_on_with_another_prompt_set(half):
    with pytest.raises(ConfigError, match=r"was run with prompts='default@3', now prompts='tiny@1': give another"):
        evaluate(replace(half, prompts="tiny"))
    own = half.out.parent / "mine.json"
    save_prompts(replace(DEFAULT, name="mine", no_clips="Nothing."), own)
    with pytest.raises(ConfigError, match=r"was run with prompts='default@3', now prompts=\{'name': 'mine'"):
        evaluate(replace(half, prompts=str(own)))
    assert evaluate(replace(half, prompts="default")).n == 2


def test_a_set_from_a_file_is_kept_with_its_run_which_goes_on_and_is_replayed_without_the_file(half, tmp_path):
    own, run = tmp_path / "mine.json", replace(half, out=tmp_path / "other")
    save_prompts(replace(DEFAULT, name="mine", opening="{question}\n{options}\n{duration} {budget}"), own)
    evaluate(replace(run, prompts=str(own)))
    (run.out / JOURNAL).write_text((run.out / JOURNAL).read_text().splitlines(keepends=True)[0])
    own.unlink()
    assert evaluate(run).n == 2
    first, second = read_journal(run.out)
    assert (first.prompts, second.prompts) == ("mine@3", "mine@3") and "q1\nA. 1" in second.prompt_text
    assert replay(ReplayRun(run.out)) == 0


def test_a_run_of_before_there_were_several_sets_goes_on_and_is_replayed_with_the_tiny_one(half, tmp_path):
    run = replace(half, out=tmp_path / "before")
    evaluate(replace(run, prompts="tiny"))
    lines = [json.loads(line) for line in (run.out / JOURNAL).read_text().splitlines()]
    for line in lines:
        del line["prompts"], line["duration_s"]
    (run.out / JOURNAL).write_text(json.dumps(lines[0]) + "\n")
    config, known = read_json(run.out / CONFIG), read_json(run.out / PROVENANCE)
    assert config.pop("prompts") == "tiny@1"
    for entry in known["origins"].values():
        del entry["prompts"]
    write_json(run.out / CONFIG, config)
    write_json(run.out / PROVENANCE, known)
    assert evaluate(run).n == 2
    assert [it.prompts for it in read_journal(run.out)] == ["tiny@1"] * 2
    assert replay(ReplayRun(run.out)) == 0


def test_every_text_of_a_set_and_the_tools_decide_the_id_of_a_prompt():
    tools = tools_for("frames")
    assert prompt_id(TINY, tools) == TODAY
    ids = {prompt_id(DEFAULT, tools), prompt_id(DEFAULT, tools[:1]), prompt_id(TINY, tools)}
    texts = [it.name for it in fields(DEFAULT) if it.name == "version" or "allowed" in it.metadata]
    for name in texts:
        value = getattr(DEFAULT, name)
        ids.add(prompt_id(replace(DEFAULT, **{name: value + 1 if name == "version" else f"{value} "}), tools))
    assert len(ids) == 3 + len(texts)


TODAY = "425d8677771e8057"
"""Id of the only wording that there was before there were sets."""


def test_a_journal_does_not_go_on_with_other_weights_under_the_same_path_and_may_with_another_commit(tmp_path):
    before = {"prompt_id": "p", "sampler": {"hash": "s"}, "model": {"path": "m", "hash": "w"}, "commit": "c"}
    write_json(tmp_path / PROVENANCE, {"origins": {"old": before, "unused": {**before, "prompt_id": "q"}}})
    check_same_provenance(tmp_path, {"old", ""}, {**before, "commit": "d", "shown": "the whole video"})
    with pytest.raises(ConfigError, match="model hash w, now it is x"):
        check_same_provenance(tmp_path, {"old"}, {**before, "model": {"path": "m", "hash": "x"}})
    with pytest.raises(ConfigError, match="sampler hash s, now it is t"):
        check_same_provenance(tmp_path, {"old"}, {**before, "sampler": {"hash": "t"}})


def test_a_reply_to_half_a_character_is_paid_once(tmp_path: Path):
    asked: list[ChatRequest] = []

    def model(request: ChatRequest) -> ChatReply:
        asked.append(request)
        return ChatReply(ReplyStatus.OK, "\ud83d", error="\ude00")

    request = ChatRequest(
        [{"role": "user", "content": "caf\ud83d"}, {"role": "user", "content": "caf\ud83d", "name": "\ud83d"}]
    )
    for _ in range(2):
        assert ReplyJournal(tmp_path / "replies.jsonl", "m").through(model)(request).text == "\ud83d"
    assert len(asked) == 1
