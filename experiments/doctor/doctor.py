"""Check this machine, or what episodes would be played with.

vt-env doctor                                              versions, decoders, engines: what to install
vt-env doctor --tasks talks.jsonl --model Qwen/Qwen2.5-VL-7B-Instruct --profile field
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from experiments.doctor.doctor_run import DoctorRun
from experiments.doctor.finding import Finding


def main(run: DoctorRun) -> int:
    """Run all checks and print one line each.

    Returns:
        1 if a part that the core needs is missing, or if something does not fit, else 0.

    Raises:
        ConfigError: A flag is not allowed, or there is no such task set.
        DataError: The tasks cannot be read.
    """
    if run.tasks or run.model:
        from experiments.doctor.episode_checks import check_episodes

        return _print(check_episodes(run))
    from experiments.doctor.machine_checks import CHECKS

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return _print(pool.map(lambda check: check(), CHECKS))


def _print(findings: Iterable[Finding]) -> int:
    broken = False
    for finding in findings:
        broken |= finding.is_needed and not finding.is_ok
        print(finding, flush=True)
    return int(broken)
