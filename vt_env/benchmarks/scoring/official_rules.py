"""Official answer-extraction rules of the benchmarks, bug for bug; the strict rule is in `replies`.

A rule returns the letters that its source extracts from a reply, which may be none, or not the letter of an option. The
same reply gets up to six different letters; a table in the tests lists them. Reimplemented from the behaviour of the
sources, without copied code.

| rule | source | takes |
|---|---|---|
| `video_mme@2024` | MME-Benchmarks/Video-MME 4e7566d3, `evaluation/eval_your_results.py` | first capital A-D |
| `video_mme@parse_answer` | thanku-all/parse_answer afd52cfe, `eval_your_results.py` | the same behind more prefixes |
| `lmms_eval@mcq_extract` | lmms-eval c228e273, `_task_utils/mcq_extract.py`, with A-D | best-ranked form, last place |
| `v2@standalone` | MME-Benchmarks/Video-MME-v2 b24176a1, `evaluation/test_video_mme_v2.py` | first capital A-H |
| `lvbench@polish` | zai-org/LVBench 1dd4612d, `lvbench/utils/answer_util.py` | first character of the first word |
| `mlvu@prefill` | JUNJIE99/MLVU fd060c10, `check_ans` (dev) | character before the first `)`, else all of it |
| `mlvu_test@test_bench` | JUNJIE99/MLVU fd060c10, `test_bench.py` | stripped text before the first `)` |
| `cgbench@json` | CG-Bench/CG-Bench f8266087, `run/utils.py`, `post_process` | `result` of the JSON, else every A-H |
| `longvideobench@official` | lmms-eval 03a5823f, `longvideobench/utils.py` | first capital A-E, else a guess |

EgoSchema and NExT-GQA have no rule: their scripts take option indexes and parse no text. Newer lmms-eval (00a12d40) has
another `mcq_extract`, which abstains where this one guesses; it is not reproduced here. Release 0.7.3 and 75571cfe
behave as c228e273 and 03a5823f (compared on 20,000 and 12,000 replies each). lmms-eval (75571cfe) scores Video-MME,
LVBench and both splits of MLVU by `mcq_extract` with A-D, although MLVU's test split has six options, and CG-Bench with
A-N; `rule_of` does so. `docs/official_scripts.md` shows what was compared with each source.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from vt_env.errors import ConfigError, suggest

Extract = Callable[[str], tuple[str, ...]]

_PREFIXES = ("The best answer is", "The correct answer is", "The answer is", "The answer")
# Two commas are missing in the source, so two pairs of prefixes form two long texts that no reply contains.
_VIDEO_MME_PREFIXES = (*_PREFIXES, "The best option isThe correct option is", "Best answer:Best option:")
_PARSE_ANSWER_PREFIXES = (*_VIDEO_MME_PREFIXES, "Answer:", "Option:", "The correct answer", "The correct option")
_LONG_PREFIXES = (*_PREFIXES, "The best option is", "The correct option is", "Best answer:", "Best option:")
_V2_PREFIXES = ("Final Answer:", *_LONG_PREFIXES, "Answer:", "Option:")

MISSING_VALUES = frozenset((
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
))  # fmt: skip
"""Texts that `pandas.read_csv` (2.0) takes for missing values by default."""
_RANKED_FORMS = ((6, "({})"), (5, "{}."), (4, "{}:"), (3, "{})"), (2, "{} "))
_START, _END, _PHRASE, _ANYWHERE = 10, 9, 7, 0
_SUBJECTS = ("answer", "correct answer", "best answer", "correct option", "best option", "choice", "correct choice")
_PHRASES = (
    *(f"{article}{subject} is" for subject in _SUBJECTS for article in ("the ", "")),
    *("i choose", "i select", "i pick", "my answer is", "my choice is"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)
STANDALONE = "v2@standalone"
LMMS_EVAL = "lmms_eval@mcq_extract"
LMMS_EVAL_LETTERS: Mapping[str, str] = {
    **dict.fromkeys(("video_mme", "lvbench", "mlvu_dev", "mlvu_test"), "ABCD"),
    **dict.fromkeys(("cgbench", "cgbench_mini"), "ABCDEFGHIJKLMN"),
}
"""Letters that lmms-eval's tasks give to `mcq_extract`, by benchmark; its other tasks do not use it."""
_BARE_WORD = re.compile(r"(?<=:\s)([A-Za-z_]\w*)")
_LONE_LETTER = re.compile(r"\b[A-H]\b")


