"""`vt-env index`: many videos at once, what is missing or broken and why, and the care of the cache."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from support.videos import VideoSpec, indices, paint_index, write_video

from experiments.cli import run
from experiments.data.index import IndexResult, IndexRun, index_all
from vt_env.config import MediaConfig
from vt_env.errors import DataError
from vt_env.media.cache.build_once import cache_root
from vt_env.media.decode.video_file import open_video
from vt_env.media.library import VideoLibrary
from vt_env.media.search.clip_index import ClipIndex
from vt_env.media.search.encoders import ColourNameEncoder
from vt_env.media.search.many_videos import build_collection, recall_of
from vt_env.types import VideoRef


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two good videos and a broken one; the cache lies elsewhere and is empty."""
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "a.mp4", VideoSpec(frames=40))
    write_video(videos / "b.mkv", VideoSpec(frames=30))
    (videos / "c.mp4").write_bytes(b"not a video at all")
    return videos


@pytest.mark.slow
def test_a_folder_is_indexed_side_by_side_and_the_manifest_says_what_is_not_and_why(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"video": name, "question": "?", "options": ["x", "y"]} for name in ("a.mp4", "gone.mp4")]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = folder.parent / "manifest.json"
    command = ["index", str(folder), str(folder / "tasks.jsonl"), "--workers", "2", "--manifest", str(manifest)]
    assert run(command) == 2
    record = json.loads(manifest.read_text())
    assert record["counts"] == {"indexed": 2, "missing": 1, "undecodable": 1}
    assert [(Path(it["path"]).name, it["status"]) for it in record["videos"]] == [
        ("a.mp4", "indexed"), ("b.mkv", "indexed"), ("c.mp4", "undecodable"), ("gone.mp4", "missing"),
    ]  # fmt: skip
    assert [it["frames"] for it in record["videos"]] == [4, 3, 0, 0]
    reasons = [it["reason"] for it in record["videos"]]
    assert reasons[:2] == [None, None] and "FFmpeg cannot read it" in reasons[2] and "missing" in reasons[3]
    out, err = capsys.readouterr()
    assert "2 of 4 videos are indexed" in out and "c.mp4" in err and "gone.mp4" in err
    assert run([*command[:-2], "--workers", "1"]) == 2
    assert capsys.readouterr().out.count("already stored and indexed") == 2


def test_a_task_file_cannot_name_videos_outside_of_its_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "tasks.jsonl").write_text('{"video": "../a.mp4"}\n')
    assert run(["index", str(folder / "deep" / "tasks.jsonl")]) == 2
    error = capsys.readouterr().err
    assert "tasks.jsonl:1: " in error and "leads out of the folder of this file" in error


@pytest.mark.slow
def test_a_video_that_kills_its_worker_is_named_and_the_others_are_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.data.index._index_with", die_on_b)
    (folder / "c.mp4").unlink()
    results = {Path(it.path).name: it for it in index_all(IndexRun((folder,), workers=2), sorted(folder.iterdir()))}
    assert results["a.mp4"].status == "indexed" and results["b.mkv"].status == "undecodable"
    assert "ends the process" in results["b.mkv"].line


def die_on_b(library: VideoLibrary, path: Path) -> IndexResult:
    if path.name == "b.mkv":
        os._exit(9)
    return IndexResult(str(path), "indexed", "done")


