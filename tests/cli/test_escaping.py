"""What is shown is what was stored, but for what could command a terminal or mislead a reader."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from session_store.presentation import escaping

ALL = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
DANGEROUS = [
    character
    for character in ALL
    if unicodedata.category(character) in ("Cc", "Zl", "Zp")
    or unicodedata.bidirectional(character)
    in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
]


def test_nothing_dangerous_passes() -> None:
    assert len(DANGEROUS) > 70
    text = "".join(DANGEROUS)
    assert escaping.line(text).isascii()
    assert escaping.line(text).isprintable()
    assert escaping.text(text).replace("\n", "").isprintable()
    assert escaping.json_text(text).isprintable()


def test_everything_that_people_write_passes_as_it_is() -> None:
    text = "Grüße, naïve 日本語 😀 👩‍👩‍👧 שלום سلام ฿ \\x1b [b] {x}"
    assert escaping.line(text) == escaping.text(text) == text
    assert escaping.json_text(text) == json.dumps(text, ensure_ascii=False)


@pytest.mark.parametrize("part", range(0, len(ALL), 100_000))
def test_json_means_the_same(part: int) -> None:
    text = "".join(ALL[part : part + 100_000])
    assert json.loads(escaping.json_text([text])) == [text]


def test_lines_stay_lines_and_tabs_become_spaces() -> None:
    assert escaping.text("a\r\nb\tc\rd") == "a\nb   c\\rd"
    assert escaping.line("a\r\nb\tc") == "a\\r\\nb\\tc"
