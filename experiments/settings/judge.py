"""Judge of open answers behind an OpenAI-compatible server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vt_env.benchmarks.scoring.judge import GradeCache, Judge, JudgeFailed, PromptedJudge


@dataclass(frozen=True)
class JudgeConfig:
    """Judge model, server and cache of grades for open answers."""

    model: str = ""
    """Name under which the server serves the judge; empty leaves open answers ungraded."""
    url: str = "http://127.0.0.1:8000/v1"
    """Address of the server, up to and including `/v1`."""
    at_once: int = 8
    """Number of concurrent requests."""
    file: Path | None = None
    """JSON Lines cache of grades: an interrupted run resumes, and no answer is graded twice."""


@contextmanager
def served_judge(config: JudgeConfig) -> Iterator[Judge]:
    """Open the connection to a judge, cached in `config.file` if given.

    Raises:
        ConfigError: The server rejects the key or does not know the model.
    """
    # Imported here since only judging needs a connection.
    from agents.backends.ask_once import ask_once
    from agents.backends.chat_client import OpenAIClient
    from agents.backends.chat_wire import NoReply
    from agents.backends.server_limits import ServerConfig

    with OpenAIClient(ServerConfig(config.url, config.model, concurrency=config.at_once)) as client:

        def ask(prompt: str) -> str:
            try:
                return ask_once(client.complete, prompt)
            except NoReply as failure:
                raise JudgeFailed(f"{failure.status}: {failure.error[:80]}") from failure

        judge = PromptedJudge(config.model, ask)
        yield judge if config.file is None else GradeCache(judge, config.file)
