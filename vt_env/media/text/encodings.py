"""Text encodings of subtitle files: detection, with its confidence and what else it could be.

Unicode is recognised by its own structure, and encodings of seven bits by their escapes. For other bytes
charset-normalizer says which encodings give a plausible text, and among those the one is taken whose letters fit one
script and language best: the library alone takes short Western texts for Central European ones. Our choice of rule.

Measured on drawn files: `docs/lab_log.md`.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from charset_normalizer import from_bytes

from vt_env.errors import ConfigError

REMEDY = "name another: subtitles_encoding in the task file, or --text.subtitles-encoding"

_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
"""Byte order marks, longer ones first: that of UTF-32 begins with that of UTF-16."""
_ESCAPES = ((b"\x1b$", ("iso2022_jp_ext", "iso2022_kr", "iso2022_jp_2")), (b"~{", ("hz",)))
"""Escapes of encodings that are written in ASCII, so that they are UTF-8 as well."""
_SAMPLE_BYTES = 1 << 16
_BROKEN_SHARE = 0.2
"""Maximum number of broken characters of a UTF-8 file, as a fraction of its characters beyond ASCII."""

_LATIN = {
    "cp1252": ("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "àáâãçéêíóôõú", "àèéìîòù", "äåæéöø", "àçèéíïòóúü", "áæéíðóöþúý",
               "äöõüšž", "éëïóöü"),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "âăîşţșț", "čćđšž", "çë"),
    "cp1254": ("çğıöşüâîû",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž"),
}  # fmt: skip
_LATIN["iso8859_2"] = _LATIN["cp1250"]
"""Letters beyond ASCII of the languages of each Latin encoding (exemplar characters of Unicode CLDR 44)."""
_SCRIPTS = {
    "cp1251": "\u0400-\u045f\u0490\u0491",
    "koi8_r": "\u0400-\u045f",
    "cp866": "\u0400-\u045f",
    "iso8859_5": "\u0400-\u045f",
    "cp1253": "\u0370-\u03ff",
    "cp1255": "\u05b0-\u05f4",
    "cp1256": "\u060c-\u06d2",
    "cp874": "\u0e01-\u0e5b",
}
_CANDIDATES = (*_LATIN, "cp1251", "koi8_r", "cp866", "iso8859_5", "cp1253", "cp1255", "cp1256",
               "cp949", "euc_jp", "cp932", "gb18030", "big5hkscs", "cp874")  # fmt: skip
"""Encodings in use before Unicode, the likelier first; each holds those of the same script that it extends."""
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_WORD = re.compile(r"[^\s!-@\[-`{-~\u2010-\u2027\u00b7]+")
"""Runs without white space, ASCII punctuation, dashes and quotes."""
_FREQUENT = {"\u0400": frozenset("оеаинтсрвлкмдпуіъя"), "\u0370": frozenset("αοιετσνηυρπκλμςόάήίέ")}
"""Frequent letters of Cyrillic and Greek, which other scripts' letters are mistaken for; keys are the first letters."""
_VOWELS = frozenset("аеёиоуъыэюяіїєр")
"""Vowels of Cyrillic languages, and their r, which stands for one in Serbian and Bulgarian."""
_FREQUENT_SHARE = 0.6
"""Minimum share of these letters in Russian, Ukrainian, Bulgarian, Serbian and Greek texts; it is about 0.8."""
_WESTERN_BONUS = 0.05
"""Share of letters by which cp1252, the most frequent encoding, may fit worse than others."""
_UNKNOWN_NOISE = 0.4
"""Noise of an encoding that charset-normalizer thinks implausible; it calls those above 0.2 so."""


