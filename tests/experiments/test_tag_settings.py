"""Attempts are chosen by tags: left out, kept alone, and refused where nobody has the tag."""

from pathlib import Path

import pytest
from support.finished_runs import write_eval

from experiments.settings.tags import TagConfig, run_of
from experiments.view.tags import write_tags
from vt_env.errors import ConfigError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = write_eval(tmp_path / "synth", "scripted", [True])
    (run / "dataset").mkdir()
    write_tags(run, ("task-000", 0), ["misread", "my own"])
    write_tags(run, ("task-001", 2), ["bad-question"])
    return run


def left_out(config: TagConfig, path: Path, *keys: tuple[str, int]) -> list[str | None]:
    (judge,) = config.judges([path])
    return [judge(*key) for key in keys]


def test_an_excluded_tag_leaves_out_its_attempt_and_a_bad_question_all_of_its_own(run: Path):
    config = TagConfig(exclude_tags=("misread", "bad-question"))
    found = left_out(config, run / "dataset", ("task-000", 0), ("task-000", 1), ("task-001", 0))
    assert found == ["tagged misread", None, "tagged bad-question"]


def test_only_tags_keep_their_attempts_alone(run: Path):
    assert left_out(TagConfig(only_tags=("my own",)), run, ("task-000", 0), ("task-000", 1)) == [
        None,
        "not tagged my own",
    ]


def test_without_tags_in_the_settings_no_tags_are_read(tmp_path: Path):
    assert left_out(TagConfig(), tmp_path / "nothing", ("a", 0)) == [None]


@pytest.mark.parametrize("config", [TagConfig(exclude_tags=("misred",)), TagConfig(only_tags=("misred",))])
def test_a_tag_that_no_attempt_has_is_refused_with_those_that_there_are(run: Path, config: TagConfig):
    with pytest.raises(ConfigError, match=r"'misred'.*bad-question, misread, my own.*misread") as error:
        config.judges([run / "dataset"])
    assert "\n" not in str(error.value)


def test_a_data_set_and_a_journal_belong_to_the_run_that_holds_them(run: Path, tmp_path: Path):
    assert run_of(run / "dataset") == run_of(run / "journal.jsonl") == run_of(run) == run
    assert run_of(tmp_path / "elsewhere.jsonl") == tmp_path / "elsewhere.jsonl"
