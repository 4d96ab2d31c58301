"""Whole videos are captioned clip by clip without a question; errors are counted by word, and keys tell captioners."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.backends.chat_wire import ChatReply, ReplyStatus
from experiments.analysis.caption_errors import count_errors, word_pairs
from experiments.bench.caption_errors import CaptionErrorsBench, caption_errors
from experiments.bench.fixtures.written_captions import WrittenCaptions, read_view
from experiments.data.captions import CaptionsRun
from experiments.data.captions import main as write_captions
from experiments.data.world import WorldRun
from experiments.data.world import main as write_world
from experiments.evaluate.episode_provenance import annotation_hash
from experiments.settings.models import BASE_MODEL
from experiments.settings.written_captions import CAPTIONS_FILE, captions_key, check_captions
from synth.clip_captions import ClipCaptioning, caption_clips, clips_of
from vt_env.errors import ConfigError, DataError
from vt_env.task_sources import load_tasks
from vt_env.testing import FakeVideo
from vt_env.types import Interval, SubtitleLine
from vt_env.world.config import full_world
from vt_env.world.vocabulary import COLOURS, SHAPES

SHORT = replace(full_world(), videos=1, tasks_per_video=8, duration_min_s=60, duration_max_s=70)
CAPTIONS = st.lists(st.sampled_from([*COLOURS, *SHAPES, "12", "34", "left", "small"]), max_size=6).map(" ".join)


class Replies:
    """Answers requests from a list, and keeps what was asked."""

    def __init__(self, *replies: ChatReply):
        self.replies, self.asked = replies, []

    def complete_each(self, requests):
        for request, reply in zip(requests, self.replies, strict=True):
            self.asked.append(request)
            yield reply


@given(duration_s=st.floats(1, 5000), clip_s=st.sampled_from([2.5, 10.0, 60.0]))
def test_clips_divide_a_video_without_gaps(duration_s, clip_s):
    clips = clips_of(duration_s, clip_s)
    assert clips[0].start_s == 0 and clips[-1].end_s == pytest.approx(duration_s)
    assert all(a.end_s == b.start_s and a.duration_s == clip_s for a, b in pairwise(clips))


def test_every_clip_is_described_without_a_question_and_a_cut_caption_is_left_out():
    replies = Replies(
        ChatReply(ReplyStatus.OK, "red  square 47\n"),
        ChatReply(ReplyStatus.TRUNCATED, "red red"),
        ChatReply(ReplyStatus.OK, "x"),
    )
    lines = caption_clips(FakeVideo(duration_s=25), replies, ClipCaptioning(frames=2, prompt="What is shown?"))
    assert [(str(it.interval), it.text) for it in lines] == [("00:00-00:10", "red square 47"), ("00:20-00:25", "x")]
    blocks = [block for request in replies.asked for block in request.messages[0]["content"]]
    assert [it.get("text", "") for it in blocks] == ["", "", "What is shown?"] * 3


def test_a_request_that_failed_ends_the_run_and_is_no_caption():
    with pytest.raises(DataError, match="timed_out: slow; run the same command again"):
        caption_clips(
            FakeVideo(duration_s=10), Replies(ChatReply(ReplyStatus.TIMED_OUT, error="slow")), ClipCaptioning()
        )


@given(flawless=CAPTIONS, written=CAPTIONS)
def test_every_word_is_counted_once(flawless, written):
    pairs = list(word_pairs(flawless, written))
    assert sorted(it.flawless for it in pairs if it.flawless) == sorted(flawless.split())
    assert sorted(it.written for it in pairs if it.written) == sorted(written.split())
    assert all(it.is_right for it in word_pairs(flawless, flawless))


def test_errors_are_told_by_kind():
    found = count_errors({"v": [("red square 12", "red star 12 13"), ("blue cross 7", "")]})
    kinds = {it.kind: it for it in found.kinds}
    assert found.exact == 0 and found.clips == 2
    assert (kinds["colour"].right, kinds["colour"].missing) == (0.5, 0.5)
    assert (kinds["shape"].wrong, kinds["shape"].missing) == (0.5, 0.5)
    assert (kinds["number"].right, kinds["number"].invented) == (0.5, 0.5)
    assert found.words["square"] == {"star": 1} and found.words["cross"] == {"": 1}


def test_neighbouring_clips_of_one_thing_are_one_scene_to_a_reader():
    lines = [
        SubtitleLine(Interval(start_s, start_s + 10), text)
        for start_s, text in [(0, "red star 12"), (10, "red star 12 left low"), (30, "red star 12"), (40, "red 12")]
    ]
    scenes = read_view(lines, ()).scenes
    assert [(it.interval, it.caption) for it in scenes] == [
        (Interval(0, 20), "red star 12"),
        (Interval(30, 40), "red star 12"),
    ]


def test_captions_of_another_model_than_a_checkpoint_learned_from_are_one_line(tmp_path):
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions" / "config.json").write_text(json.dumps({"run": "captions", "captioner": "one"}))
    model = tmp_path / "model"
    model.mkdir()
    check_captions(str(tmp_path / "captions"), str(model))
    (model / CAPTIONS_FILE).write_text(json.dumps({"captioner": "other"}))
    with pytest.raises(ConfigError, match=r"of the model one, but .* was trained on captions of other; give --tasks"):
        check_captions(str(tmp_path / "captions"), str(model))


@pytest.mark.slow
def test_the_base_captions_a_world_and_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch):
    world, out = tmp_path / "world", tmp_path / "captions"
    write_world(WorldRun(world, families=("all",), processes=1, world=SHORT))
    config = CaptionsRun(out=out, tasks=str(world))
    write_captions(config)
    (video,) = load_tasks(out).videos
    lines = Path(video.captions_path).read_text().splitlines()
    assert len(lines) == len(clips_of(60, 10)) or len(lines) == len(clips_of(70, 10))
    found = caption_errors(CaptionErrorsBench(str(world), out))
    assert found.clips == len(lines) and found.exact > 0.5
    assert annotation_hash(load_tasks(out)) == annotation_hash(load_tasks(world)) and captions_key(out) is not None
    assert WrittenCaptions(out).of(load_tasks(world).videos[0])[0].text
    # A second call loads no model; another base is refused.
    monkeypatch.setattr("experiments.data.captions.load_processor", None)
    write_captions(config)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="give another --out"):
        write_captions(replace(config, model=str(other)))
    assert str(BASE_MODEL) in json.loads((out / "config.json").read_text())["model"]
