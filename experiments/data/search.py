"""Find moments in a collection of videos: `vt-env search talks/ film.mp4 "a red car" --encoder FOLDER-OR-NAME`.

Missing indices are built first. Prints a table of videos and times; writes one picture per moment and a contact sheet
to `--out`.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from PIL import Image

from experiments.data.contact_sheet import WIDTH_PX, contact_sheet
from experiments.data.index import index_one
from experiments.data.video_paths import find_videos, video_ref
from experiments.runs.run_dir import write_json
from experiments.settings.library import LibraryConfig
from experiments.settings.profile import holds_world
from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.media.library import Video, VideoLibrary
from vt_env.media.search.choose_encoder import HOW_TO_SEARCH
from vt_env.media.search.many_videos import FoundClip, build_collection, search_videos
from vt_env.media.search.sources import PICTURES
from vt_env.media.terminal import track
from vt_env.types import VideoRef, format_time
from vt_env.valid_text import printable

SHEET = "contact-sheet.png"


@dataclass(frozen=True)
class SearchRun(LibraryConfig):
    """Find the moments of many videos that match a query."""

    paths_and_query: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATH... QUERY")] = ()
    """Video files, folders of videos or JSONL files whose rows name a `video`, then the query in quotes."""
    top_k: int = 8
    """Number of moments."""
    out: Path = Path("runs/search")
    """Folder for pictures, contact sheet and moments.json; pictures of an earlier search are deleted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.paths_and_query) < 2:
            raise ConfigError('search needs videos and a query: vt-env search talks/ "a red car"')
        if not self.query.strip():
            raise ConfigError('the query is empty: vt-env search talks/ "a red car"')
        at_least(self, "top_k", 1)

    @property
    def paths(self) -> list[Path]:
        """Files and folders to search."""
        return [Path(it) for it in self.paths_and_query[:-1]]

    @property
    def plays_world(self) -> bool:
        """Whether the paths are task files of the generated world."""
        return bool(self.paths) and all(map(holds_world, self.paths))

    @property
    def query(self) -> str:
        """Text of the query."""
        return self.paths_and_query[-1]


def main(run: SearchRun) -> int:
    """Index new videos, search all clips together, then print and draw the best moments.

    Returns:
        2 if a video is unreadable, else 0.

    Raises:
        ConfigError: A path does not exist, no video can be read or searched, or the encoder maps the query to 0.
    """
    videos = find_videos(run.paths)
    library = run.open_library()
    _check_sources(run, library)
    readable = _index(videos, library)
    opened = [library.open(video_ref(path)) for path in readable]
    indexes = [it.index for it in opened if it.index is not None]
    pictures = build_collection(indexes, library.cache_dir) if indexes else None
    # Three times as many, since each clip has up to two neighbours.
    found = search_videos([it.clips for it in opened], pictures, run.query, 3 * run.top_k)
    moments = apart(found, run.top_k)
    _write(run, readable, opened, moments)
    return 2 if len(readable) < len(videos) else 0


def apart(clips: Sequence[FoundClip], top_k: int) -> list[FoundClip]:
    """Return the first `top_k` clips of which no two are neighbours in one video."""
    found: list[FoundClip] = []
    for clip in clips:
        span = clip.interval
        beside = (it.interval for it in found if it.video == clip.video)
        if not any(it.start_s <= span.end_s and span.start_s <= it.end_s for it in beside):
            found.append(clip)
    return found[:top_k]


def _check_sources(run: SearchRun, library: VideoLibrary) -> None:
    """Reject videos without a source and a query that the encoder of the only source maps to 0, before any indexing."""
    ref = VideoRef("", "")
    sources, encoder = library.sources_of(ref), library.encoders.encoder_of(ref)
    if not sources:
        raise ConfigError(f"nothing to search: pictures are not, since {library.encoders.why_none}")
    if sources == (PICTURES,) and encoder is not None and not encoder.encode_texts([run.query])[0].any():
        raise ConfigError(
            f"query {run.query!r}: the encoder {run.chosen.encoder!r} finds nothing by it; {HOW_TO_SEARCH}"
        )


def _index(videos: Sequence[Path], library: VideoLibrary) -> list[Path]:
    readable: list[Path] = []
    for path in track(videos, "videos") if len(videos) > 1 else videos:
        if not path.exists():
            print(printable(f"vt-env: {path}: missing; copy it there"), file=sys.stderr)
            continue
        result = index_one(path, library)
        if result.status == "indexed":
            readable.append(path)
        else:
            print(printable(f"vt-env: {result.line}"), file=sys.stderr)
    if not readable:
        raise ConfigError("no video can be read: see above")
    return readable


def _write(run: SearchRun, paths: Sequence[Path], videos: Sequence[Video], moments: Sequence[FoundClip]) -> None:
    """Print the table; write one picture per moment, the contact sheet and moments.json."""
    run.out.mkdir(parents=True, exist_ok=True)
    for old in [*run.out.glob("moment-*.png"), run.out / SHEET]:
        old.unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    pictures: list[Image.Image] = []
    for rank, moment in enumerate(moments, start=1):
        interval, name = moment.interval, f"moment-{rank:02d}.png"
        time_s = (interval.start_s + interval.end_s) / 2
        picture = Image.fromarray(videos[moment.video].store.video.frames_at([time_s]).data[0])
        picture.save(run.out / name)
        picture.thumbnail((WIDTH_PX, WIDTH_PX))
        pictures.append(picture)
        row = {"video": str(paths[moment.video]), "start_s": interval.start_s, "end_s": interval.end_s}
        rows.append(
            {"rank": rank, **row, "score": round(moment.score, 4), "sources": list(moment.sources), "picture": name}
        )
    write_json(run.out / "moments.json", {"query": run.query, "encoder": run.chosen.encoder, "moments": rows})
    if not rows:
        print(f"nothing in {len(videos)} videos scores above 0; try other words or another --encoder")
        return
    for row in rows:
        span = f"{format_time(row['start_s'])} to {format_time(row['end_s'])}"
        where = printable(f"{row['video']}  [{run.out / row['picture']}]")
        print(f"{row['rank']:>3}  {row['score']:.3f}  {span}  {where}")
    labels = [f"{it['rank']}. {Path(it['video']).name} {format_time(it['start_s'])}" for it in rows]
    contact_sheet(pictures, labels).save(run.out / SHEET)
    print(f"[{run.out / SHEET}]")
