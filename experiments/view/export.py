"""A static site of the viewer: it opens from disk, needs no network, and can be sent to somebody.

Values are scripts, since a page that opens from disk may fetch nothing. The site holds texts, pictures as the policy
saw them and gold evidence; no video.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from itertools import chain, combinations, count, islice, zip_longest
from pathlib import Path
from typing import Any

from experiments.view.selection import MAX_SIZE, Selection
from experiments.view.server import PAGE
from experiments.view.viewer import Viewer, count_verdicts
from vt_env.errors import ConfigError, DataError
from vt_env.jsonl import replace_file
from vt_env.media.terminal import progress_bar, track

_WHOLE_PX, _JPEG_QUALITY = 960, 85
"""Longest side and quality of whole frames in a site that is sent to somebody."""
_FramePlace = tuple[str, str, float]
"""Run, video and time of a frame."""
MARK = "vt-env-view.json"
"""File that tells an exported site from a folder of somebody's own."""


def export_site(viewer: Viewer, folder: Path, limit: int) -> int:
    """Write a site, or replace one that was exported before.

    Args:
        viewer: What it shows.
        folder: Where the site is written.
        limit: Largest number of episodes, taken from the runs in turn.

    Returns:
        The number of episodes.

    Raises:
        ConfigError: The folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise ConfigError(f"--export {folder}: holds something else; give an empty or a new folder")
    with progress_bar("reading journals", 100, unit="%", delay_s=2.0) as bar:
        viewer.index.refresh(lambda share: bar.update(int(100 * share) - bar.n))
    rows = list(_rows(viewer, limit))
    with replace_file(folder) as part:
        _write_page(part)
        words: dict[int, list[str]] = {}
        wholes: dict[_FramePlace, str] = {}
        for row in track(rows, str(folder), unit="episode"):
            words[row["id"]] = _export_episode(viewer, row["id"], part, wholes)
        _write_script(part / "site.js", "window.vtSite = ", _site(viewer, rows, words))
        (part / MARK).write_text('{"schema": 1}\n', encoding="utf-8")
    return len(rows)


def _rows(viewer: Viewer, limit: int) -> Iterator[Mapping[str, Any]]:
    by_run = (_rows_of(viewer, name) for name in viewer.index.runs)
    in_turn = chain.from_iterable(zip_longest(*by_run))
    yield from islice((row for row in in_turn if row is not None), limit)


def _rows_of(viewer: Viewer, run: str) -> Iterator[Mapping[str, Any]]:
    for page in count():
        rows = viewer.list_episodes(Selection(choices={"run": (run,)}, size=MAX_SIZE, page=page))["rows"]
        yield from rows
        if len(rows) < MAX_SIZE:
            return


def _write_page(folder: Path) -> None:
    pages = folder / "page"
    pages.mkdir(parents=True)
    (folder / "episodes").mkdir()
    (folder / "pictures").mkdir()
    for path in [*PAGE.glob("*.*"), *PAGE.glob("vendor/*")]:
        if path.name != "index.html":
            shutil.copyfile(path, pages / path.name)
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    first = '<script src="page/address.js">'
    assert first in index
    index = index.replace(first, f'<script src="site.js"></script>\n{first}')
    (folder / "index.html").write_text(index, encoding="utf-8")


def _export_episode(viewer: Viewer, episode_id: int, folder: Path, wholes: dict[_FramePlace, str]) -> list[str]:
    """Write the values and the pictures of an episode; return the words that search finds.

    `wholes` holds the whole frames that are written already, since episodes share them.
    """
    shown, key = viewer.show(episode_id), {"evidence": [], "option_idx": None, "problem": "a damaged line"}
    episode = shown["episode"]
    if episode is not None:
        key = viewer.key_of(episode_id)
        frames = [*episode["prompt_frames"], *(frame for turn in episode["turns"] for frame in turn["frames"])]
        for frame in frames:
            _export_picture(viewer, episode_id, frame, folder)
            place = (str(shown["run"]), str(episode["video"]), float(frame["time_s"]))
            if place not in wholes:
                wholes[place] = _export_whole(viewer, episode_id, frame, folder, len(wholes))
            frame["whole"] = wholes[place]
    values = json.dumps({"shown": shown, "key": key})
    path = folder / "episodes" / f"{episode_id}.js"
    path.write_text(f"vtExported({episode_id}, {_in_script(values)});\n", encoding="ascii")
    return _words(episode) if episode is not None else []


def _export_picture(viewer: Viewer, episode_id: int, frame: Mapping[str, Any], folder: Path) -> None:
    # A picture that cannot be drawn is left out: the page shows an empty one in its place, as the server's does.
    with contextlib.suppress(ConfigError, DataError):
        drawn = viewer.picture(episode_id, frame["number"])
        (folder / "pictures" / f"{episode_id}-{frame['number']}-seen.png").write_bytes(drawn)


def _export_whole(viewer: Viewer, episode_id: int, frame: Mapping[str, Any], folder: Path, number: int) -> str:
    """Write a whole frame and return its address in the site; empty where it cannot be drawn."""
    try:
        drawn = viewer.whole_image(episode_id, frame["number"], _WHOLE_PX)
    except (ConfigError, DataError):
        return ""
    path = Path("pictures", f"whole-{number}.jpg")
    drawn.convert("RGB").save(folder / path, quality=_JPEG_QUALITY)
    return path.as_posix()


def _site(viewer: Viewer, rows: list[Mapping[str, Any]], words: Mapping[int, list[str]]) -> dict[str, Any]:
    names = list(viewer.index.runs)
    exported = {row["id"] for row in rows}
    pairs: dict[str, Any] = {}
    for first, second in [*combinations(names, 2), *((b, a) for a, b in combinations(names, 2))]:
        found = viewer.pairs(first, second)
        if found["rows"]:
            kept = [row for row in found["rows"] if {row["id_a"], row["id_b"]} <= exported]
            key = json.dumps([first, second], separators=(",", ":"), ensure_ascii=False)
            pairs[key] = {"rows": kept, "counts": count_verdicts(kept)}
    return {
        "runs": viewer.describe_runs(),
        "rows": [dict(row) | {"words": words[row["id"]]} for row in rows],
        "plots": viewer.plots(names),
        "pairs": pairs,
    }


def _words(episode: Mapping[str, Any]) -> list[str]:
    texts = [episode["question"], *episode["options"], *(turn["text"] for turn in episode["turns"])]
    return sorted(set(re.findall(r"\w+", " ".join(texts).lower())))


def _write_script(path: Path, start: str, value: object) -> None:
    path.write_text(f"{start}{_in_script(json.dumps(value))};\n", encoding="ascii")


def _in_script(text: str) -> str:
    # JSON in ASCII is a JavaScript value; the file is no markup, so that no text of a run can end the script.
    return text.replace("<", "\\u003c")
