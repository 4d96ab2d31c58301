"""Look at runs in a browser: `vt-env view runs/eval-random runs/eval-sft`; `--export FOLDER` writes a site instead."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vt_env.config import at_least
from vt_env.errors import ConfigError

MAX_PORT = 65_535


@dataclass(frozen=True)
class ViewRun:
    """Show the episodes, comparisons and curves of run directories in a browser."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories, or folders of them."""
    export: Path | None = None
    """Write a static site into this folder instead; it opens from disk, without a network."""
    export_limit: int = 200
    """With --export: largest number of episodes, the first ones of each run in turn."""
    label: bool = False
    """Go through the untagged episodes: 1 to 9 tag, Enter shows the next."""
    host: str = "127.0.0.1"
    """Address to listen on. Beyond this machine, the address that is printed holds a token."""
    port: int = 8765
    """Port to listen on; 0 takes a free one."""
    browser: bool = True
    """Open the browser."""

    def __post_init__(self) -> None:
        at_least(self, "export_limit", 1)
        if self.label and self.export is not None:
            raise ConfigError("--label writes tags, which an exported site cannot: leave out --export")
        if not 0 <= self.port <= MAX_PORT:
            raise ConfigError(f"port={self.port}: need 0 to {MAX_PORT}; 0 takes a free one")


def main(run: ViewRun) -> None:
    """Serve the viewer until it is interrupted, or export the site.

    Raises:
        ConfigError: There is no run directory, or the port is taken.
        DataError: A run cannot be read.
    """
    from experiments.analysis.load_runs import named_runs
    from experiments.view.viewer import Viewer

    viewer = Viewer(named_runs(run.runs))
    if run.export is not None:
        from experiments.view.export import export_site

        count = export_site(viewer, run.export, run.export_limit)
        print(f"{count} episodes: open {run.export / 'index.html'}")
        return
    _serve(run, viewer)


def _serve(run: ViewRun, viewer: object) -> None:
    import socket

    import uvicorn

    from experiments.view.server import LOOPBACK, make_app, new_token
    from experiments.view.viewer import Viewer

    assert isinstance(viewer, Viewer)
    token = "" if run.host in LOOPBACK else new_token()
    app = make_app(viewer, run.host, token)
    family = socket.AF_INET6 if ":" in run.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((run.host, run.port))
        except OSError as reason:
            raise ConfigError(f"--host {run.host} --port {run.port}: {reason.strerror}; give another --port") from None
        host = f"[{run.host}]" if ":" in run.host else run.host
        place = f"{f'?token={token}' if token else ''}{'#/label' if run.label else ''}"
        address = f"http://{host}:{listener.getsockname()[1]}/{place}"
        print(f"{len(viewer.runs)} runs at {address} (Ctrl-C ends it)", flush=True)
        if run.browser:
            webbrowser.open(address)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
