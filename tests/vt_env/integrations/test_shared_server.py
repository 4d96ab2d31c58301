"""Processes that share one vLLM server get the replies to their own prompts, however many turns each needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_two_processes_with_different_numbers_of_turns_get_their_own_replies(tmp_path: Path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    turns = [str(ROOT / "tests/support/shared_server_turns.py"), str(tmp_path / "seen.json")]
    subprocess.run([*launch, *turns], check=True, cwd=ROOT, timeout=240)

    seen = json.loads((tmp_path / "seen.json").read_text())
    # A reply holds the name of its rollout and the length of its prompt, which grows by a token a turn.
    for of_process, turns in zip(seen["got"], ({11: 3, 12: 1, 13: 2}, {21: 1, 22: 1, 23: 5}), strict=True):
        assert {int(name): replies for name, replies in of_process.items()} == {
            name: [[name, 1 + turn] for turn in range(count)] for name, count in turns.items()
        }
    # 6, 3, 2, 1 and 1 rollouts are left at each turn; shares are equal, so odd numbers are filled up by one.
    assert seen["requests"] == [6, 4, 2, 2, 2]
