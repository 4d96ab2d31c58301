# ruff: noqa: RUF001
"""Encodings of subtitle files are found out, shown with a line of the text, and can be named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.settings.text_models import TextConfig
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.library import TextModels, VideoLibrary
from vt_env.media.text.encodings import decode_text
from vt_env.media.text.load_subtitles import SubtitleConfig, load_subtitles
from vt_env.tasks.read_rows import load_file
from vt_env.types import VideoRef

FRENCH = ("Ça va à Zürich ?", "Où est passé l'élève de la forêt ?", "C'est déjà l'été, à bientôt.")
GERMAN = ("Die Straße führt über die Brücke.", "Schöne Grüße aus München!", "Das weiß ich nicht, Käthe.")
SWEDISH = ("Jag åker till Malmö på fredag.", "Vad är klockan?", "Vi älskar sjön och båten.")
ITALIAN = ("È già così, perché no?", "Più tardi andrò in città.", "La libertà è di là.")
TYPOGRAPHIC = ("It\u2019s a \u201cgood\u201d day \u2014 isn\u2019t it?", "I don\u2019t know.", "She\u2019s here.")
POLISH = ("Gdzie jest książka? Żółw śpi.", "Nie wiem, co się dzieje.", "Dziękuję, miło cię widzieć.")
CZECH = ("Příliš žluťoučký kůň úpěl.", "Nevím, co se děje.", "Děkuji, dobře.")
HUNGARIAN = ("Hol van az ősz? Őszintén nem tudom.", "Köszönöm szépen, jó.", "Hűvös az idő, ugye?")
BULGARIAN = ("ИВАН: Къде е библиотеката?", "МАРИЯ: Не знам какво да правя.", "ИВАН: Днес времето е хубаво, нали?")
HEBREW = ("איפה הספרייה נמצאת?", "אני לא יודע מה לעשות עכשיו.", "מזג האוויר היום נעים מאוד.")
SPEAKERS = ("МАРИЯ: Где находится библиотека?", "ИВАН: Я не знаю, что делать.", "МАРИЯ: Сегодня хорошая погода.")
RUSSIAN = ("Где находится библиотека?", "Я не знаю, что делать дальше.", "Сегодня хорошая погода.")
GREEK = ("Πού είναι η βιβλιοθήκη;", "Δεν ξέρω τι να κάνω.", "Ωραία μέρα σήμερα.")
TURKISH = ("Kütüphane nerede? Işık çok güçlü.", "Ne yapacağımı bilmiyorum.", "Bugün hava güzel, değil mi?")
SIMPLIFIED = ("你在哪里?", "我不知道该怎么办。", "今天天气很好,我们去公园吧。")
TRADITIONAL = ("你在哪裡?", "我不知道該怎麼辦。", "今天天氣很好,我們去公園吧。")
JAPANESE = ("どこにいますか?", "わかりません。", "今日は天気がいいですね。")
KOREAN = ("어디에 있습니까?", "모르겠습니다.", "오늘은 날씨가 좋네요.")
FILES = [
    (FRENCH, "cp1252"), (GERMAN, "cp1252"), (SWEDISH, "latin-1"), (ITALIAN, "cp1252"), (TYPOGRAPHIC, "cp1252"),
    (POLISH, "cp1250"), (CZECH, "cp1250"), (HUNGARIAN, "cp1250"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"),
    (GREEK, "cp1253"), (TURKISH, "cp1254"), (SIMPLIFIED, "gbk"), (TRADITIONAL, "big5"), (JAPANESE, "shift_jis"),
    (JAPANESE, "euc_jp"), (KOREAN, "euc_kr"), (POLISH, "iso8859_2"), (CZECH, "iso8859_2"), (RUSSIAN, "cp866"),
    (RUSSIAN, "iso8859_5"), (SPEAKERS, "cp1251"), (BULGARIAN, "cp1251"), (HEBREW, "cp1255"), (JAPANESE, "iso2022_jp"),
    (KOREAN, "iso2022_kr"), (SIMPLIFIED, "hz"),
]  # fmt: skip
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


def srt(texts: tuple[str, ...]) -> str:
    return "\r\n".join(f"{at}\r\n00:00:0{at},000 --> 00:00:0{at},900\r\n{it}\r\n" for at, it in enumerate(texts, 1))


def ref(path: Path, data: bytes, encoding: str | None = None) -> VideoRef:
    path.write_bytes(data)
    return VideoRef("v", "none.mp4", str(path), subtitles_encoding=encoding)


@given(st.binary())
def test_no_bytes_make_the_decoder_fail(data: bytes) -> None:
    decode_text(data)


@pytest.mark.parametrize(("texts", "encoding"), FILES, ids=lambda it: it if isinstance(it, str) else it[0][:12])
def test_the_encoding_of_a_file_is_found_and_shown_with_a_line_of_it(
    texts: tuple[str, ...], encoding: str, tmp_path: Path
) -> None:
    track = load_subtitles(ref(tmp_path / "some.srt", srt(texts).encode(encoding)))
    assert tuple(it.text for it in track.lines) == texts
    (note,) = track.notes
    assert f'as in "{texts[0]}"; name another: ' in note and "confidence " in note and "cannot" not in note


@pytest.mark.parametrize("text", [*FRENCH, *GERMAN, *SWEDISH, *ITALIAN, *TYPOGRAPHIC])
def test_one_western_line_is_enough(text: str) -> None:
    assert decode_text(srt((text,)).encode("cp1252")).text == srt((text,))


@pytest.mark.parametrize("encoding", UNICODE)
def test_unicode_needs_no_guess(encoding: str, tmp_path: Path) -> None:
    track = load_subtitles(ref(tmp_path / "some.srt", srt(FRENCH).encode(encoding)))
    assert tuple(it.text for it in track.lines) == FRENCH and track.notes == ()


@pytest.mark.parametrize("texts", [FRENCH, RUSSIAN, SIMPLIFIED])
def test_a_bad_byte_in_a_file_of_utf_8_garbles_no_other_line(texts: tuple[str, ...], tmp_path: Path) -> None:
    data = srt(("an odd \x00 byte", *texts)).encode().replace(b"\x00", b"\xe9")
    track = load_subtitles(ref(tmp_path / "some.srt", data))
    assert tuple(it.text for it in track.lines) == ("an odd \ufffd byte", *texts)
    assert (
        'read as utf-8 (confidence 1.00, 1 characters cannot be decoded), as in "an odd \ufffd byte"' in track.notes[0]
    )


def test_a_named_encoding_is_taken_from_the_row_then_from_the_settings(tmp_path: Path) -> None:
    data = srt(("Hol van az ősz?",)).encode("cp1250")
    guessed = load_subtitles(ref(tmp_path / "some.srt", data))
    assert guessed.lines[0].text == "Hol van az õsz?" and "could also be cp1250" in guessed.notes[0]
    config = SubtitleConfig(encoding="cp1250")
    assert load_subtitles(ref(tmp_path / "some.srt", data), config=config).lines[0].text == "Hol van az ősz?"
    from_row = load_subtitles(ref(tmp_path / "some.srt", data, "cp1252"), config=config)
    assert from_row.lines[0].text == "Hol van az õsz?"


def test_a_row_of_tasks_names_an_encoding_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").touch()
    row = '{"video": "v.mp4", "question": "q?", "options": ["a", "b"], "subtitles_encoding": "%s"}'
    (tmp_path / "tasks.jsonl").write_text(row % "CP1251")
    assert load_file(tmp_path / "tasks.jsonl")[0].item.video.subtitles_encoding == "cp1251"
    for name in ("windows", "base64"):
        (tmp_path / "tasks.jsonl").write_text(row % name)
        with pytest.raises(DataError, match=f"subtitles_encoding='{name}': not known; name one such as utf-8"):
            load_file(tmp_path / "tasks.jsonl")
        with pytest.raises(ConfigError, match=f"encoding='{name}': not known"):
            TextConfig(subtitles_encoding=name)


def test_the_library_warns_of_a_guess_and_of_lines_left_out(tmp_path: Path) -> None:
    picture = Path(__file__).parents[2] / "fixtures" / "nasa_13013.mp4"
    (tmp_path / "some.srt").write_bytes((srt(RUSSIAN) + "\r\n9\r\n00:09,0 --> 00:08,0\r\nback\r\n").encode("cp1251"))
    library = VideoLibrary(MediaConfig(), tmp_path / "cache", text_models=TextModels(subtitles=SubtitleConfig()))
    with pytest.warns(UserWarning) as caught:
        library.open(VideoRef("v", str(picture), str(tmp_path / "some.srt")))
    said = [str(it.message) for it in caught]
    assert "read as cp1251" in said[0] and 'as in "Где находится библиотека?"' in said[0]
    assert said[1].endswith("some.srt: subtitles: 1 lines left out, since their times cannot be read or run backwards")
