"""Reading answers: every form that is accepted, every form that is not, and laws that hold for all options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.actions.read_answer import AnswerStatus, is_correct, read_answer
from vt_env.gold import Gold
from vt_env.types import Item, VideoRef

NUMBERS = ("12", "47", "31", "88")
WORDS = ("A red square", "a blue circle", "Nothing.", "U.S.A.")
LETTERS = ("B", "A", "D", "C")

MATCHED = [
    # the text, in any case, spacing and trailing punctuation
    ("47", NUMBERS, 1),
    (" 47 ", NUMBERS, 1),
    ("47.", NUMBERS, 1),
    ("47!?", NUMBERS, 1),
    ("a RED  square", WORDS, 0),
    ("a\nred square.", WORDS, 0),
    ("nothing", WORDS, 2),
    ("u.s.a", WORDS, 3),
    ("u.s.a.", WORDS, 3),
    # the letter
    ("B", NUMBERS, 1),
    ("b", NUMBERS, 1),
    ("(B)", NUMBERS, 1),
    ("(b).", NUMBERS, 1),
    ("B.", NUMBERS, 1),
    ("B)", NUMBERS, 1),
    ("B:", NUMBERS, 1),
    ("B .", NUMBERS, 1),
    ("option B", NUMBERS, 1),
    ("Option b.", NUMBERS, 1),
    ("OPTION (B)", NUMBERS, 1),
    # both
    ("B. 47", NUMBERS, 1),
    ("B) 47.", NUMBERS, 1),
    ("(B) 47", NUMBERS, 1),
    ("B.47", NUMBERS, 1),
    ("b: 47", NUMBERS, 1),
    ("option B: 47", NUMBERS, 1),
    ("option B 47", NUMBERS, 1),
    ("A. a red square", WORDS, 0),
    ("A) A red square", WORDS, 0),
    # options that are letters mean themselves; the letter's place only where the text is no option
    ("A", LETTERS, 1),
    ("a", LETTERS, 1),
    ("A. B", LETTERS, 0),
    ("(B) A", LETTERS, 1),
    ("E", ("1", "2", "3", "4", "5"), 4),
    # options that begin like a letter
    ("C. elegans", ("E. coli", "C. elegans"), 1),
    ("B. C. elegans", ("E. coli", "C. elegans"), 1),
    ("1.5", ("1.5", "15"), 0),
    ("-5", ("5", "-5"), 1),
    # exact spelling wins where options differ only in what is usually ignored
    ("us", ("US", "us"), 1),
    ("5.", ("5", "5."), 1),
    ("?", ("!", "?"), 1),
    # other scripts
    ("straße", ("Gasse", "Straße"), 1),
    ("河内", ("奥斯陆", "河内"), 1),
    ("cafe\u0301", ("bar", "café"), 1),
]

AMBIGUOUS = [
    ("A. 47", NUMBERS),
    ("(A) 47", NUMBERS),
    ("option A: 47", NUMBERS),
    ("B. 48", NUMBERS),
    ("B) because of the square", NUMBERS),
    ("F. 47", NUMBERS),
    ("Us", ("US", "us")),
]

UNPARSED = [
    ("", NUMBERS),
    ("   ", NUMBERS),
    (".", NUMBERS),
    ("", ("!", "?")),
    (".", ("!", "47")),
    ("48", NUMBERS),
    ("4", NUMBERS),
    ("4 7", NUMBERS),
    ("E", NUMBERS),
    ("(E)", NUMBERS),
    ("Z. nothing", NUMBERS),
    ("AB", NUMBERS),
    ("A or B", NUMBERS),
    ("A B", NUMBERS),
    ("a square", WORDS),
    ("the answer is B", NUMBERS),
    ("option", NUMBERS),
    ("option apple", NUMBERS),
    ("optionB", NUMBERS),
    ("option 5", NUMBERS),
    ("e.g. the first", NUMBERS),
    ("[B]", NUMBERS),
    ("(B", NUMBERS),
    ("B2", NUMBERS),
    ("\u017f", NUMBERS),
    ("None of the above", NUMBERS),
]


@pytest.mark.parametrize(("text", "options", "option_idx"), MATCHED)
def test_these_answers_are_read_as_one_option(text: str, options: tuple[str, ...], option_idx: int):
    answer = read_answer(text, options)
    assert (answer.option_idx, answer.status) == (option_idx, AnswerStatus.MATCHED)


@pytest.mark.parametrize(("text", "options"), AMBIGUOUS)
def test_these_answers_contradict_themselves(text: str, options: tuple[str, ...]):
    answer = read_answer(text, options)
    assert (answer.option_idx, answer.status) == (None, AnswerStatus.AMBIGUOUS)


@pytest.mark.parametrize(("text", "options"), UNPARSED)
def test_these_answers_are_no_option_and_never_a_letter(text: str, options: tuple[str, ...]):
    answer = read_answer(text, options)
    assert (answer.option_idx, answer.status) == (None, AnswerStatus.UNPARSED)


OPTIONS = st.lists(st.text(min_size=1, max_size=12).filter(str.strip), min_size=2, max_size=6, unique=True).map(tuple)
TRICKY = st.lists(
    st.sampled_from(["A", "a", "B", "A.", "(A)", "A. B", "option A", "47", "4.7", "47.", "!", "C. x"]),
    min_size=2,
    max_size=6,
    unique=True,
).map(tuple)


@given(OPTIONS | TRICKY)
def test_the_text_of_an_option_is_always_read_as_that_option(options: tuple[str, ...]):
    assert [read_answer(option, options).option_idx for option in options] == list(range(len(options)))


@given(st.text(), OPTIONS | TRICKY)
def test_any_answer_is_read_without_an_error_and_an_option_only_with_its_status(text: str, options: tuple[str, ...]):
    answer = read_answer(text, options)
    assert (answer.option_idx is not None) == (answer.status is AnswerStatus.MATCHED)


@given(st.permutations(NUMBERS), st.sampled_from(NUMBERS))
def test_shuffling_the_options_does_not_change_whether_a_text_is_right(options: list[str], text: str):
    item = Item("t", "q?", tuple(options), VideoRef("v", "v.mp4"))
    assert is_correct(text, item, Gold(options.index("47"))) == (text == "47")


@given(st.sampled_from(NUMBERS), st.sampled_from([" ", "\n", "\t "]), st.text(alphabet=".,;:!? ", max_size=4))
def test_spacing_and_trailing_punctuation_do_not_matter(option: str, space: str, tail: str):
    assert read_answer(f"{space}{option}{tail}", NUMBERS) == read_answer(option, NUMBERS)
