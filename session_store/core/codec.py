"""The only place where JSON text meets objects.

One check stands before every write, the same for all back ends, so that what one of them refuses
none accepts: finite numbers, integers within 64 bits, string keys, no lone surrogates, bounded
depth and size. What is refused names its place, such as ``state.scores[2]``.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec
from pydantic_core import from_json, to_json

from session_store.errors import CorruptStoreError, InvalidValueError, TooLargeError

MAX_DEPTH: Final = 100
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
MAX_ID_BYTES: Final = 255
MAX_KIND_BYTES: Final = 64
MAX_LABEL_BYTES: Final = 1024

_from_iso: Final = datetime.fromisoformat
_TIME_WIDTH: Final = 27
"""Characters of a time as text."""

_by_msgspec: Final = msgspec.json.Decoder().decode

_PLAIN: Final = 64 * 1024
"""Bytes of a value in which each part is looked at wherever it stands."""
_MAX_SEEN: Final = 100_000

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]").search


def encode(value: Any, path: str) -> str:
    """The compact JSON text of a payload; ``InvalidValueError`` names what no back end may keep."""
    return _encode(value, path, depth=0, limit=MAX_PAYLOAD_BYTES)


def encode_document(value: Any, path: str, depth: int = 0) -> str:
    """Like ``encode``, for a document: a JSON object, or one ``depth`` levels down in another.

    Its bounds are tighter, so that a checkpoint of three documents is itself a legal payload.
    """
    if not isinstance(value, dict):
        raise InvalidValueError(path, f"must be a JSON object, not {type(value).__name__}")
    return _encode(value, path, depth + 2, limit=MAX_DOCUMENT_BYTES)


def encode_merged(value: Any, path: str) -> str:
    """Like ``encode_document``, for a document of parts that were checked before: its size only."""
    return _sized(value, path, MAX_DOCUMENT_BYTES)


def encode_agents(value: Any, path: str) -> str:
    """Like ``encode_document``, for documents by the name of an agent, which is an identifier."""
    text = encode_document(value, path)
    for name, document in value.items():
        identifier(name, "agent_name")
        if not isinstance(document, dict):
            problem = f"must be a JSON object, not {type(document).__name__}"
            raise InvalidValueError(f"{path}.{name}", problem)
    return text


def encode_label(value: str | None, path: str) -> str:
    """Like ``encode``, for a short text for people, or none."""
    if value is not None and not isinstance(value, str):
        raise InvalidValueError(path, f"must be a string, not {type(value).__name__}")
    return _encode(value, path, depth=0, limit=MAX_LABEL_BYTES)


def parsed(text: str | bytes) -> Any:
    """Like ``decode``, without a place: ``ValueError`` says that it is no JSON."""
    try:
        return _by_msgspec(text)
    except (msgspec.DecodeError, RecursionError):
        return from_json(text, allow_inf_nan=False)  # says where, and needs none of Python's stack


def decode(text: str | bytes, place: str) -> Any:
    """The value of a JSON text that ``encode`` wrote; anything else is ``CorruptStoreError``."""
    try:
        return parsed(text)
    except ValueError as error:
        raise CorruptStoreError(f"{place} holds no valid JSON: {error}") from None


def identifier(value: Any, path: str, limit: int = MAX_ID_BYTES) -> str:
    """``value``, if it can be an id: 1 to ``limit`` bytes of UTF-8 without control characters."""
    if not isinstance(value, str):
        raise InvalidValueError(path, f"must be a string, not {type(value).__name__}")
    if type(value) is str and value.isascii() and value.isprintable() and 0 < len(value) <= limit:
        return value  # the usual one
    if not value or _byte_length(value, path) > limit:
        raise InvalidValueError(path, f"must have 1 to {limit} bytes")
    if _CONTROL(value):
        raise InvalidValueError(path, "must not hold control characters")
    return str.__str__(value)  # str(value) of a (str, Enum) is the member's name


def utc(value: Any, path: str) -> datetime:
    """``value`` in UTC; a naive time is refused, since nobody can tell what it means."""
    if not isinstance(value, datetime):
        raise InvalidValueError(path, f"must be a datetime, not {type(value).__name__}")
    if value.tzinfo is UTC:
        return value
    if value.utcoffset() is None:
        raise InvalidValueError(path, "must have a time zone, such as datetime.now(UTC)")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidValueError(path, "must lie in the years 1 to 9999 of UTC") from None


def encode_time(value: datetime) -> str:
    """A UTC time as ISO 8601 text of one width, so that text sorts as time does."""
    return value.isoformat("T", "microseconds")[:26] + "Z"


def decode_time(value: Any, place: str) -> datetime:
    """The time that ``encode_time`` wrote."""
    try:
        time = _from_iso(value)
        return time if time.tzinfo is UTC else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise CorruptStoreError(f"{place} holds no valid time") from None


def decode_sorted_time(value: Any, place: str) -> datetime:
    """The same, of text as ``encode_time`` writes it only: another would not sort as time does.

    Of what can be read as a time the marks are looked at, and that it is not 24:00, which Python
    3.14 reads. By a pattern that takes 1.4 times as long, by writing the time anew 5 times.
    """
    try:
        time = _from_iso(value)
        if (
            len(value) == _TIME_WIDTH
            and value[7] == "-"
            and "T" < value[10:13] < "T24"
            and value[19] == "."
            and value[26] == "Z"
        ):
            return time
    except (TypeError, ValueError):
        pass
    decode_time(value, place)
    raise CorruptStoreError(f"{place} is no time as the store writes it")


def encode_cursor(parts: tuple[str, ...]) -> str:
    """An opaque, URL-safe cursor."""
    return base64.urlsafe_b64encode(to_json(parts)).decode()


def decode_cursor(cursor: Any, length: int) -> tuple[str, ...]:
    """The parts of a cursor; what ``encode_cursor`` did not write is ``InvalidValueError``."""
    try:
        parts = parsed(base64.urlsafe_b64decode(cursor))
    except (TypeError, ValueError, binascii.Error):
        parts = None
    if not isinstance(parts, list) or [str] * length != [type(part) for part in parts]:
        raise InvalidValueError("cursor", "is not one that a page returned")
    return tuple(parts)


def _encode(value: Any, path: str, depth: int, limit: int) -> str:
    try:
        budget = _Budget(limit)
        _check(value, depth, budget)
        budget.spend(0)
    except _RefusedError as refused:
        raise refused.kind(path + refused.path, refused.problem) from None
    return _sized(value, path, limit)


def _sized(value: Any, path: str, limit: int) -> str:
    data = to_json(value)
    if len(data) > limit:
        raise TooLargeError(path, f"has {len(data):,} bytes of JSON; the limit is {limit:,}")
    return data.decode()


class _RefusedError(Exception):
    """What is wrong; every level of the value that it leaves adds its step to the path."""

    def __init__(self, problem: str, kind: type[InvalidValueError] = InvalidValueError) -> None:
        self.problem, self.kind, self.path = problem, kind, ""

    def within(self, step: str) -> _RefusedError:
        self.path = step + self.path
        return self


class _Budget:
    """How many bytes a value may take, counted low, before all of it was seen.

    A list that holds one list twice, that one another twice and so on, is small in memory and
    endless as JSON; so is one that holds a long text a million times. Texts only lower ``left``,
    which arrays and objects look at, and who checked the whole.

    ``seen``: parts, how deep they stood and what they took, so that a part in many places is looked
    at once. Not in small values, and not endlessly many.
    """

    __slots__ = ("left", "limit", "plain", "seen")

    def __init__(self, limit: int) -> None:
        self.left = self.limit = limit
        self.plain = limit - _PLAIN
        self.seen: dict[int, tuple[Any, int, int]] = {}

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            problem = f"goes beyond the limit of {self.limit:,} bytes of JSON"
            raise _RefusedError(problem, TooLargeError)


def _check(value: Any, depth: int, budget: _Budget) -> None:
    kind = type(value)
    if kind is str:
        budget.left -= len(value) + 1
        if not value.isascii():
            _check_text(value)
    elif kind is int:
        _check_int(value)
    elif kind is float:
        _check_float(value)
    elif kind is dict:
        (_check_object if budget.left > budget.plain else _check_seen)(value, depth, budget)
    elif kind is list:
        (_check_array if budget.left > budget.plain else _check_seen)(value, depth, budget)
    elif kind is not bool and value is not None:
        _check_subclass(value, depth, budget)


def _check_seen(value: Any, depth: int, budget: _Budget) -> None:
    _, checked_at, size = budget.seen.get(id(value), (None, -1, 0))
    if depth <= checked_at:
        return budget.spend(size)
    before = budget.left
    (_check_object if type(value) is dict else _check_array)(value, depth, budget)
    if len(budget.seen) < _MAX_SEEN:
        budget.seen[id(value)] = value, depth, before - budget.left


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _RefusedError("holds a lone surrogate, which is no valid text") from None


def _check_int(value: int) -> None:
    if not -(2**63) <= value < 2**63:
        raise _RefusedError("is an integer of more than 64 bits; write it as a string")


def _check_float(value: float) -> None:
    if not math.isfinite(value):
        raise _RefusedError(f"is {value}, which JSON has no form for; write None or a string")


def _check_object(value: Mapping[Any, Any], depth: int, budget: _Budget) -> None:
    _check_depth(depth)
    budget.spend(5 * len(value))  # "":0,
    for key, item in value.items():
        if not isinstance(key, str):
            raise _RefusedError(f"has a key of type {type(key).__name__}; JSON keys are strings")
        try:
            budget.left -= len(key)
            if not key.isascii():
                _check_text(key)
            _check(item, depth + 1, budget)
        except _RefusedError as refused:
            raise refused.within(f".{ascii(key)[1:-1][:60]}") from None


def _check_array(value: Sequence[Any], depth: int, budget: _Budget) -> None:
    _check_depth(depth)
    budget.spend(2 * len(value))  # 0,
    for index, item in enumerate(value):
        try:
            _check(item, depth + 1, budget)
        except _RefusedError as refused:
            raise refused.within(f"[{index}]") from None


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _RefusedError(f"is nested deeper than {MAX_DEPTH} levels")


def _check_subclass(value: Any, depth: int, budget: _Budget) -> None:
    """Tuples, and subclasses such as ``StrEnum`` and ``OrderedDict``, are kept as their base."""
    for kind, check in _EXTENSIBLE:
        if isinstance(value, kind):
            return check(value, depth, budget)
    raise _RefusedError(
        f"is a {type(value).__name__}, which is not JSON; convert it first "
        "(isoformat(), str(), model_dump(mode='json'))"
    )


_Check: TypeAlias = Callable[[Any, int, _Budget], None]

_EXTENSIBLE: Final[tuple[tuple[type | tuple[type, ...], _Check], ...]] = (
    (str, lambda value, depth, budget: _check(str.__str__(value), depth, budget)),
    (int, lambda value, *_: _check_int(value)),
    (float, lambda value, *_: _check_float(value)),
    (dict, _check_object),
    ((list, tuple), _check_array),
)


def _byte_length(value: str, path: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(path, "holds a lone surrogate, which is no valid text") from None