def test_verify_and_gc_find_and_delete_what_is_damaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["index", str(folder / "a.mp4"), str(folder / "b.mkv"), "--workers", "1", "--encoder", "colours"]) == 0
    assert run(["index", "--verify"]) == 0 and "no faults" in capsys.readouterr().out
    (clips, _) = sorted((cache_root() / "clips").glob("*.f32"))
    clips.write_bytes(clips.read_bytes()[:-1])
    assert run(["index", "--verify"]) == 2
    error = capsys.readouterr().err
    assert str(clips) in error and "vt-env index --gc --verify" in error
    assert run(["index", "--verify", "--gc"]) == 0 and not clips.exists()
    assert run(["index", "--gc", "--max-gb", "0"]) == 0
    assert "0.0 MB are left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to do"),
        (["--asr-model", "x", "x.mp4"], "add --asr"),
        (["--max-gb", "1", "x.mp4"], "add --gc"),
        (["--gc", "--max-gb", "-1"], "max_gb=-1.0: need 0 or more"),
    ],
)
def test_flags_that_make_no_sense_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["index", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_check_fails_loudly_where_retrieval_is_near_chance(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(folder / "long.mp4", VideoSpec(frames=80, fps=1, paint=lambda index, size_px: paint_index(5, size_px)))
    assert run(["index", str(folder / "long.mp4"), "--check", "--encoder", "colours"]) == 2
    printed = capsys.readouterr().out
    # Every clip looks the same, so no frame finds its own; colour words still find planted colours.
    assert "8 of 8 planted words" in printed and "planted frames" in printed and "NEAR CHANCE" in printed


def test_a_folder_of_pictures_is_a_video(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for idx in range(12):
        Image.fromarray(paint_index(idx, (64, 48))).save(pictures / f"frame_{idx}.png")
    assert indices(open_video(pictures).frames_at([0, 1.5, 10, 11.99]).data) == [0, 1, 10, 11]
    library = VideoLibrary(MediaConfig(), tmp_path / "cache")
    video = library.open(VideoRef("v", str(pictures)))
    assert (video.duration_s, video.size_px, video.subtitles.lines) == (12.0, (64, 48), ())
    assert indices(video.frames_at([9, 10]).data) == [9, 10]
    (pictures / "frames.json").write_text('{"times_s": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 60], "end_s": 70}')
    slower = library.open(VideoRef("v", str(pictures)))
    assert slower.duration_s == 70 and indices(slower.frames_at([59, 60]).data) == [10, 11]


@pytest.mark.parametrize(
    ("times", "defect"),
    [
        ('{"frame_rate_hz": 0}', "ValueError frame_rate_hz is 0.0"),
        ('{"frame_rate_hz": -2}', "ValueError frame_rate_hz is -2.0"),
        ('{"times_s": [0, 0], "end_s": 2}', "need 2 increasing times"),
        ('{"times_s": [0, 1]}', "need"),
        ('{"frame_rate_hz": 1e-6}', "more than 168 hours"),
        ("[1, 2]", "need"),
    ],
)
def test_broken_times_of_pictures_are_one_line(tmp_path: Path, times: str, defect: str) -> None:
    for idx in range(2):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{idx}.png")
    (tmp_path / "frames.json").write_text(times)
    with pytest.raises(DataError, match=defect) as caught:
        open_video(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_broken_or_odd_picture_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "1.png")
    Image.new("RGB", (48, 64)).save(tmp_path / "2.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    for time_s, name in ((1.0, r"2\.png.*one size"), (2.0, r"3\.png.*cannot be read")):
        with pytest.raises(DataError, match=name):
            open_video(tmp_path).frames_at([time_s])


def clips_of(vectors: np.ndarray) -> ClipIndex:
    return ClipIndex(vectors.astype(np.float32), 10.0, 10.0 * len(vectors) - 4, ColourNameEncoder())


def test_a_collection_finds_clips_across_videos_and_a_trained_one_finds_nearly_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scenes = rng.random((40, 12))
    parts = [scenes[rng.integers(0, 40, 900)] + rng.normal(0, 0.05, (900, 12)) for _ in range(3)]
    parts[1][17] = 5 * np.eye(12)[0]
    parts[2][899] = 4 * np.eye(12)[0]
    indexes = [clips_of(part) for part in parts]
    exact, trained = build_collection(indexes, tmp_path), build_collection(indexes, tmp_path, exact_clips=100)
    for collection in (exact, trained):
        first, second = collection.search("red", 2)
        assert (first.video, first.interval.start_s, first.score) == (1, 170.0, 5.0)
        assert (second.video, second.interval.start_s, second.interval.end_s) == (2, 8990.0, 8996.0)
        assert collection.search("no colour", 3) == [] and collection.search("red", 0) == []
    queries = scenes[:20].astype(np.float32)
    assert recall_of(exact, queries, 10) == 1.0 and recall_of(trained, queries, 10) > 0.8
    (kept,) = (tmp_path / "collections").glob("*.faiss")
    stamp = kept.stat().st_ino
    build_collection(indexes, tmp_path, exact_clips=100)
    assert kept.stat().st_ino == stamp


@pytest.mark.slow
def test_the_text_on_the_screen_is_read_with_a_flag_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rapidocr", reason="needs the extra ocr: uv pip install -e '.[ocr]'")
    slide = Image.new("RGB", (640, 360), "white")
    ImageDraw.Draw(slide).text((40, 60), "Barley 412 tonnes", font=ImageFont.load_default(24), fill="black")
    (folder / "slides").mkdir()
    for number in range(3):
        slide.save(folder / "slides" / f"{number}.png")
    command = ["index", str(folder / "slides"), "--screen-text"]
    for _ in range(2):
        assert run(command) == 0
        assert "; 1 line of text on the screen" in capsys.readouterr().out
