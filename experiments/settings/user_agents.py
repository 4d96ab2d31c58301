"""User-defined agents, named as `module:Class` or `file.py:Class`."""

import importlib
import importlib.util
import inspect
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from agents.base import Agent
from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint
from vt_env.media.cache.build_once import content_hash
from vt_env.tools.tool import Tool


def is_user_class(name: str) -> bool:
    """Return whether a policy name refers to a user's class."""
    return ":" in name


@cache
def load_class(name: str) -> type[Any]:
    """Import the class of a user-defined agent.

    Args:
        name: `module:Class` or `path/to/file.py:Class`.

    Raises:
        ConfigError: The module, file or class does not exist, or the class lacks `reset` or `act`.
    """
    where, _, class_name = name.rpartition(":")
    module = _load_file(Path(where), name) if where.endswith(".py") else _load_module(where, name)
    found: Any = getattr(module, class_name, None)
    is_class: bool = isinstance(found, type)
    if not is_class:
        raise ConfigError(f"agent={name!r}: {where} has no class {class_name!r}")
    missing = [method for method in ("reset", "act") if not callable(getattr(found, method, None))]
    if missing:
        raise ConfigError(
            f"agent={name!r}: {class_name} lacks {', '.join(missing)}; an agent has reset(task, observation) and "
            "act(observation)"
        )
    _check_parameters(found, "reset", ("task", "observation"), name)
    _check_parameters(found, "act", ("observation",), name)
    return found


def source_hash(name: str) -> str:
    """Fingerprint the source file of an agent's class.

    Raises:
        ConfigError: As `load_class`.
    """
    path = inspect.getsourcefile(load_class(name))
    return "" if path is None else content_hash(Path(path))


def make_agent(kind: type[Any], seed: int, tools: tuple[Tool, ...]) -> Agent:
    """Construct an agent; its constructor may take `rng` and `tools`, by these names.

    Raises:
        ConfigError: The constructor requires another argument.
    """
    offered = {"rng": np.random.default_rng(seed), "tools": tools}
    wanted = inspect.signature(kind).parameters.values()
    unknown = [it.name for it in wanted if it.name not in offered and it.default is it.empty and it.kind not in _STARS]
    if unknown:
        raise ConfigError(
            f"{kind.__name__}({', '.join(unknown)}): an agent's constructor may take rng and tools; give the others "
            "defaults"
        )
    return kind(**{it.name: offered[it.name] for it in wanted if it.name in offered})


def _check_parameters(kind: type[Any], method: str, wanted: tuple[str, ...], name: str) -> None:
    """Reject a method that cannot be called with the arguments of `wanted`."""
    is_bound = isinstance(inspect.getattr_static(kind, method), classmethod | staticmethod)
    signature = inspect.signature(getattr(kind, method))
    try:
        signature.bind(*wanted if is_bound else ("self", *wanted))
    except TypeError as error:
        form = f"def {method}({', '.join(('self', *wanted))})"
        raise ConfigError(
            f"agent={name!r}: got {method}{signature}; write {form}, where task is a vt_env.Item"
        ) from error


_STARS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _load_module(where: str, name: str) -> Any:
    if not all(part.isidentifier() for part in where.split(".")):
        raise ConfigError(f"agent={name!r}: got module {where!r}; give module:Class or file.py:Class")
    # Modules in the working directory are found, as with `python -m`.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not where.startswith(error.name):
            raise
        raise ConfigError(f"agent={name!r}: no module {where!r} here; give module:Class or file.py:Class") from error


def _load_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise ConfigError(f"agent={name!r}: no file {path}")
    # A unique name: the file may be called as a package that is imported later, such as agents.py.
    module_name = f"user_agent_{fingerprint(str(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module by name.
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
