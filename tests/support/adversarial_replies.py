"""Adversarial replies to multiple-choice questions: a grammar of what models write and what parsers stumble over."""
# ruff: noqa: RUF001  Letters of other alphabets that look alike are the point.

import json
from collections.abc import Callable, Sequence
from random import Random

LETTERS = "ABCDEFGH"
_FORMS = (
    *("{0}", "({0})", "{0}.", "{0}:", "{0})", "[{0}]", "**{0}**", "`{0}`", "\\boxed{{{0}}}", "<answer>{0}</answer>"),
    *(
        "{0} ",
        " {0}",
        "{0}\n",
        "{0},",
        "({0}",
        "'{0}'",
        '"{0}"',
        "Option {0}",
        "option {0}.",
        "{0}nd",
        "x{0}",
        "{0}{0}",
    ),
    *(
        "{0}/",
        "-{0}-",
        "{0}?",
        "{0}!",
        "${0}$",
        "{0} )",
        "( {0} )",
        "（{0}）",
        "{0}）",
        "{0}、",
        "_{0}_",
        "{0}1",
        "#{0}",
    ),
)
_PHRASES = (
    *("The best answer is", "The correct answer is", "The answer is", "The answer", "The best option is"),
    *("The correct option is", "Best answer:", "Best option:", "Final Answer:", "Answer:", "Option:", "answer is"),
    *("The best option isThe correct option is", "Best answer:Best option:", "THE ANSWER IS", "the answer is:"),
    *(
        "I choose",
        "i pick",
        "My choice is",
        "correct choice is",
        "정답은",
        "답:",
        "옵션",
        "答案是",
        "答案为",
        "选",
        "答えは",
    ),
    *("The correct answer", "The correct option", "Best Option: (", "Assistant:", "So,", "Therefore", "Not", "Either"),
)
_FILLERS = (
    *("because the man in red opens the door", "A man walks in", "Based on the video", "Because of this", "Carefully"),
    *(
        "it is not shown",
        "I cannot determine this",
        "I'm sorry, but",
        "He eats.",
        "two of them",
        "Due to rain",
        "Eiffel",
    ),
    *("one two three four five six seven eight nine ten eleven twelve", "the the the the the the the the the the the"),
    *("3", "00:15", "12.5 - 20", "[3, 7]", "視頻中的人", "фильм", "فيديو", "é", "ñ", "\U0001f600", "\u200d", "\u202e"),
    *("Frame A: a cup; Frame B: a bat", "between A and B", "B or C", "not A but D", "A, B, C, D", "all of the above"),
    *(
        "<think>A?",
        "</think>",
        "<tool_call>",
        "```",
        "```json",
        "{",
        "}",
        "(",
        ")",
        "()",
        "(a)",
        "\\",
        "\x00",
        "%s",
        "{0}",
    ),
)
_SEPARATORS = (
    "",
    "",
    " ",
    " ",
    "\n",
    "\n\n",
    "\t",
    ", ",
    ". ",
    ": ",
    ") ",
    " (",
    "\u00a0",
    "\u2028",
    "\x1c",
    "\r\n",
    "\r",
)
_WHOLE = (
    *("", " ", "\n", "N/A", "NA", "#N/A", "NaN", "nan", "None", "null", "NULL", "True", "-1", "0", "@", ")", "(", "()"),
    *(
        "!!!!",
        "?",
        "a",
        "b",
        "Ａ",
        "А",
        "В",
        "С",
        "Ⓑ",
        "𝐁",
        "🅱",
        "ＡＢＣ",
        "ß",
        "\ufeffB",
        "B\ufeff",
        "\x00B",
        "B\x00",
        "ǅ",
    ),
    *("(A)(B)", "A)B)", "))B", "((B", ")B(", "B)(C", "[[[[[[[[", "A" * 5000, "x" * 9000 + "B", "B" + " x" * 3000),
)
_RESULTS: tuple[object, ...] = (
    None,
    True,
    1,
    -1,
    2.5,
    "",
    "b",
    "AB",
    ["B"],
    {"A": 1},
    [],
    "(C)",
    "A.",
    "D ",
    float("nan"),
)
_SOUP = "ABCDEFGHabcdZ()[]{}.,:;!?'\"-_/\\ \n\t0123456789*`$<>|\u00a0é答А"


def adversarial_replies(count: int, seed: int, letters: str = LETTERS, *, surrogates: bool = True) -> list[str]:
    """Make replies.

    Args:
        count: Number of replies.
        seed: Seed of the draws.
        letters: Letters of options that are written.
        surrogates: Whether some replies hold half of a surrogate pair, which has no UTF-8.
    """
    random = Random(seed)
    kinds: Sequence[tuple[int, Callable[[Random, str], str]]] = (
        (5, _sentence),
        (3, _json_block),
        (2, _form),
        (2, _soup),
        (1, _whole),
        (1, _broken),
    )
    makers = [make for weight, make in kinds for _ in range(weight)]
    drawn = [random.choice(makers)(random, letters) for _ in range(count)]
    return drawn if surrogates else [text.encode(errors="replace").decode() for text in drawn]


def _form(random: Random, letters: str) -> str:
    return random.choice(_FORMS).format(random.choice(letters))


def _sentence(random: Random, letters: str) -> str:
    parts: list[str] = []
    for _ in range(random.randint(1, 5)):
        kind = random.random()
        chosen = _form(random, letters) if kind < 0.4 else random.choice(_PHRASES if kind < 0.7 else _FILLERS)
        parts += [chosen, random.choice(_SEPARATORS)]
    text = "".join(parts)
    changed = random.random()
    return text.lower() if changed < 0.05 else text.upper() if changed < 0.08 else text


def _json_block(random: Random, letters: str) -> str:
    result = random.choice(_RESULTS) if random.random() < 0.3 else random.choice((random.choice(letters), "option"))
    body = json.dumps({random.choice(("result", "result", "result", "Result", "answer")): result})
    body = random.choice(
        (
            *(body, body, body, body.replace('"', "'"), body.replace(" ", ""), body[:-1], f"[{body}]", f"{body}{body}"),
            *(f'{{"result": {random.choice(letters)}}}', f'{{"result":{random.choice(letters)}}}', f"// B\n{body}"),
            *(body.replace('"result"', '"result": "A", "result"'), f"{body},", "", "[" * 3000, "9" * 5000),
            *('{"result": [[1, 5], [3.5, 9]]}', '{"result": {"result": "C"}}', "null", '"B"', '{"result": "\\ud800"}'),
        )
    )
    fence = random.choice(("```json\n{}\n```", "```json{}```", "```\n{}\n```", "```JSON\n{}\n```", "```json\n{}", "{}"))
    block = fence.replace("{}", body, 1)
    around = random.random()
    return f"{_sentence(random, letters)}{block}{_form(random, letters)}" if around < 0.4 else block


def _soup(random: Random, _: str) -> str:
    return "".join(random.choices(_SOUP, k=random.randint(1, 40)))


def _whole(random: Random, _: str) -> str:
    return random.choice(_WHOLE)


def _broken(random: Random, letters: str) -> str:
    return f"{_sentence(random, letters)}{random.choice((chr(0xD800), chr(0xDFFF)))}{_form(random, letters)}"
