"""Players that stay open between looks, since opening a file of ten hours takes as long as decoding a frame of it.

Knows players and files; knows nothing of times. A player is one caller's at a time, and is kept only where nothing went
wrong. A file that was replaced is opened anew, and a process made by fork opens its own, since two processes that share
an open file share its position.
"""

import os
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from vt_env.media.decode.container import Timeline, check_file
from vt_env.media.decode.pyav_player import PyAVPlayer

MAX_IDLE = 4
"""Players kept open in a process."""
MAX_PIXELS = 1920 * 1088
"""Larger frames are not kept open for: a decoder may hold 16 of them, 50 MB at this size."""

_Key = tuple[Path, int, int, int]


class _Idle:
    """Players that nobody uses, the one used longest ago first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._players: OrderedDict[_Key, list[PyAVPlayer]] = OrderedDict()

    def take(self, key: _Key) -> PyAVPlayer | None:
        with self._lock:
            waiting = self._players.pop(key, [])
            player = waiting.pop() if waiting else None
            if waiting:
                self._players[key] = waiting
            return player

    def put(self, key: _Key, player: PyAVPlayer) -> None:
        with self._lock:
            self._players.setdefault(key, []).append(player)
            self._players.move_to_end(key)
            while sum(map(len, self._players.values())) > MAX_IDLE:
                oldest = next(iter(self._players))
                self._players[oldest].pop().close()
                if not self._players[oldest]:
                    del self._players[oldest]


_idle = _Idle()


def _forget() -> None:
    global _idle
    _idle = _Idle()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def lend_player(path: Path, timeline: Timeline, shown_px: tuple[int, int]) -> Generator[PyAVPlayer]:
    """Lend a player of a file for the block.

    Raises:
        DataError: The file is not there any more.
    """
    check_file(path)
    stat = path.stat()
    key = (path.absolute(), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    idle = _idle
    player = idle.take(key) or PyAVPlayer(path, timeline, shown_px)
    player.begin(timeline, shown_px)
    is_kept = False
    try:
        yield player
        is_kept = shown_px[0] * shown_px[1] <= MAX_PIXELS
    finally:
        if not is_kept:
            player.close()
    if is_kept:
        idle.put(key, player)
