"""The viewer in a real Chromium: list, filter, episode, evidence, tags, comparison, exported site."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import browser, needs_chromium, page, served
from support.finished_runs import episode, write_eval

from experiments.analysis.load_runs import named_runs
from experiments.runs.read_run import JOURNAL
from experiments.view.export import export_site
from experiments.view.viewer import Viewer
from vt_env.episode.trajectory import CallRecord, TurnRecord
from vt_env.errors import ConfigError
from vt_env.jsonl import append_line
from vt_env.types import FrameRef, Interval

pytestmark = [pytest.mark.slow, needs_chromium]
__all__ = ["browser", "page"]
HOSTILE = (
    '<script>document.title="broken"</script><img src=x onerror="document.title=\'broken\'"> "quoted" </script> '
    "[a link](javascript:document.title='broken') javascript:alert(1) \x1b[31mred\x07 \x00 &lt;b&gt;"
)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Viewer:
    folder = tmp_path_factory.mktemp("runs")
    look = TurnRecord(
        f"<think>{HOSTILE}</think>"
        '<tool_call>{"name": "frame_zoom", "arguments": {"start_s": 5, "end_s": 9}}</tool_call>',
        CallRecord("frame_zoom", {"start_s": 5.0, "end_s": 9.0}),
        HOSTILE,
        frames=(FrameRef("video-00", 6.0, None, (112, 112)),),
        viewed=(Interval(5, 9),),
    )
    malformed = TurnRecord(HOSTILE, None, HOSTILE, error="malformed")
    turns = (look, malformed, TurnRecord("<answer>47</answer>", None, "The episode is over."))
    found = CallRecord("subtitle_retrieval", {"query": "lamp"})
    search = TurnRecord("I search.", found, "00:10-00:14 the lamp is red\n00:20-00:22 a lamp")
    last = TurnRecord("<evidence>00:05-00:09</evidence><answer>47</answer>", None, "The episode is over.")
    append_line(write_eval(folder / "subtitles", "subtitles", []) / JOURNAL,
                episode(60, 1, True, turns=(search, last), policy="subtitles", duration_s=60.0).to_json())  # fmt: skip
    for agent, right in (("oracle", [True] * 4), ("random", [True, False, False, True])):
        run = write_eval(folder / agent, agent, right, turns=turns)
        append_line(run / JOURNAL, episode(50, 1, True, question=HOSTILE, policy=agent, duration_s=60.0).to_json())
    append_line(folder / "random" / JOURNAL, "{a damaged line <script>document.title='broken'</script>")
    with (folder / "random" / JOURNAL).open("a") as file:
        file.write('{"half": "written')
    viewer = Viewer(named_runs([folder]))
    viewer.index.refresh()
    return viewer


@pytest.fixture(scope="module")
def address(viewer: Viewer) -> Iterator[str]:
    with served(viewer) as address:
        yield address


def wait_for_count(page, selector: str, count: int) -> None:
    pytest.importorskip("playwright.sync_api").expect(page.locator(selector)).to_have_count(count)


def outcomes(page) -> list[str]:
    return [it.inner_text().split()[-1] for it in page.query_selector_all("tbody .outcome")]


def test_a_reader_filters_sorts_and_shares_the_list_by_its_address(page, address: str):
    page.goto(address)
    page.wait_for_selector("tbody tr")
    assert len(outcomes(page)) == 12
    page.check("input[name=outcome][value=wrong]")
    wait_for_count(page, "tbody tr", 2)
    assert "outcome=wrong" in page.url
    page.goto("about:blank")
    page.goto(f"{address}#/episodes?outcome=damaged")
    wait_for_count(page, "tbody tr", 1)
    assert "not a trajectory" in page.inner_text("tbody")
    assert "The last line of random is half-written" in page.inner_text("main")


def test_an_episode_shows_its_turns_and_the_evidence_on_demand(page, address: str):
    page.goto(f"{address}#/episode?id=1")
    page.wait_for_selector(".turn")
    assert "frame_zoom(start_s=5, end_s=9)" in page.inner_text("#turn-0")
    assert not page.query_selector(".mark.gold")
    page.click("text=Show evidence and right option")
    page.wait_for_selector("aside .problem")
    page.keyboard.press("j")
    page.wait_for_url("**/#/episode?id=2")


def test_the_bar_shows_what_was_retrieved_and_what_was_cited(page, address: str):
    page.goto(f"{address}#/episodes?run=subtitles")
    page.click("tbody tr a")
    page.wait_for_selector(".mark.cited")
    assert [it.get_attribute("title") for it in page.query_selector_all(".mark.found")] == [
        "turn 1: retrieved, 00:10 to 00:14", "turn 1: retrieved, 00:20 to 00:22"]  # fmt: skip
    assert page.get_attribute(".mark.cited", "title") == "cited in the last message, 00:05 to 00:09"


def test_text_of_a_run_is_text_and_never_markup(page, address: str):
    page.goto(f"{address}#/episodes?task_id=task-050")
    page.wait_for_selector("tbody tr")
    page.click("tbody tr a")
    page.wait_for_selector("h1")
    assert page.text_content("h1").replace("\ufffd", "\x00") == HOSTILE
    page.goto(f"{address}#/episode?id=1")
    page.wait_for_selector("#turn-1")
    for shown in ("#turn-0 .thought", "#turn-0 .observation", "#turn-1 .call code"):
        assert HOSTILE[:40] in page.text_content(shown), shown
    assert page.title() == "vt-env view"
    assert not page.query_selector("main script, main img[onerror], main a[href^=javascript]")


def test_a_reader_tags_episodes_from_the_keyboard(page, address: str, viewer: Viewer):
    page.goto(f"{address}#/episode?id=2")
    page.wait_for_selector("fieldset.tags")
    page.keyboard.press("3")
    page.wait_for_selector("button.tag[aria-pressed=true]")
    assert viewer.show(2)["row"]["tags"] == ["misread"]


def test_a_reader_goes_through_the_untagged_episodes_by_keyboard(page, address: str, viewer: Viewer):
    page.goto(f"{address}#/label?run=oracle&outcome=right")
    page.wait_for_url("**/#/episode?id=1&label=1**")
    page.wait_for_selector("fieldset.tags")
    page.keyboard.press("1")
    page.wait_for_selector("button.tag[aria-pressed=true]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/episode?id=3&label=1**" if viewer.show(2)["row"]["tags"] else "**id=2&label=1**")
    for _ in range(4):
        before = page.url
        page.wait_for_selector("fieldset.tags")
        page.keyboard.press("j")
        page.wait_for_function("before => location.href !== before", arg=before)
        if "#/label" in page.url:
            break
    page.wait_for_selector("text=were passed over")
    assert viewer.show(1)["row"]["tags"] == ["never-looked"]


def test_curves_are_drawn_with_their_numbers_and_chosen_by_the_address(page, address: str):
    page.goto(f"{address}#/curves")
    page.wait_for_selector(".plot canvas")
    titles = [it.inner_text() for it in page.query_selector_all(".plot .u-title")]
    assert "accuracy against calls" in titles
    page.uncheck("fieldset.runs label:has-text('random') input")
    page.wait_for_url("**/#/curves?run=oracle&run=subtitles")
    page.click(".plot summary >> nth=0")
    page.wait_for_selector(".plot td >> text=oracle, under a limit")
    assert "random" not in page.inner_text(".plots")


def test_two_runs_are_compared_question_by_question(page, address: str):
    page.goto(f"{address}#/pairs?a=oracle&b=random")
    page.wait_for_selector("td.question")
    page.click("text=only a: 2")
    wait_for_count(page, "td.question", 2)
    page.click("td.question a")
    page.wait_for_selector(".sides section:nth-child(2) .turn")


def test_an_exported_site_opens_from_disk_without_a_network(page, viewer: Viewer, tmp_path: Path):
    assert export_site(viewer, tmp_path / "site", 200) == 12
    page.context.set_offline(True)
    page.goto((tmp_path / "site" / "index.html").as_uri())
    page.wait_for_selector("tbody tr")
    assert len(outcomes(page)) == 12
    page.fill("input[type=search]", "what numb")
    wait_for_count(page, "tbody tr", 9)
    page.click("tbody tr a")
    page.wait_for_selector(".turn")
    assert page.title() == "vt-env view"


def test_an_export_leaves_a_folder_of_somebody_else_alone(viewer: Viewer, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        export_site(viewer, tmp_path, 10)
