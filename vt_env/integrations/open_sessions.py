"""Sessions that clients of a server hold open: by handle, limited in number, dropped when idle. Knows no protocol."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from vt_env.config import at_least
from vt_env.errors import ToolError
from vt_env.session import Session

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class SessionLimits:
    """Limits of a server."""

    max_sessions: int = 64
    """Episodes that may be open at once."""
    idle_s: float = 600.0
    """Seconds without a call after which an episode is dropped."""

    def __post_init__(self) -> None:
        at_least(self, "max_sessions", 1)
        at_least(self, "idle_s", 1)


@dataclass(slots=True, eq=False)
class _Held:
    session: Session
    owner: str | None
    used_s: float
    lock: Lock = field(default_factory=Lock)


class OpenSessions:
    """Sessions by handle. Thread-safe; calls of one session run one after the other, in the order of their arrival.

    Args:
        limits: Number and idle time.
        clock: Seconds that only rise.
    """

    def __init__(self, limits: SessionLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._opening = 0
        self._lock = Lock()

    def __len__(self) -> int:
        """Number of sessions that are held, ended ones included."""
        return len(self._held)

    def __contains__(self, handle: str) -> bool:
        """Tell whether a session of this handle is held."""
        return handle in self._held

    def add(self, open_session: Callable[[], Session], owner: str | None = None) -> str:
        """Open a session and return its handle, 128 bits drawn at random.

        Args:
            open_session: Opens it, which may take long.
            owner: Connection that alone may use it; `None` lets everybody who knows the handle.

        Raises:
            ToolError: As many sessions as allowed are open, and none is idle.
        """
        with self._lock:
            self._make_room()
            self._opening += 1
        try:
            held = _Held(open_session(), owner, self._clock())
            handle = secrets.token_urlsafe(16)
            with self._lock:
                self._held[handle] = held
            return handle
        finally:
            with self._lock:
                self._opening -= 1

    def use(self, handle: str, owner: str | None, action: Callable[[Session], ResultT]) -> ResultT:
        """Do something with a session.

        Raises:
            ToolError: There is no such session: never, no longer, or not for this owner.
        """
        with self._lock:
            self._drop_idle()
            held = self._held.get(handle)
            if held is None or held.owner not in (None, owner):
                raise ToolError(
                    f"no episode {handle[:40]!r}: it never began, or was dropped after {self.limits.idle_s:g} s "
                    "without a call; call begin"
                )
            held.used_s = self._clock()
        with held.lock:
            return action(held.session)

    def drop(self, handle: str) -> None:
        """Forget a session; nothing happens where there is none."""
        with self._lock:
            self._held.pop(handle, None)

    def _make_room(self) -> None:
        self._drop_idle()
        allowed = self.limits.max_sessions
        # Ended ones are only kept to answer calls after the end.
        ended = [handle for handle, held in self._held.items() if held.session.is_over]
        for handle in ended[: max(0, len(self._held) + self._opening - allowed + 1)]:
            del self._held[handle]
        if len(self._held) + self._opening >= allowed:
            raise ToolError(
                f"{allowed} episodes are open, as many as this server allows; answer one of yours, or try again in "
                f"{self.limits.idle_s:g} s, when idle ones are dropped"
            )

    def _drop_idle(self) -> None:
        oldest_s = self._clock() - self.limits.idle_s
        for handle in [handle for handle, held in self._held.items() if held.used_s < oldest_s]:
            del self._held[handle]
