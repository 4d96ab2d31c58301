"""Session sources from plain configurations, one a process: engines make an environment anew for every rollout."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.session import SessionSource


def session_source(config: Mapping[str, Any]) -> SessionSource:
    """Return the session source of a configuration, the same one for equal configurations.

    Args:
        config: Keyword arguments of `SessionSource`, plain values alone; `media` holds fields of `MediaConfig`.

    Raises:
        ConfigError: An argument is not allowed.
        DataError: The tasks cannot be read.
    """
    try:
        plain = json.dumps(config, sort_keys=True, default=dict)
    except (TypeError, ValueError) as reason:
        raise ConfigError(f"configuration of episodes: {reason}; give texts, numbers, lists and mappings") from reason
    return _source_of(plain)


@lru_cache(maxsize=8)
def _source_of(plain: str) -> SessionSource:
    arguments: dict[str, Any] = json.loads(plain)
    try:
        media = MediaConfig(**arguments.pop("media")) if "media" in arguments else None
        return SessionSource(**arguments, media=media)
    except TypeError as reason:
        raise ConfigError(f"configuration of episodes: {reason}; allowed are those of vt_env.SessionSource") from reason