@dataclass(frozen=True, slots=True)
class Rule:
    """Official answer-extraction rule, with its treatment of unparsed replies."""

    name: str
    source: str
    """Repository, commit, file and function."""
    extract: Extract
    unparsed: Literal["wrong", "dropped", "guessed"] = "wrong"
    """`dropped` leaves the question out of the denominator; `guessed` draws an option, here with a seed."""
    credits_any: bool = False
    """Count a reply as correct if any extracted letter is right."""


def first_capital(letters: str, prefixes: Sequence[str]) -> Extract:
    """Build the rule that removes all `prefixes` and takes the first capital among `letters`.

    The sources also reject replies of more than ten words without such a capital, which changes no result.
    """

    def extract(reply: str) -> tuple[str, ...]:
        text = reply.strip()
        for prefix in prefixes:
            text = text.replace(prefix, "")
        found = re.search(f"[{letters}]", text)
        return (found[0],) if found else ()

    return extract


def kept_in_table(extract: Extract) -> Extract:
    """Build the rule of a script that keeps replies in a CSV table, where "N/A" comes back as a missing value."""
    return lambda reply: () if reply.strip() in MISSING_VALUES else extract(reply)


def mcq_extract(letters: str) -> Extract:
    """Build lmms-eval's ranking: a letter at the start, at the end, after an answer phrase, in brackets, and so on.

    Within the best rank the last match wins, so a distractor that is discussed after "the answer is" replaces the
    answer.
    """

    def extract(reply: str) -> tuple[str, ...]:
        text = reply.strip()
        for mark in ",.!?;:'\"":
            text = text.strip(mark)
        if not reply.strip():
            return ()
        found = _ranked(f" {text} ", letters)
        anywhere = [(_ANYWHERE, text.rfind(letter), letter) for letter in letters if letter in text]
        best = max(found or anywhere, key=lambda candidate: candidate[:2], default=None)
        return (best[2],) if best else ()

    return extract


def _ranked(text: str, letters: str) -> list[tuple[int, int, str]]:
    """List rank, position and letter of every match, in the source's order."""
    found = [
        (rank, text.rfind(form.format(letter)), letter)
        for rank, form in _RANKED_FORMS
        for letter in letters
        if form.format(letter) in text
    ]
    lowered = text.lower()
    for phrase in _PHRASES:
        start = lowered.find(phrase)
        places = [(text.find(letter, start + len(phrase)), letter) for letter in letters] if start >= 0 else []
        found += [(_PHRASE, place, letter) for place, letter in places if place >= 0]
    bare = text.strip()
    found += [(_START, 0, bare[0])] if bare[:1] in (*letters,) and not bare[1:2].isalpha() else []
    found += [(_END, len(text) - 1, bare[-1])] if bare[-1:] in (*letters,) and not bare[-2:-1].isalpha() else []
    return found


def polish(reply: str) -> tuple[str, ...]:
    """Return the first character of the first word of the text before `)` and after `(`."""
    text = reply.strip().split(")")[0].strip()
    text = text.split("(")[1].strip() if "(" in text else text
    return tuple(text.split(" ")[0][:1])


