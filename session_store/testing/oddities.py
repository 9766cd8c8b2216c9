"""Values, ids and texts on which stores have broken: what must come back, and what is refused."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any, Final
from uuid import UUID

from session_store.core import codec
from session_store.session import REMOVED


def nested(levels: int, core: Any = None) -> Any:
    """``core`` in so many arrays and objects by turns."""
    for level in range(levels):
        core = [core] if level % 2 else {"in": core}
    return core


def _cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


class _Plain(enum.Enum):
    ONE = 1


TEXTS: Final[Mapping[str, str]] = {
    "empty text": "",
    "blank": " \t\n\r ",
    "NUL": "\0",
    "NUL inside": "before\0after",
    "control characters": "".join(map(chr, range(32))),
    "delete and C1 controls": "".join(map(chr, range(127, 160))),
    "line separators": "a\u2028b\u2029c\u0085d\u000bd",
    "byte order mark": "\ufeffa\ufeff",
    "noncharacters": "\ufffe\uffff\ufdd0\U0010ffff",
    "replacement": "\ufffd",
    "beside the surrogates": "\ud7ff\ue000",
    "private use": "\ue000\uf8ff\U000f0000",
    "emoji": "\U0001f600",
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "flag": "\U0001f1e9\U0001f1ea",
    "composed": "\u00e9\u1e69",
    "decomposed": "e\u0301s\u0323\u0307",
    "ligatures": "\ufb01\u00df\u0130\u0131",
    "width": "\uff21A\uff71",
    "both directions": "abc\u202e\u05d0\u05d1\u202c\u0627\u0644",
    "stacked": "a" + "\u0300\u0301\u0302" * 30,
    "invisible": "\u200b\u200c\u200d\u2060\u00ad",
    "Hangul": "\u1112\u1161\u11ab \ud55c",
    "quotes": "'\"`\u2019'' \"\"",
    "backslashes": "\\ \\\\ \\n \\u0000 \\x00 \\'",
    "escaped surrogate": "\\ud800",
    "placeholders": "%s %(a)s :a ? $1 {} {0} @p ##",
    "markup": "</script><!-- ]]> &amp; &#0;",
    "JSON": '{"a": [1, null]}',
    "SQL": "'; DROP TABLE sessions; --",
    "null": "null",
    "true": "true",
    "number": "1e22",
    "NaN": "NaN",
    "date": "2024-02-29T12:30:15Z",
    "long": "0123456789" * 20_000,
    "long beyond the BMP": "\U0001f600" * 20_000,
}
"""Texts by what they are; each comes back as it is."""

VALUES: Final[Mapping[str, Any]] = {
    "nothing": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "zero as float": 0.0,
    "minus zero": -0.0,
    "one as float": 1.0,
    "1e16": 1e16,
    "1e22": 1e22,
    "1e23": 1e23,
    "1e-7": 1e-7,
    "a third": 1 / 3,
    "0.1 + 0.2": 0.1 + 0.2,
    "least float": 5e-324,
    "least normal float": 2.2250738585072014e-308,
    "greatest float": 1.7976931348623157e308,
    "float of 2**53": 2.0**53,
    "float of 2**63": 2.0**63,
    "float of 2**64": 2.0**64,
    "greatest exact in a float, and one": 2**53 + 1,
    "greatest integer": 2**63 - 1,
    "least integer": -(2**63),
    "unsigned 32 bits": 2**32,
    "empty array": [],
    "empty object": {},
    "empty key": {"": {"": ""}},
    "empty parts": [[], {}, [[]], {"a": {}}, ""],
    "types side by side": [1, 1.0, True, "1", None, [1], {"1": 1}],
    "order of keys": {"b": 1, "a": 2, "10": 3, "9": 4, "": 5, "B": 6},
    "keys of one letter": {"\u00e9": 1, "e\u0301": 2, "E": 3, "e": 4},
    "odd keys": {text: text for name, text in TEXTS.items() if name[:4] != "long"},
    "long key": {"k" * 50_000: 1},
    "words of others": {"__proto__": 1, "constructor": 2, "$ref": 3, "__class__": 4, "@type": 5},
    "deep": nested(codec.MAX_DEPTH - 10),
    "wide": list(range(20_000)),
    "many keys": {f"k{n}": n for n in range(5_000)},
    **{f"text: {name}": text for name, text in TEXTS.items()},
}
"""Values by what they are; each comes back as it is."""

REFUSED: Final[Mapping[str, tuple[Any, str]]] = {
    "NaN": (math.nan, ""),
    "infinity": (math.inf, ""),
    "minus infinity": (-math.inf, ""),
    "2**63": (2**63, ""),
    "-2**63 - 1": (-(2**63) - 1, ""),
    "an integer of 5,000 digits": (10**5000, ""),
    "lone high surrogate": ("\ud800", ""),
    "lone low surrogate": ("a\udfffb", ""),
    "pair of surrogates": ("\ud83d\ude00", ""),
    "surrogate in a key": ({"a": {"\udc00": 1}}, ".a"),
    "integer key": ({1: 1}, ""),
    "key of nothing": ({"a": [{None: 1}]}, ".a[0]"),
    "boolean key": ({True: 1}, ""),
    "tuple key": ({(1, 2): 1}, ""),
    "bytes key": ({b"a": 1}, ""),
    "datetime": (datetime(2024, 2, 29, tzinfo=UTC), ""),
    "date": ([date(2024, 2, 29)], "[0]"),
    "timedelta": (timedelta(1), ""),
    "set": ({"a": {1}}, ".a"),
    "frozenset": (frozenset(), ""),
    "bytes": (b"a", ""),
    "bytearray": (bytearray(b"a"), ""),
    "memoryview": (memoryview(b"a"), ""),
    "Decimal": (Decimal(1), ""),
    "Fraction": (Fraction(1, 2), ""),
    "complex": (1j, ""),
    "UUID": (UUID(int=0), ""),
    "path": (PurePosixPath("a"), ""),
    "enum": (_Plain.ONE, ""),
    "object": (object(), ""),
    "class": (int, ""),
    "function": (len, ""),
    "range": (range(3), ""),
    "generator": ((n for n in range(3)), ""),
    "exception": (ValueError("a"), ""),
    "mark of removal": ([REMOVED], "[0]"),
    "deep inside": ({"a": [0, {"b": [math.nan]}]}, ".a[1].b[0]"),
    "too deep": (nested(codec.MAX_DEPTH + 1), ""),
    "cycle": (_cycle(), ""),
}
"""Values that no store keeps, and where in them the offender stands."""

BAD_IDS: Final[Mapping[str, Any]] = {
    "empty": "",
    "NUL": "a\0b",
    "line feed": "a\n",
    "escape": "\x1b[31m",
    "delete": "\x7f",
    "tab": "\t",
    "256 bytes": "x" * 256,
    "256 bytes in fewer letters": "é" * 128,
    "endless": "x" * 10_000_000,
    "surrogate": "\ud800",
    "nothing": None,
    "number": 1,
    "bytes": b"a",
}
"""What can't be an id."""