@dataclass(frozen=True)
class DecodedText:
    """Text of a file, with how its encoding was found."""

    text: str
    encoding: str
    """Python's name of the encoding."""
    confidence: float = 1.0
    """1 for Unicode, escapes and an encoding that was named; else the share of letters that fit it, at most one minus
    charset-normalizer's share of noise."""
    also: str = ""
    """Another encoding that fits as well and gives another text; empty if there is none."""
    broken: int = 0
    """Number of characters that could not be decoded; each is U+FFFD in the text."""

    @property
    def note(self) -> str:
        """One line about a guessed encoding or broken characters, with a line of the text; empty for sound Unicode."""
        if self.confidence == 1.0 and not self.broken and not self.also and self.encoding.startswith("utf"):
            return ""
        other = f", could also be {self.also}" if self.also else ""
        broken = f", {self.broken} characters cannot be decoded" if self.broken else ""
        return f'read as {self.encoding} (confidence {self.confidence:.2f}{other}{broken}), as in "{self._quote}"'

    @property
    def _quote(self) -> str:
        """The first line with a character beyond ASCII, a broken one if there is any."""
        rows = self.text.splitlines()
        wanted = "\ufffd" if self.broken else None
        found = (row for row in rows if (wanted in row if wanted else not row.isascii()))
        return next(found, "").strip()[:60]


def check_encoding(name: str) -> str:
    """Return the name of a text encoding that Python knows.

    Raises:
        ConfigError: There is none of that name.
    """
    try:
        # Not `lookup` alone: it also knows codecs from bytes to bytes. Nothing is looked up for no bytes.
        b"a".decode(name, errors="replace")
        return codecs.lookup(name).name
    except (LookupError, ValueError) as error:
        raise ConfigError(f"encoding={name!r}: not known; name one such as utf-8, cp1251, gb18030 or cp932") from error


def decode_text(data: bytes, encoding: str | None = None) -> DecodedText:
    """Decode the bytes of a text file.

    Args:
        data: Content of the file.
        encoding: Its encoding; `None` means to find it out.

    Raises:
        ConfigError: The encoding is not known.
    """
    if encoding is not None:
        return _decoded(data, check_encoding(encoding))
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if marked is not None:
        return _decoded(data, marked)
    if b"\0" in data[:200]:
        return _decoded(data, "utf-16-be" if data[:1] == b"\0" else "utf-16-le")
    possible = (name for mark, names in _ESCAPES for name in names if mark in data)
    escaped = next((name for name in possible if _is_escaped(data, name)), None)
    if escaped is not None:
        return _decoded(data, escaped)
    unicode = _decoded(data, "utf-8")
    sound = sum(not char.isascii() for char in unicode.text) - unicode.broken
    if unicode.broken <= _BROKEN_SHARE * sound:
        return unicode
    return _guess(data)


def _decoded(data: bytes, encoding: str) -> DecodedText:
    try:
        return DecodedText(data.decode(encoding), encoding)
    except UnicodeError:
        text = data.decode(encoding, errors="replace")
        return DecodedText(text, encoding, broken=text.count("\ufffd"))


def _is_escaped(data: bytes, encoding: str) -> bool:
    """Return whether bytes of ASCII are a whole text of this encoding, with letters that ASCII does not have."""
    if not data.isascii():
        return False
    decoded = _decoded(data, encoding)
    return not decoded.broken and any(_is_letter(char) and not char.isascii() for char in decoded.text)


def _guess(data: bytes) -> DecodedText:
    # Only rows beyond ASCII tell encodings apart; numbers and times would count as noise.
    rows = [row for row in re.split(rb"[\r\n]+", data) if not row.isascii()]
    sample = b"\n".join(rows)[:_SAMPLE_BYTES].rpartition(b"\n")[0] or b"\n".join(rows)[:_SAMPLE_BYTES]
    noise = dict.fromkeys(_CANDIDATES, _UNKNOWN_NOISE)
    for match in from_bytes(sample, cp_isolation=list(_CANDIDATES)):
        noise.update(dict.fromkeys(set(match.could_be_from_charset) & set(noise), match.chaos))
    fits = {name: round(_fit(sample.decode(name, errors="replace"), name), 2) for name in _CANDIDATES}
    fits["cp1252"] = min(1.0, fits["cp1252"] + _WESTERN_BONUS)
    noise.update(dict.fromkeys(_LATIN, min(noise[name] for name in _LATIN)))
    ranked = sorted(_CANDIDATES, key=lambda name: (-fits[name], noise[name]))
    chosen = _decoded(data, ranked[0])
    also = next((name for name in ranked[1:] if _decoded(data, name).text != chosen.text), "")
    also = also if also and (fits[also], noise[also]) == (fits[ranked[0]], noise[ranked[0]]) else ""
    confidence = min(fits[ranked[0]], 1 - noise[ranked[0]])
    return DecodedText(chosen.text, ranked[0], confidence, also, chosen.broken)


