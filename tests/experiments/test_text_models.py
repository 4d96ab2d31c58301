"""Models that a command is told of: subtitles are summed up by a server and searched by meaning."""

import json
import pickle
from pathlib import Path

import pytest

from agents.backends.fake_server import Body, FakeChatServer, Wire, completion
from experiments.data.index import IndexRun
from experiments.settings.library import LibraryConfig
from experiments.settings.text_models import TextConfig
from vt_env.errors import ConfigError
from vt_env.tools.builtin import tools_for
from vt_env.types import VideoRef

NASA = VideoRef("nasa", str(Path(__file__).parents[1] / "fixtures" / "nasa_13013.mp4"))


def test_a_served_model_sums_subtitles_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path))

    def answer(body: Body) -> Wire:
        assert "Goddard Space Flight Center" in json.dumps(body)
        return completion("<think>Where?</think>In Maryland, at 00:08.")

    with FakeChatServer(answer) as server:
        run = IndexRun((Path(NASA.path),), text=TextConfig(summaries_model="fake", summaries_url=server.base_url))
        for opened in (run.open_library(), pickle.loads(pickle.dumps(run.open_library()))):
            assert opened.open(NASA).subtitles.written_summary("the cleanroom") == "In Maryland, at 00:08."
        assert len(server.requests) == 1


def test_a_server_that_fails_is_one_line_and_no_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path))
    with FakeChatServer(lambda body: completion("cut", finish="length")) as server:
        run = IndexRun((Path(NASA.path),), text=TextConfig(summaries_model="fake", summaries_url=server.base_url))
        with pytest.raises(ConfigError, match=r"no summary .*start the server, or leave out") as caught:
            run.open_library().open(NASA).subtitles.written_summary("the cleanroom")
    assert "\n" not in str(caught.value) and not list((tmp_path / "summaries").glob("*.txt"))


def test_without_a_model_nothing_is_opened() -> None:
    models = TextConfig().open()
    assert models.encoder is None and models.summariser is None


def test_the_default_tools_gain_the_tool_of_the_screen_with_its_flag_and_the_paper_s_stay() -> None:
    off, on = LibraryConfig(), LibraryConfig(screen_text=True)
    assert off.with_screen_text("default") == "default"
    assert [tool.name for tool in tools_for("frames", on.with_screen_text("default"))][-1] == "screen_text"
    assert on.with_screen_text("paper") == "paper" and on.with_screen_text("none") == "none"
    with pytest.raises(ConfigError, match="screen_text_gap_s=-1"):
        LibraryConfig(screen_text=True, screen_text_gap_s=-1)
