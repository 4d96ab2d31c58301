"""The viewer's server: what it gives, to whom, and what it keeps to itself."""

import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from support.finished_runs import episode, write_eval

from experiments.analysis.load_runs import named_runs
from experiments.cli import run
from experiments.runs.read_run import JOURNAL
from experiments.runs.read_tags import read_tags
from experiments.view.export import export_site
from experiments.view.server import PAGE, make_app
from experiments.view.viewer import Viewer
from vt_env.episode.trajectory import write_trajectories
from vt_env.errors import ConfigError
from vt_env.jsonl import append_line

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> javascript:alert(3) \x1b[31m\x00"
HEADER = {"x-vt-env": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_eval(tmp_path / "eval", "random", [True, False, True])
    return tmp_path / "eval"


@pytest.fixture
def viewer(folder: Path) -> Viewer:
    viewer = Viewer(named_runs([folder]))
    viewer.index.refresh()
    return viewer


@pytest.fixture
def client(viewer: Viewer) -> TestClient:
    return TestClient(make_app(viewer), base_url="http://127.0.0.1:8765")


def test_the_page_and_all_its_files_are_served(client: TestClient):
    page = client.get("/").text
    files = [part.split('"')[0] for part in page.split("page/")[1:]]
    assert len(files) > 10
    for name in files:
        assert client.get(f"/page/{name}").status_code == 200, name


def test_libraries_of_others_are_the_published_files():
    vendor = PAGE / "vendor"
    listed = dict(re.findall(r"^\| (\S+) \|.* ([0-9a-f]{64}) \|$", (vendor / "NOTICE.md").read_text(), re.MULTILINE))
    files = [path for path in vendor.iterdir() if path.name != "NOTICE.md"]
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in files} == listed


def test_an_episode_comes_without_key_and_evidence_until_they_are_asked_for(client: TestClient):
    rows = client.get("/api/episodes").json()["rows"]
    assert [row["outcome"] for row in rows] == ["right", "wrong", "right"]
    shown = client.get(f"/api/episodes/{rows[0]['id']}").json()
    assert shown["episode"]["question"] == "What number?"
    assert "evidence" not in shown["episode"] and "option_idx" not in shown["episode"]


def test_a_run_whose_tasks_are_gone_shows_everything_else(client: TestClient):
    idx = client.get("/api/episodes").json()["rows"][0]["id"]
    assert client.get(f"/api/episodes/{idx}").status_code == 200
    key = client.get(f"/api/episodes/{idx}/key").json()
    assert key["evidence"] == []
    assert client.get(f"/api/episodes/{idx}/pictures/0/seen.png").status_code == 404
    assert "problem" in client.get(f"/api/episodes/{idx}/video").json()


def test_hostile_text_is_given_as_it_is_in_json_and_never_in_a_page(folder: Path, viewer: Viewer, client: TestClient):
    append_line(folder / JOURNAL, replace(episode(7, 1, True), question=HOSTILE, options=(HOSTILE, "b")).to_json())
    viewer.index.refresh()
    rows = client.get("/api/episodes", params={"task_id": "task-007"})
    assert rows.json()["rows"][0]["question"] == HOSTILE
    assert rows.headers["content-type"] == "application/json"
    assert "alert" not in client.get("/").text


def test_scripts_run_from_the_server_alone_and_nothing_may_frame_the_page(client: TestClient):
    policy = client.get("/").headers["content-security-policy"]
    assert "script-src 'self'" in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path",
    ["/page/../server.py", "/page/..%2Fserver.py", "/page/%2e%2e/view.py", "/../../etc/passwd", "/page//etc/passwd",
     "/api/episodes/1/pictures/0/..%2f..%2fetc%2fpasswd.png", "/api/episodes/..%2f..%2fetc/video"],
)  # fmt: skip
def test_no_path_reaches_a_file_outside(client: TestClient, path: str):
    assert client.get(path).status_code in (404, 405)


def test_another_host_name_is_refused_so_that_a_foreign_page_cannot_rebind_its_own(viewer: Viewer):
    client = TestClient(make_app(viewer), base_url="http://attacker.example:8765")
    assert client.get("/api/episodes").status_code == 400


def test_beyond_this_machine_a_token_is_needed(viewer: Viewer):
    with pytest.raises(ConfigError, match="token"):
        make_app(viewer, "0.0.0.0")
    client = TestClient(make_app(viewer, "0.0.0.0", "secret"), base_url="http://10.0.0.7:8765")
    assert client.get("/").status_code == 401
    assert client.get("/api/episodes", params={"token": "wrong"}).status_code == 401
    assert client.get("/", params={"token": "secret"}).status_code == 200
    assert client.get("/api/episodes").status_code == 200, "the cookie of the first answer holds the token"


