"""Headers that say on which state a request builds, and whether it was sent before.

The entity tag of a session is its version: ``ETag: "7"``.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from fastapi import Header

from session_store.errors import InvalidValueError

_TAG: Final = re.compile(r'(?:W/)?"(\d{1,18})"')
"""A proxy that compresses makes a tag weak; the version that it names is the same."""

IfMatch: TypeAlias = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The `ETag` that the change builds on; 412 when the session has changed since.",
        examples=['"7"'],
    ),
]
IfNoneMatch: TypeAlias = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="The `ETag` that the caller has; 304 when the session is still the same.",
        examples=['"7"'],
    ),
]
IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The `entry_id` of what is appended. Sent again with the same key, it is "
        "stored once, and answered as the first time.",
        examples=["turn-7"],
    ),
]


def etag(version: int) -> str:
    return f'"{version}"'


def expected_version(if_match: str | None, in_body: int | None = None) -> int | None:
    """The version that a request builds on; ``None``: whatever it is."""
    if if_match is None or if_match.strip() == "*":
        return in_body
    if in_body is not None:
        raise InvalidValueError("expected_version", "is given twice: in If-Match and in the body")
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidValueError("If-Match", 'must be one ETag, such as "7", or *')
    return int(found[1])


def is_known(if_none_match: str | None, version: int) -> bool:
    """Whether the caller has this version already."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or str(version) in _TAG.findall(if_none_match)


def entry_id(key: str | None, in_body: str | None = None) -> str | None:
    """The id under which a repetition is recognised; the header may be a quoted string."""
    if key is None:
        return in_body
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if in_body not in (None, key):
        raise InvalidValueError("Idempotency-Key", "is not the id in the body; give one of them")
    return key