def prefilled(reply: str) -> tuple[str, ...]:
    """Return the character before the first `)`, since the prompt ends in "Best Option: (", else the whole reply.

    A longer rest is not parsed, since no gold answer equals it, and blanks are characters. An older copy of the script
    (0b16f40f, `video_chat/choice_bench.py`) keeps the whole text before the `)`, so that "(C)" is wrong there.
    """
    found = reply[: reply.index(")")][-1:] if ")" in reply else reply
    return (found,) if len(found) == 1 else ()


def before_bracket(reply: str) -> tuple[str, ...]:
    """Return the stripped text before the first `)`, if it is one character: "(B)" is not parsed."""
    found = reply.strip().partition(")")[0].strip()
    return (found,) if len(found) == 1 else ()


def json_result(reply: str) -> tuple[str, ...]:
    """Return `result` of the JSON block, of whatever type; without a valid one, every standalone capital A-H."""
    after = reply.partition("```json")[2]
    content = _BARE_WORD.sub(r'"\1"', after.partition("```")[0].strip()) if "```" in after else ""
    try:
        parsed: Any = json.loads(content)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict) and "result" in parsed:
        return (str(cast("dict[str, Any]", parsed)["result"]),)
    return tuple(_LONE_LETTER.findall(reply))


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "video_mme@2024",
            "MME-Benchmarks/Video-MME 4e7566d3, evaluation/eval_your_results.py, extract_characters_regex",
            first_capital("ABCD", _VIDEO_MME_PREFIXES),
            unparsed="dropped",
        ),
        Rule(
            "video_mme@parse_answer",
            "thanku-all/parse_answer afd52cfe, eval_your_results.py, extract_characters_regex",
            first_capital("ABCD", _PARSE_ANSWER_PREFIXES),
            unparsed="dropped",
        ),
        Rule(
            LMMS_EVAL,
            "EvolvingLMMs-Lab/lmms-eval c228e273, lmms_eval/tasks/_task_utils/mcq_extract.py, extract_mcq_answer",
            mcq_extract("ABCD"),
        ),
        Rule(
            STANDALONE,
            "MME-Benchmarks/Video-MME-v2 b24176a1, evaluation/test_video_mme_v2.py, extract_characters_regex_v2",
            kept_in_table(first_capital("ABCDEFGH", _V2_PREFIXES)),
            unparsed="dropped",
        ),
        Rule("lvbench@polish", "zai-org/LVBench 1dd4612d, lvbench/utils/answer_util.py, polish_answer", polish),
        Rule(
            "mlvu@prefill",
            "JUNJIE99/MLVU fd060c10, evaluation/multiple_choice_evaluation/choice_bench.py, check_ans",
            prefilled,
        ),
        Rule("mlvu_test@test_bench", "JUNJIE99/MLVU fd060c10, evaluation_test/test_bench.py, main", before_bracket),
        Rule(
            "cgbench@json",
            "CG-Bench/CG-Bench f8266087, run/utils.py, post_process",
            json_result,
            unparsed="dropped",
            credits_any=True,
        ),
        Rule(
            "longvideobench@official",
            "EvolvingLMMs-Lab/lmms-eval 03a5823f, longvideobench/utils.py, parse_multi_choice_response, which follows "
            "the paper's",
            first_capital("ABCDE", _LONG_PREFIXES),
            unparsed="guessed",
        ),
    )
}


def rule_of(name: str, benchmark: str) -> Rule:
    """Return the rule of that name, with the letters that lmms-eval's task of the benchmark gives it.

    Raises:
        ConfigError: There is no such rule, or lmms-eval does not score the benchmark by it.
    """
    if name not in RULES:
        raise ConfigError(f"rule={name!r}: allowed are {', '.join(RULES)}{suggest(name, RULES)}")
    if name != LMMS_EVAL:
        return RULES[name]
    if benchmark not in LMMS_EVAL_LETTERS:
        raise ConfigError(f"rule={name!r}: lmms-eval scores {', '.join(LMMS_EVAL_LETTERS)} by it, not {benchmark}")
    return replace(RULES[name], extract=mcq_extract(LMMS_EVAL_LETTERS[benchmark]))
