"""Prompt sets by name and from files: JSON or TOML, one key a text."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from vt_env.errors import ConfigError, suggest
from vt_env.prompts.default import DEFAULT, DEFAULT_TOOL
from vt_env.prompts.peers import PEERS
from vt_env.prompts.prompt_set import PromptSet
from vt_env.prompts.tiny import TINY

SETS: Mapping[str, PromptSet] = {it.name: it for it in (DEFAULT, DEFAULT_TOOL, TINY, *PEERS)}
"""The sets that ship, by name."""
_SUFFIXES = (".json", ".toml")


def resolve_prompts(prompts: str | Path | PromptSet) -> PromptSet:
    """Turn a name or a file into its prompt set; a set is returned as it is.

    Raises:
        ConfigError: There is no such set or file, or the file is not a prompt set.
    """
    if isinstance(prompts, PromptSet):
        return prompts
    if str(prompts) in SETS:
        return SETS[str(prompts)]
    if Path(prompts).suffix in _SUFFIXES:
        return load_prompts(Path(prompts))
    own = "or a .json or .toml file with texts of your own"
    raise ConfigError(f"prompts={str(prompts)!r}: allowed are {', '.join(SETS)}, {own}{suggest(str(prompts), SETS)}")


def load_prompts(path: Path) -> PromptSet:
    """Read a prompt set from a JSON or TOML file.

    The file names the set (`name`, `version`) and gives the texts that differ from `"default"`, or from the set that
    ships whose name it gives as `base`.

    Raises:
        ConfigError: The file is missing or damaged, names an unknown text, or takes the name of a set that ships.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        values: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, RecursionError, ValueError) as reason:
        raise ConfigError(f"prompts {path}: {type(reason).__name__}: {reason}; need a JSON or TOML file") from None
    allowed = [it.name for it in fields(PromptSet)]
    if not isinstance(values, dict) or not {"name", "version"} <= values.keys():
        raise ConfigError(f"prompts {path}: need an object with name, version and the texts that differ from 'default'")
    shipped = SETS.get(str(values["name"]))
    # A file of a set that ships may be of before it had the newest fields.
    is_shipped = shipped is not None and shipped.version == values["version"]
    base = str(values.pop("base", values["name"] if is_shipped else DEFAULT.name))
    if base not in SETS:
        raise ConfigError(f"prompts {path}: base={base!r}: allowed are {', '.join(SETS)}{suggest(base, SETS)}")
    for name in sorted(map(str, values.keys() - set(allowed))):
        raise ConfigError(f"prompts {path}: no text {name!r}; allowed are {', '.join(allowed)}{suggest(name, allowed)}")
    if not isinstance(values["name"], str) or type(values["version"]) is not int:
        got = f"name={values['name']!r}, version={values['version']!r}"
        raise ConfigError(f"prompts {path}: {got}: need a text and a whole number")
    loaded = replace(SETS[base], **values)
    if shipped is not None and is_shipped and loaded != shipped:
        raise ConfigError(f"prompts {path}: texts differ from those of {loaded.id}, which ships; give it another name")
    return loaded


def save_prompts(prompts: PromptSet, path: Path) -> None:
    """Write a prompt set as a file that `load_prompts` reads back."""
    path.write_text(json.dumps(asdict(prompts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
