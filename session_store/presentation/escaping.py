"""Stored text as it may be shown: what a hostile user wrote must not command the terminal.

Control characters (terminal escape sequences begin with one), separators of lines, and those which
change the direction of the text around them are shown by their code: ``\\x1b``, ``\\u202e``.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from session_store.presentation.times import iso

_BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSEEN: Final = "\u2028\u2029\ufeff"
_LINE: Final = re.compile(f"[\x00-\x1f\x7f-\x9f{_BIDI}{_UNSEEN}]")
_TEXT: Final = re.compile(f"(?!\n)[\x00-\x1f\x7f-\x9f{_BIDI}{_UNSEEN}]")
_JSON: Final = re.compile(f"[\x7f-\x9f{_BIDI}{_UNSEEN}]")


def line(text: str) -> str:
    """``text`` in one line."""
    return _LINE.sub(_shown, text)


def text(text: str) -> str:
    """``text`` in its own lines; a tab becomes spaces."""
    return _TEXT.sub(_shown, text.replace("\r\n", "\n").expandtabs(4))


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON in one line, unless it is indented; for who parses it, the same. Times are ISO 8601."""
    written = json.dumps(value, ensure_ascii=False, indent=indent, default=iso)
    return _JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def _shown(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
