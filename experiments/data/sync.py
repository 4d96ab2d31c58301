"""Copy folders to and from an object store: `vt-env sync runs/synth/dataset s3://bucket/shards/synth`.

A copy is verified when it is fetched, and a second one sends only what has changed. See docs/scale.md.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vt_env.errors import ConfigError
from vt_env.jsonl import PART
from vt_env.media.cache.build_once import LOCK, cache_root
from vt_env.media.cache.published import KINDS, REMOTE_CACHE, fetch, publish


@dataclass(frozen=True)
class SyncRun:
    """Copy a file or folder to an address such as `s3://bucket/folder`, or from one."""

    paths: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """From and to: one of them an address (`s3://`, `gs://`, `file://`), the other a path."""
    cache: bool = False
    """Publish what lies in the cache at $VT_ENV_REMOTE_CACHE, for videos that were indexed before it was set."""

    def __post_init__(self) -> None:
        if self.cache:
            if self.paths or not os.environ.get(REMOTE_CACHE):
                raise ConfigError(f"--cache: set {REMOTE_CACHE} to an address, and give no paths")
        elif len(self.paths) != 2 or sum("://" in it for it in self.paths) != 1:
            got = " ".join(self.paths) or "nothing"
            raise ConfigError(f"got {got}; give a path and an address such as s3://bucket/folder, from and to")


def main(run: SyncRun) -> None:
    """Copy, and say what was copied.

    Raises:
        ConfigError: The source does not exist, the address cannot be read or written, or a file is damaged.
    """
    if run.cache:
        print(f"{sum(_publish_cache(os.environ[REMOTE_CACHE]))} files sent to {os.environ[REMOTE_CACHE]}")
        return
    source, target = run.paths
    if "://" in target:
        if not Path(source).exists():
            raise ConfigError(f"{source}: no such file or folder")
        print(f"{publish(Path(source), target)} files sent to {target}")
    elif fetch(source, Path(target)):
        print(f"{target}: fetched from {source}")
    else:
        raise ConfigError(f"{source}: nothing was copied there; vt-env sync FOLDER {source} does")


def _publish_cache(address: str) -> list[int]:
    folders = [cache_root() / kind for kind in KINDS]
    entries = [it for folder in folders if folder.is_dir() for it in sorted(folder.iterdir())]
    whole = [it for it in entries if it.suffix not in (PART, LOCK)]
    return [publish(it, f"{address.rstrip('/')}/{it.parent.name}/{it.name}") for it in whole]
