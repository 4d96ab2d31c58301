"""Official extraction functions and ours on the same adversarial replies, reply by reply."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.adversarial_replies import adversarial_replies
from support.official_checkouts import Checkouts, checkouts_or_skip

from vt_env.benchmarks.readers.parse_fields import letter_at
from vt_env.benchmarks.scoring.official_rules import MISSING_VALUES, RULES, mcq_extract
from vt_env.benchmarks.scoring.temporal_iou import cgbench_iou, span_iop, span_iou

_CHECKOUTS = checkouts_or_skip("rule here", "replies", "differences")
pytestmark = [pytest.mark.official, pytest.mark.slow]
REPLIES = 12_000
Extract = Callable[[str], tuple[str, ...]]


@pytest.fixture(scope="module")
def checkouts() -> Iterator[Checkouts]:
    yield _CHECKOUTS
    _CHECKOUTS.write_table("replies.md")


def compare(checkouts: Checkouts, names: tuple[str, str, str, str], inputs: list[Any], pairs: list[Any]) -> None:
    """Record and check pairs of an official and our result; `names` are benchmark, checkout, script and rule."""
    benchmark, checkout, script, rule = names
    found = [(given, *pair) for given, pair in zip(inputs, pairs, strict=True) if pair[0] != pair[1]]
    checkouts.record(benchmark, checkout, script, f"`{rule}`", f"{len(inputs):,}", str(len(found)))
    assert not found, f"{len(found)} of {len(inputs)} differ: {[str(it)[:300] for it in found[:8]]}"


ONE_LETTER = [
    ("Video-MME", "Video-MME", "evaluation/eval_your_results.py", "extract_characters_regex", "video_mme@2024"),
    ("Video-MME", "parse_answer", "eval_your_results.py", "extract_characters_regex", "video_mme@parse_answer"),
    ("Video-MME-v2", "Video-MME-v2", "evaluation/test_video_mme_v2.py", "extract_characters_regex_v2", "v2@standalone"),
    ("LVBench", "LVBench", "lvbench/utils/answer_util.py", "polish_answer", "lvbench@polish"),
]


@pytest.mark.parametrize(("benchmark", "checkout", "file", "function", "rule"), ONE_LETTER)
def test_a_rule_takes_the_letter_that_its_script_takes(
    checkouts: Checkouts, tmp_path: Path, benchmark: str, checkout: str, file: str, function: str, rule: str
):
    # The script of Video-MME-v2 reads replies from a table, so that its function is never given these texts.
    unseen = MISSING_VALUES if rule == "v2@standalone" else frozenset[str]()
    replies = [it for it in adversarial_replies(REPLIES + 500, seed=1) if it.strip() not in unseen][:REPLIES]
    script = checkouts.file(checkout, file)
    official = checkouts.run(tmp_path, "call", file=script, function=function, calls=[[it] for it in replies])
    ours = ["".join(RULES[rule].extract(it)) for it in replies]
    names = (benchmark, checkout, f"{file}: {function}", rule)
    compare(checkouts, names, replies, list(zip(official, ours, strict=True)))


@pytest.mark.parametrize("letters", ["ABCD", "ABCDEFGHIJKLMN"])
def test_lmms_eval_s_letters_are_those_of_its_function(checkouts: Checkouts, tmp_path: Path, letters: str):
    replies = adversarial_replies(REPLIES, seed=2)
    file, function = "lmms_eval/tasks/_task_utils/mcq_extract.py", "extract_mcq_answer"
    script = checkouts.file("lmms-eval", file)
    calls = [[it, list(letters)] for it in replies]
    official = checkouts.run(tmp_path, "call", file=script, function=function, calls=calls)
    ours = ["".join(mcq_extract(letters)(it)) for it in replies]
    names = (f"lmms-eval, A-{letters[-1]}", "lmms-eval", f"{file}: {function}", "lmms_eval@mcq_extract")
    compare(checkouts, names, replies, list(zip(official, ours, strict=True)))


def test_longvideobench_guesses_where_its_task_guesses(checkouts: Checkouts, tmp_path: Path):
    replies = adversarial_replies(REPLIES, seed=3, letters="ABCDE")
    file, function = "lmms_eval/tasks/longvideobench/utils.py", "parse_multi_choice_response"
    script = checkouts.file("lmms-eval", file)
    calls = [[it, list("ABCDE"), {}] for it in replies]
    drawn = ["guess"] * REPLIES
    official = checkouts.run(tmp_path, "guesses", file=script, function=function, calls=calls, drawn=drawn)
    ours = ["".join(RULES["longvideobench@official"].extract(it)) or "guess" for it in replies]
    names = ("LongVideoBench", "lmms-eval", f"{file}: {function}", "longvideobench@official")
    compare(checkouts, names, replies, list(zip(official, ours, strict=True)))


def test_mlvu_s_answers_are_right_where_its_script_finds_them_right(checkouts: Checkouts, tmp_path: Path):
    replies, random = adversarial_replies(REPLIES, seed=4, letters="ABCDEF"), Random(4)
    gold = [letter_at(random.randrange(6)) for _ in replies]
    file = "evaluation/multiple_choice_evaluation/choice_bench.py"
    calls = [[text, f"({letter}) a kite"] for text, letter in zip(replies, gold, strict=True)]
    script = checkouts.file("MLVU", file)
    official = checkouts.run(tmp_path, "call", file=script, function="check_ans", calls=calls)
    ours = [RULES["mlvu@prefill"].extract(text)[:1] == (letter,) for text, letter in zip(replies, gold, strict=True)]
    names = ("MLVU dev", "MLVU", f"{file}: check_ans", "mlvu@prefill")
    compare(checkouts, names, replies, list(zip(official, ours, strict=True)))


@pytest.mark.parametrize("mode", ["long_acc", "clue_acc"])
def test_cgbench_s_answers_are_right_wrong_or_dropped_as_in_its_script(checkouts: Checkouts, tmp_path: Path, mode: str):
    replies, random = adversarial_replies(REPLIES, seed=5), Random(5)
    gold = [random.choice("ABCDEFGH") for _ in replies]
    args = {"namespace": {"task_mode": mode}}
    calls = [[args, {"right_answer": letter}, text] for text, letter in zip(replies, gold, strict=True)]
    script = checkouts.file("CG-Bench", "run/utils.py")
    official = checkouts.run(tmp_path, "call", file=script, function="post_process", calls=calls)
    letters = [RULES["cgbench@json"].extract(it) for it in replies]
    ours = [int(it in found) if found else None for found, it in zip(letters, gold, strict=True)]
    names = (f"CG-Bench, {mode}", "CG-Bench", "run/utils.py: post_process", "cgbench@json")
    compare(checkouts, names, replies, list(zip(official, ours, strict=True)))


def drawn_spans(random: Random, count: int) -> list[list[float]]:
    """Draw spans that overlap, touch, are empty, reversed or begin before the video."""
    times = [random.choice((random.randint(-3, 30), round(random.uniform(-2, 30), 1))) for _ in range(2 * count)]
    return [[start, end] for start, end in zip(times[::2], times[1::2], strict=True)]


@pytest.mark.parametrize("from_json", [True, False])
def test_cgbench_s_iou_is_that_of_its_script(checkouts: Checkouts, tmp_path: Path, from_json: bool):
    random = Random(6)
    pairs = [
        (drawn_spans(random, random.randint(0, 4)), sorted(map(sorted, drawn_spans(random, random.randint(1, 3)))))
        for _ in range(REPLIES)
    ]
    calls = [[one if from_json else {"tuples": one}, other] for one, other in pairs]
    script = checkouts.file("CG-Bench", "run/utils.py")
    official = checkouts.run(tmp_path, "call", file=script, function="calculate_intervals_iou", calls=calls)
    ours = [cgbench_iou([*map(tuple, one)], [*map(tuple, gold)], from_json=from_json) for one, gold in pairs]
    # What its code cannot merge raises, and the question is then left out.
    kept = [None if isinstance(it, dict) else pytest.approx(it, abs=1e-12) for it in official]
    form = "spans of JSON" if from_json else "spans of text"
    names = (f"CG-Bench, {form}", "CG-Bench", "run/utils.py: calculate_intervals_iou", "cgbench_iou")
    compare(checkouts, names, pairs, list(zip(kept, ours, strict=True)))


def test_nextgqa_s_iou_and_iop_are_those_of_its_script(checkouts: Checkouts, tmp_path: Path):
    random, file = Random(7), "code/TempGQA/eval_ground.py"
    pairs = [(sorted(gold), span) for gold, span in (drawn_spans(random, 2) for _ in range(REPLIES))]
    script = checkouts.file("NExT-GQA", file)
    official = checkouts.run(tmp_path, "call", file=script, function="get_tIoU", calls=[list(it) for it in pairs])
    spans = [(tuple(gold), tuple(span)) for gold, span in pairs]
    ours = [[span_iou(*it), span_iop(*it)] for it in spans]
    names = ("NExT-GQA", "NExT-GQA", f"{file}: get_tIoU", "span_iou, span_iop")
    compare(
        checkouts, names, pairs, [(pytest.approx(it, abs=1e-12), own) for it, own in zip(official, ours, strict=True)]
    )