def _fit(text: str, encoding: str) -> float:
    """Return the share in [0, 1] of the letters beyond ASCII that fit the encoding's script and one language of it."""
    words = _WORD.findall(text)
    count = sum(_is_read_as_letter(word, at) for word in words for at in range(len(word)))
    if not count:
        # Typographic quotes and dashes alone are the same in most encodings.
        return 1.0 if encoding == "cp1252" else 0.9
    fitting = "".join(_fitting(words, encoding))
    allowed: float = len(fitting)
    if encoding in _LATIN:
        allowed = max(sum(char.lower() in known for char in fitting) for known in _LATIN[encoding])
    elif encoding in ("euc_jp", "cp932") and not _KANA.search(text):
        allowed /= 2
    elif encoding in _SCRIPTS and _SCRIPTS[encoding][0] in _FREQUENT:
        known = _FREQUENT[_SCRIPTS[encoding][0]]
        frequent = sum(char.lower() in known for char in fitting) / max(1, len(fitting))
        allowed *= min(1.0, frequent / _FREQUENT_SHARE)
    return allowed / count


def _is_read_as_letter(word: str, at: int) -> bool:
    """Return whether a character beyond ASCII stands where a letter is: it is one, or is between two."""
    char = word[at]
    if char.isascii():
        return False
    return _is_letter(char) or char == "\ufffd" or (0 < at < len(word) - 1 and word[at - 1 : at + 2 : 2].isalpha())


def _is_letter(char: str) -> bool:
    return unicodedata.category(char)[0] in "LM"


def _fitting(words: Iterable[str], encoding: str) -> Iterator[str]:
    """Yield the letters beyond ASCII of the encoding's script, in words as they are written.

    What is decoded wrongly mixes scripts within words and has capitals inside them; words of capitals alone, such as
    names of speakers, are right where they are few.
    """
    script = re.compile(f"[{_SCRIPTS[encoding]}]") if encoding in _SCRIPTS else None
    spelt = [[char for char in word if _is_letter(char)] for word in words]
    are_few = 2 * sum(len(it) for it in spelt if _is_in_capitals(it)) <= sum(map(len, spelt))
    for letters in spelt:
        cased = [
            it for at, it in enumerate(letters) if not at or not it.isupper() or (are_few and _is_in_capitals(letters))
        ]
        if encoding in _LATIN:
            yield from (it for it in cased if not it.isascii())
        elif script is None:
            yield from (it for it in letters if not it.isascii() and _is_common(it, encoding))
        elif not any(it.isascii() for it in letters) and _can_be_spoken(letters, _SCRIPTS[encoding][0]):
            yield from (it for it in cased if script.match(it))


def _is_in_capitals(letters: Sequence[str]) -> bool:
    return len(letters) > 1 and all(it.isupper() for it in letters)


def _can_be_spoken(letters: Sequence[str], first: str) -> bool:
    """Return whether a word has a vowel, as Cyrillic ones of four letters have; Hebrew read as Cyrillic lacks many."""
    return first != "\u0400" or len(letters) < 4 or any(char.lower() in _VOWELS for char in letters)


def _is_common(char: str, encoding: str) -> bool:
    """Return whether a character is one that texts in an East Asian encoding are made of: not a rare ideograph.

    KS X 1001 has 2,350 syllables from 0xB0A1; GB 2312 (0xB0 to 0xD7), Big5 (0xA4 to 0xC6) and JIS X 0208 (0xB0 to 0xCF
    in EUC) have the common ideographs in their first level.
    """
    if encoding == "cp949":
        return bool(_HANGUL.match(char)) and _lead(char, "euc_kr") > 0
    if encoding == "gb18030":
        return 0xB0 <= _lead(char, "gb2312") <= 0xD7
    if encoding == "big5hkscs":
        return 0xA4 <= _lead(char, "big5") <= 0xC6 and not _KANA.match(char)
    return bool(_KANA.match(char)) or 0xB0 <= _lead(char, "euc_jp") <= 0xCF


def _lead(char: str, encoding: str) -> int:
    """Return the first of the two bytes of a character; 0 if it has not two in that encoding."""
    try:
        encoded = char.encode(encoding)
    except UnicodeEncodeError:
        return 0
    return encoded[0] if len(encoded) == 2 else 0
