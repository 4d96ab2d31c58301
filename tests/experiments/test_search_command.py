"""`vt-env search`: moments of many videos for a query, with pictures, and what it says where it cannot find any."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from experiments.cli import run

NASA = Path(__file__).parents[1] / "fixtures" / "nasa_13013.mp4"
COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220), "green": (20, 200, 20)}


def write_colours(path: Path, *names: str) -> None:
    """Write a video that shows each colour for 20 seconds at one frame a second."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for name in names:
            picture = np.full((48, 64, 3), COLOURS[name], dtype=np.uint8)
            for _ in range(20):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two videos, in each of which blue is shown at another time; the cache lies elsewhere and is empty."""
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    videos = tmp_path / "videos"
    videos.mkdir()
    write_colours(videos / "a.mp4", "red", "blue", "green")
    write_colours(videos / "b.mp4", "blue", "red")
    return videos


def test_a_name_reaches_the_terminal_without_its_control_characters(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.mp4").rename(folder / "a\x1b[2J.mp4")
    (folder / "b.mp4").unlink()
    (folder / "b\x1b[2J.mp4").write_bytes(b"no video")
    assert search(folder, "something blue", "--out", folder.parent / "found") == 2
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "a\\x1b[2J.mp4" in printed.out and "b\\x1b[2J.mp4" in printed.err


def search(*arguments: object) -> int:
    named = () if "--encoder" in arguments else ("--encoder", "colours")
    return run(["search", *map(str, arguments), *named])


def test_moments_of_all_videos_are_listed_with_a_picture_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder.parent / "found"
    assert search(folder, "something blue", "--out", out) == 0
    found = json.loads((out / "moments.json").read_text())["moments"]
    places = {(Path(it["video"]).name, it["start_s"] // 20) for it in found if it["score"] > 0.9}
    assert places == {("a.mp4", 1), ("b.mp4", 0)}
    printed = capsys.readouterr().out
    assert "00:20" in printed and str(folder / "a.mp4") in printed and "contact-sheet.png" in printed
    assert {tuple(it["sources"]) for it in found} == {("pictures",)}
    for it in found[: len(places)]:
        red, _, blue = np.asarray(Image.open(out / it["picture"])).mean(axis=(0, 1))
        assert blue > 150 > red
    assert Image.open(out / "contact-sheet.png").width > 64
    assert search(folder, "green", "--top-k", 1, "--out", out) == 0
    assert [it.name for it in out.glob("moment-*.png")] == ["moment-01.png"]


def test_no_two_moments_are_neighbours_in_one_video(folder: Path) -> None:
    out = folder.parent / "found"
    assert search(folder, "red", "--out", out) == 0
    found = json.loads((out / "moments.json").read_text())["moments"]
    for one in found:
        others = [it for it in found if it is not one and it["video"] == one["video"]]
        assert all(it["start_s"] > one["end_s"] or it["end_s"] < one["start_s"] for it in others)


def test_a_video_that_cannot_be_read_is_named_and_the_others_are_searched(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "c.mp4").write_bytes(b"not a video at all")
    assert search(folder, "red", "--out", folder.parent / "found") == 2
    out, err = capsys.readouterr()
    assert "c.mp4" in err and "b.mp4" in out
    only_broken = folder.parent / "broken"
    only_broken.mkdir()
    (folder / "c.mp4").rename(only_broken / "c.mp4")
    assert search(only_broken, "red") == 2
    assert "no video can be read" in capsys.readouterr().err


def test_a_folder_of_pictures_is_searched_beside_videos_and_every_video_counts_once(folder: Path) -> None:
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(4):
        Image.new("RGB", (64, 48), COLOURS["green"]).save(pictures / f"{number}.png")
    (folder / "link.mp4").symlink_to("b.mp4")
    out = folder.parent / "found"
    assert search(folder, pictures, folder / "b.mp4", "blue and green", "--out", out) == 0
    found = json.loads((out / "moments.json").read_text())["moments"]
    assert {Path(it["video"]).name for it in found} == {"a.mp4", "b.mp4", "pictures"}
    (shown,) = (it for it in found if it["video"] == str(pictures))
    assert np.asarray(Image.open(out / shown["picture"])).shape == (48, 64, 3)


def test_a_real_clip_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    assert search(NASA, "black and gray", "--out", tmp_path / "found") == 0
    assert "moment-01.png" in capsys.readouterr().out
    picture = Image.open(tmp_path / "found" / "moment-01.png")
    assert picture.width > picture.height > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a red car"], "needs videos and a query"),
        ([NASA, " "], "the query is empty"),
        (["/no/such/folder", "red"], "/no/such/folder: no such file or folder"),
        ([NASA, "a rocket"], "the encoder 'colours' finds nothing by it; give --encoder"),
        ([NASA, "red", "--top-k", "0"], "top_k=0: need 1 or more"),
        ([NASA, "red", "--encoder", "coulors"], "did you mean"),
        ([NASA, "red", "--encoder", "none"], "pictures are not, since the encoder is 'none'; give --encoder"),
    ],
)
def test_what_cannot_work_is_one_line(
    arguments: list[object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(*arguments) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
