"""Pool of open players: opening a ten-hour file takes as long as decoding one of its frames.

Knows players and files; knows nothing of times. A player has one borrower at a time and returns to the pool only if the
borrower raised no error. A replaced file is reopened. A forked process opens its own players, since two processes that
share an open file share its position.
"""

import os
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from vt_env.media.decode.container import Timeline, check_file
from vt_env.media.decode.pyav_player import MakePlayer, Player

MAX_IDLE = 4
"""Maximum number of idle players per process."""
MAX_PIXELS = 1920 * 1088
"""Maximum frame size of pooled players: a decoder may hold 16 frames, 50 MB at this size."""

_Key = tuple[MakePlayer, Path, int, int, int]


class _Idle:
    """Idle players, least recently used first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._players: OrderedDict[_Key, list[Player]] = OrderedDict()

    def pop(self, key: _Key) -> Player | None:
        with self._lock:
            waiting = self._players.pop(key, [])
            player = waiting.pop() if waiting else None
            if waiting:
                self._players[key] = waiting
            return player

    def put(self, key: _Key, player: Player) -> None:
        with self._lock:
            self._players.setdefault(key, []).append(player)
            self._players.move_to_end(key)
            while sum(map(len, self._players.values())) > MAX_IDLE:
                oldest = next(iter(self._players))
                self._players[oldest].pop().close()
                if not self._players[oldest]:
                    del self._players[oldest]


_idle = _Idle()


def _drop_after_fork() -> None:
    global _idle
    _idle = _Idle()


os.register_at_fork(after_in_child=_drop_after_fork)


@contextmanager
def lend_player(
    make_player: MakePlayer, path: Path, timeline: Timeline, shown_px: tuple[int, int]
) -> Generator[Player]:
    """Lend a player of a file for the duration of the block.

    Raises:
        DataError: The file no longer exists.
    """
    check_file(path)
    stat = path.stat()
    key = (make_player, path.absolute(), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    idle = _idle
    player = idle.pop(key) or make_player(path, timeline, shown_px)
    player.restart(timeline, shown_px)
    is_reusable = False
    try:
        yield player
        is_reusable = shown_px[0] * shown_px[1] <= MAX_PIXELS
    finally:
        if not is_reusable:
            player.close()
    if is_reusable:
        idle.put(key, player)