_TAILS = (
    " OR 1=1 --",
    "; DROP TABLE sessions; --",
    " UNION SELECT NULL, NULL --",
    "||(SELECT version())||",
    " AND sleep(9)=0 #",
    ") /* ",
    "=1) LIMIT 1; --",
)
INJECTIONS: Final[tuple[str, ...]] = (
    *(f"{quote}{tail}" for quote in ("a'", 'a"', "a`", "a\\'", "a')", 'a")') for tail in _TAILS),
    *(
        "'",
        '"',
        "''",
        '""',
        "`",
        "\\",
        "\\\\",
        "\\'",
        "--",
        "-- ",
        "/*",
        "*/",
        "#",
        ";",
        ";;",
        "\\0",
    ),
    *(
        "%",
        "_",
        "%%",
        "%a%",
        "a%",
        "a_b",
        "*",
        "?",
        "[a-z]",
        "[",
        "]",
        ".*",
        "^a$",
        "a|b",
        "~",
        "!",
    ),
    *("%s", "%d", "%(user)s", "%n", ":user_id", ":1", "?1", "@user", "$1", "${HOME}", "{0}", "{}"),
    *(
        "$user",
        "$$",
        "$gt",
        '{"$ne": null}',
        "true",
        "false",
        "null",
        "NULL",
        "None",
        "0",
        "1",
        "-1",
    ),
    *(
        "1e9",
        "0x10",
        "NaN",
        "undefined",
        ".",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "C:\\a",
        "a/b",
    ),
    *(
        "a:b",
        "a|b|c",
        "a,b",
        "a\u2028b",
        "a b",
        " a",
        "a ",
        "\u00a0",
        "\u200b",
        "\u202ea",
        "<b>",
        "&lt;",
    ),
    *("default", "sessions", "session_id", "rowid", "xp_cmdshell('dir')", "__class__", "{{7*7}}"),
)
"""Ids that mean something to a database, a shell, a file system or a template; nothing to us."""

LOOKALIKES: Final[tuple[str, ...]] = (
    *("a", "A", "a ", " a", "a\u00a0", "a\u200b", "\u0430", "\uff41", "\u00aa", "\u1d43"),
    *("\u00e9", "e\u0301", "e", "E", "\u00df", "ss", "SS", "\u1e9e", "\ufb01", "fi"),
    *(
        "i",
        "I",
        "\u0130",
        "\u0131",
        "\u00c5",
        "\u212b",
        "A\u030a",
        "1",
        "01",
        "1.0",
        "\u0661",
        "\u2460",
    ),
)
"""Ids that one collation or another takes for equal."""