def test_tags_are_kept_beside_the_run_counted_and_filtered(folder: Path, viewer: Viewer, client: TestClient):
    idx = client.get("/api/episodes").json()["rows"][1]["id"]
    answer = client.post(f"/api/episodes/{idx}/tags", json={"tags": ["misread", "my own"]}, headers=HEADER)
    assert answer.json() == {"tags": ["misread", "my own"]}
    assert folder.with_name("eval.tags.jsonl").is_file()
    assert sorted(path.name for path in folder.iterdir() if "tags" in path.name) == []
    assert client.get("/api/episodes").json()["facets"]["tag"] == {"misread": 1, "my own": 1}
    assert [it["id"] for it in client.get("/api/episodes", params={"tag": "misread"}).json()["rows"]] == [idx]
    assert client.get("/api/episodes", params={"untagged": "1"}).json()["total"] == 2
    again = Viewer(named_runs([folder]))
    again.index.refresh()
    assert again.show(1 + (idx - 1))["row"]["tags"] == ["misread", "my own"]
    client.post(f"/api/episodes/{idx}/tags", json={"tags": []}, headers=HEADER)
    assert read_tags(folder) == {}


@pytest.mark.parametrize("tags", ["misread", [1], ["x" * 41], ["<b>"], [""], None])
def test_a_tag_that_is_none_is_refused(client: TestClient, tags: object):
    assert client.post("/api/episodes/1/tags", json={"tags": tags}, headers=HEADER).status_code == 400


def test_a_foreign_page_cannot_write_tags(folder: Path, client: TestClient):
    assert client.post("/api/episodes/1/tags", json={"tags": ["misread"]}).status_code == 403
    assert read_tags(folder) == {}


def test_a_folder_without_runs_and_a_missing_episode_are_one_line(
    tmp_path: Path, client: TestClient, capsys: pytest.CaptureFixture[str]
):
    assert run(["view", str(tmp_path / "nothing"), "--no-browser"]) == 2
    assert "no run directory there" in capsys.readouterr().err
    assert client.get("/api/episodes/999").json() == {"problem": "no episode 999; reload the list"}
    assert "allowed are" in client.get("/api/episodes", params={"colour": "red"}).json()["problem"]


def test_the_attempt_of_a_teacher_stands_beside_its_replay_with_frames(tmp_path: Path):
    run = write_eval(tmp_path / "synth", "scripted", [True])
    dataset = run / "dataset"
    dataset.mkdir()
    write_trajectories(dataset / "trajectories-00000-of-00001.jsonl", [episode(0, 0, True, perception="frames")])
    divergence = {"turn_idx": 0, "kind": "fewer_frames", "expected": "2 frames", "got": "1, all that was left"}
    (dataset / "grounding.jsonl").write_text(
        json.dumps({"task_id": "task-000", "sample": 0, "divergences": [divergence]}) + "\n"
    )
    viewer = Viewer(named_runs([run]))
    viewer.index.refresh()
    first, second = (viewer.show(idx) for idx in (1, 2))
    assert (first["divergences"], second["divergences"]) == ([], [divergence])
    assert [it["id"] for it in first["others"]] == [2]


@pytest.mark.parametrize(("flag", "value"), [("--port", "80000"), ("--port", "-1"), ("--export-limit", "0")])
def test_a_number_that_cannot_be_used_is_one_line(
    folder: Path, flag: str, value: str, capsys: pytest.CaptureFixture[str]
):
    assert run(["view", str(folder), "--no-browser", flag, value]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_tags_cannot_be_written_into_an_export(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["view", str(folder), "--label", "--export", str(tmp_path / "site")]) == 2
    assert "leave out --export" in capsys.readouterr().err


def test_an_export_holds_as_many_episodes_as_it_may_and_counts_the_pairs_that_it_holds(tmp_path: Path):
    for agent, count in (("oracle", 1100), ("random", 2)):
        write_eval(tmp_path / agent, agent, [True] * count)
    viewer = Viewer(named_runs([tmp_path]))
    assert export_site(viewer, tmp_path / "all", 2000) == 1102
    assert export_site(viewer, tmp_path / "few", 3) == 3
    site = json.loads((tmp_path / "few" / "site.js").read_text().removeprefix("window.vtSite = ").rstrip(";\n"))
    pair = site["pairs"]['["oracle","random"]']
    assert len(pair["rows"]) == pair["counts"]["both"] == 1
