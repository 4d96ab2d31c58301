"""The viewer in a real Chromium: list, filter, episode, evidence, tags, comparison, exported site."""

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from support.finished_runs import episode, write_eval

from experiments.runs.read_run import JOURNAL
from experiments.view.export import export_site
from experiments.view.server import make_app
from experiments.view.viewer import Viewer, named_runs
from vt_env.episode.trajectory import CallRecord, TurnRecord
from vt_env.errors import ConfigError
from vt_env.jsonl import append_line
from vt_env.types import FrameRef, Interval

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium, such as Debian's package chromium"),
]
HOSTILE = '<script>document.title="broken"</script><img src=x onerror="document.title=\'broken\'"> "quoted" </script>'


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Viewer:
    folder = tmp_path_factory.mktemp("runs")
    look = TurnRecord(
        '<tool_call>{"name": "frame_zoom", "arguments": {"start_s": 5, "end_s": 9}}</tool_call>',
        CallRecord("frame_zoom", {"start_s": 5.0, "end_s": 9.0}),
        HOSTILE,
        frames=(FrameRef("video-00", 6.0, None, (112, 112)),),
        viewed=(Interval(5, 9),),
    )
    turns = (look, TurnRecord("<answer>47</answer>", None, "The episode is over."))
    for agent, right in (("oracle", [True] * 4), ("random", [True, False, False, True])):
        run = write_eval(folder / agent, agent, right, turns=turns)
        append_line(run / JOURNAL, episode(50, 1, True, question=HOSTILE, policy=agent, duration_s=60.0).to_json())
    append_line(folder / "random" / JOURNAL, "{a damaged line")
    viewer = Viewer(named_runs([folder]))
    viewer.index.refresh()
    return viewer


@pytest.fixture(scope="module")
def address(viewer: Viewer) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(make_app(viewer), log_level="warning"))
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert not problems


def wait_for_count(page, selector: str, count: int) -> None:
    pytest.importorskip("playwright.sync_api").expect(page.locator(selector)).to_have_count(count)


def outcomes(page) -> list[str]:
    return [it.inner_text().split()[-1] for it in page.query_selector_all("tbody .outcome")]


def test_a_reader_filters_sorts_and_shares_the_list_by_its_address(page, address: str):
    page.goto(address)
    page.wait_for_selector("tbody tr")
    assert len(outcomes(page)) == 11
    page.check("input[name=outcome][value=wrong]")
    wait_for_count(page, "tbody tr", 2)
    assert "outcome=wrong" in page.url
    page.goto("about:blank")
    page.goto(f"{address}#/episodes?outcome=damaged")
    wait_for_count(page, "tbody tr", 1)
    assert "not a trajectory" in page.inner_text("tbody")


def test_an_episode_shows_its_turns_and_the_evidence_on_demand(page, address: str):
    page.goto(f"{address}#/episode?id=1")
    page.wait_for_selector(".turn")
    assert "frame_zoom(start_s=5, end_s=9)" in page.inner_text("#turn-0")
    assert not page.query_selector(".mark.gold")
    page.click("text=Show evidence and right option")
    page.wait_for_selector("aside .problem")
    page.keyboard.press("j")
    page.wait_for_url("**/#/episode?id=2")


def test_text_of_a_run_is_text_and_never_markup(page, address: str):
    page.goto(f"{address}#/episodes?task_id=task-050")
    page.wait_for_selector("tbody tr")
    page.click("tbody tr a")
    page.wait_for_selector("h1")
    assert page.inner_text("h1") == HOSTILE.replace("  ", " ")
    assert page.title() == "vt-env view"
    assert not page.query_selector("main script, main img[onerror]")


def test_a_reader_tags_episodes_from_the_keyboard(page, address: str, viewer: Viewer):
    page.goto(f"{address}#/episode?id=2")
    page.wait_for_selector("fieldset.tags")
    page.keyboard.press("3")
    page.wait_for_selector("button.tag[aria-pressed=true]")
    assert viewer.show(2)["row"]["tags"] == ["misread"]


def test_two_runs_are_compared_question_by_question(page, address: str):
    page.goto(f"{address}#/pairs?a=oracle&b=random")
    page.wait_for_selector("td.question")
    page.click("text=only a: 2")
    wait_for_count(page, "td.question", 2)
    page.click("td.question a")
    page.wait_for_selector(".sides section:nth-child(2) .turn")


def test_an_exported_site_opens_from_disk_without_a_network(page, viewer: Viewer, tmp_path: Path):
    assert export_site(viewer, tmp_path / "site", 200) == 11
    page.context.set_offline(True)
    page.goto((tmp_path / "site" / "index.html").as_uri())
    page.wait_for_selector("tbody tr")
    assert len(outcomes(page)) == 11
    page.fill("input[type=search]", "what numb")
    wait_for_count(page, "tbody tr", 8)
    page.click("tbody tr a")
    page.wait_for_selector(".turn")
    assert page.title() == "vt-env view"


def test_an_export_leaves_a_folder_of_somebody_else_alone(viewer: Viewer, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        export_site(viewer, tmp_path, 10)
