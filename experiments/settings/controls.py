"""Controls: runs whose results are no results, and how they are named everywhere so that nobody takes them for one.

| control | what it must show |
|---|---|
| shuffled frames | accuracy falls to that of a policy that sees nothing |
| shuffled rewards | training does not raise accuracy |

A model that was trained as a control says so in its folder, and every run of it or from it is one, too.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.runs.read_run import read_json

SHUFFLED_FRAMES, SHUFFLED_REWARDS = "shuffled frames", "shuffled rewards"
CONTROL_FILE = "vt_env_control.json"
"""Controls that a model was trained as, in its folder; other models have no such file."""


def model_controls(model: str | None) -> list[str]:
    """Return the controls that a model was trained as.

    Raises:
        DataError: The file in its folder is damaged.
    """
    path = Path(model or "", CONTROL_FILE)
    return list(read_json(path).get("controls", ())) if model and path.is_file() else []


def save_controls(controls: Sequence[str], folder: Path) -> None:
    """Write controls into the folder of a model that was trained as one; nothing for other models."""
    if controls:
        (folder / CONTROL_FILE).write_text(json.dumps(controls_record(controls)))


def controls_record(controls: Sequence[str]) -> dict[str, object]:
    """Return controls for `config.json` and provenance; empty for a run that is none."""
    return {"controls": list(controls)} if controls else {}


def controls_of(config: Mapping[str, Any]) -> list[str]:
    """Return the controls of a run by its `config.json`."""
    return list(config.get("controls", ()))


def named_as_control(name: str, controls: Sequence[str]) -> str:
    """Return a name that says of what a run is a control; the name itself for a run that is none."""
    return f"{name} (control: {', '.join(controls)})" if controls else name
