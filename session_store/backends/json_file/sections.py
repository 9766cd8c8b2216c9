"""Where the sessions stand in a file, which of them are known, and whether its checksum is right.

No string of JSON holds a line's end, so the marks of sessions are where ``encode`` set them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from session_store.backends.json_file.checksum import CHECKSUM, Text, cut, first_lines
from session_store.backends.json_file.session import Fragment
from session_store.session import SessionKey

COMMA: Final = b",\n"
"""Between two sessions."""

_OPENING: Final = b'\n  "sessions": {\n'
_END: Final = b"\n    }"
_CLOSING: Final = b'\n  },\n  "shared_states": '

Fragments: TypeAlias = Mapping[SessionKey, Fragment]
"""The bytes of each session, and of which state of it: what is the same is not encoded again."""


class Section(NamedTuple):
    """Where a session stands in a file, its text there, and what was known of it before."""

    start: int
    end: int
    text: Text
    known: Fragment | None


def is_intact(data: bytes) -> bool:
    """Whether a file of this format matches its checksum."""
    return is_right(data, sections_of(data, {}))


def sections_of(data: bytes, known: Fragments) -> list[Section]:
    """Where the sessions stand; none, unless they stand as ``encode`` writes them."""
    before = {
        fragment.text.head[: fragment.text.head.find(b"\n")]: fragment
        for fragment in known.values()
    }
    start, end, found = data.find(_OPENING) + len(_OPENING), data.rfind(_CLOSING), list[Section]()
    while len(_OPENING) <= start < end:
        old = before.get(data[start : data.find(b"\n", start)])
        found.append(_section(data, start, end, old))
        stop = found[-1].end
        if stop == end:
            return found
        start = stop + len(COMMA) if data.startswith(COMMA, stop) else end
    return []


def _section(data: bytes, start: int, end: int, old: Fragment | None) -> Section:
    if old and old.text.is_at(start, data):
        return Section(start, start + old.text.size, old.text, old)
    mark = data.find(_END, start, end)
    stop = end if mark < 0 else mark + len(_END)
    return Section(start, stop, cut(data[start:stop]), old)


def is_right(data: bytes, sections: Sequence[Section]) -> bool:
    """Whether the checksum of a file of these sections is that of what it holds."""
    start = _body_of(data)
    return start > 0 and data.startswith(_first_lines(data, start, sections))


def _body_of(data: bytes) -> int:
    line = CHECKSUM.match(data)
    return line.end() if line else 0


def _first_lines(data: bytes, start: int, sections: Sequence[Section]) -> bytes:
    parts = []
    for section in sections:
        parts += [data[start : section.start], section.text.digest]
        start = section.end
    return first_lines([*parts, data[start:]])
