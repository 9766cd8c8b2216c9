"""JSON text, times, ids and cursors: what goes through comes back, the rest is refused."""

from __future__ import annotations

import inspect
import json
import math
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.core import codec
from session_store.errors import (
    CorruptStoreError,
    InvalidValueError,
    SessionStoreError,
    TooLargeError,
)
from session_store.testing.oddities import BAD_IDS, REFUSED, VALUES, nested
from tests.strategies import documents, identifiers, json_values, times


def nested_text(depth: int) -> str:
    return "[" * depth + "]" * depth


NO_JSON: list[str | bytes] = [
    *("", " ", "\0", "{", '{"a":1', '{"a":1}x', "[1,]", "1 2", "nul", "'a'", "{a:1}"),
    *("NaN", "[Infinity]", "-Infinity", '"\\ud800"', "[" * 100_000, nested_text(100_000)),
    *(b"\xff", b'"\xed\xa0\x80"'),
]


class Fruit(str, Enum):  # noqa: UP042 - the older way, whose str() is not its value
    APPLE = "apple"


class TestEncode:
    @given(json_values)
    def test_every_json_value_comes_back_exactly(self, value: Any) -> None:
        assert repr(codec.decode(codec.encode(value, "v"), "v")) == repr(value)

    @given(json_values)
    def test_every_json_reader_reads_the_same(self, value: Any) -> None:
        assert repr(json.loads(codec.encode(value, "v"))) == repr(value)

    @given(documents)
    def test_a_document_is_encoded_like_a_payload(self, document: dict[str, Any]) -> None:
        assert codec.encode_document(document, "d") == codec.encode(document, "d")

    @pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
    def test_an_odd_value_comes_back_exactly(self, value: Any) -> None:
        assert repr(codec.decode(codec.encode(value, "v"), "v")) == repr(value)

    def test_text_is_compact_and_keeps_the_order_of_keys(self) -> None:
        assert codec.encode({"b": [1, 1.0], "a": "é"}, "v") == '{"b":[1,1.0],"a":"é"}'

    @pytest.mark.parametrize(("value", "path"), REFUSED.values(), ids=list(REFUSED))
    def test_what_is_no_json_is_refused_with_its_place(self, value: Any, path: str) -> None:
        with pytest.raises(InvalidValueError) as raised:
            codec.encode({"a": [0, value]}, "v")
        assert raised.value.path.startswith("v.a[1]" + path)

    @given(st.lists(st.integers(0, 9) | st.text(st.characters(codec="ascii"), max_size=5)))
    def test_the_path_leads_to_the_offender(self, steps: list[int | str]) -> None:
        value: Any = math.nan
        for step in reversed(steps):
            value = {step: value} if isinstance(step, str) else [0] * step + [value]
        with pytest.raises(InvalidValueError) as raised:
            codec.encode(value, "v")
        path = "".join(f".{ascii(s)[1:-1]}" if isinstance(s, str) else f"[{s}]" for s in steps)
        assert raised.value.path == "v" + path

    def test_a_path_is_short_and_ascii_whatever_the_keys(self) -> None:
        with pytest.raises(InvalidValueError) as raised:
            codec.encode({"é" * 10_000: {"\ud800": math.nan}}, "v")
        assert raised.value.path.isascii()
        assert len(raised.value.path) < 100

    def test_a_refusal_does_not_repeat_the_value(self) -> None:
        for secret in ("hunter2\ud800", [b"hunter2"], {"a": {"hunter2"}}):
            with pytest.raises(InvalidValueError) as raised:
                codec.encode(secret, "v")
            assert "hunter2" not in str(raised.value)

    def test_depth_is_bounded(self) -> None:
        codec.encode(nested(codec.MAX_DEPTH), "v")
        codec.encode_document({"a": nested(codec.MAX_DEPTH - 3)}, "d")
        with pytest.raises(InvalidValueError):
            codec.encode(nested(codec.MAX_DEPTH + 1), "v")
        with pytest.raises(InvalidValueError):
            codec.encode_document({"a": nested(codec.MAX_DEPTH - 2)}, "d")

    @pytest.mark.parametrize("letter", ["a", "é", "\U0001f600", "\0"], ids=ascii)
    def test_size_is_bounded_in_bytes(self, letter: str) -> None:
        size = len(codec.encode(letter, "v").encode()) - 2
        room = (codec.MAX_PAYLOAD_BYTES - 2) // size
        codec.encode(letter * room, "v")
        with pytest.raises(InvalidValueError):
            codec.encode(letter * (room + 1), "v")

    @pytest.mark.parametrize("wrap", [lambda v: [v, v], lambda v: {"a": v, "b": v, "c": v}])
    def test_a_small_value_that_is_endless_as_json_is_refused(
        self, wrap: Callable[[Any], Any]
    ) -> None:
        value: Any = "a"
        for _ in range(90):
            value = wrap(value)
        with pytest.raises(TooLargeError, match="limit"):
            codec.encode_document({"v": value}, "d")

    @pytest.mark.parametrize("repeated", ["x" * 100_000, {"x" * 100_000: 0}], ids=["text", "key"])
    def test_a_long_text_that_is_held_a_million_times_is_refused(self, repeated: Any) -> None:
        """Before its JSON is made, which would have 100 GB."""
        with pytest.raises(InvalidValueError, match="limit"):
            codec.encode([repeated] * 1_000_000, "v")

    @pytest.mark.parametrize("first", [1, 5])
    def test_a_part_in_two_places_is_looked_at_for_the_deeper_one(self, first: int) -> None:
        part = nested(codec.MAX_DEPTH - 4)
        places = [nested(first, part), nested(6 - first, part)]
        with pytest.raises(InvalidValueError, match="nested deeper"):
            codec.encode(["x" * 100_000, *places], "v")

    def test_a_part_in_many_places_is_written_in_each(self) -> None:
        part = {"a": [1, "é"]}
        value = ["x" * 100_000, *[part, [part]] * 1000]
        assert codec.decode(codec.encode(value, "v"), "v") == value

    def test_the_budget_refuses_nothing_that_fits(self) -> None:
        for value, size in (([], 3), (0, 2)):
            number = (codec.MAX_DOCUMENT_BYTES - 7) // size
            text = codec.encode_document({"a": [value] * number}, "d")
            assert len(text) > codec.MAX_DOCUMENT_BYTES - size

    @pytest.mark.parametrize("value", [None, 1, "a", [], [("a", 1)]], ids=repr)
    def test_a_document_is_an_object(self, value: object) -> None:
        with pytest.raises(InvalidValueError, match="JSON object"):
            codec.encode_document(value, "d")

    @pytest.mark.parametrize("name", [bad for bad in BAD_IDS.values() if isinstance(bad, str)])
    def test_an_agent_has_a_name_that_can_be_an_id(self, name: str) -> None:
        with pytest.raises(InvalidValueError):
            codec.encode_agents({name: {}}, "agent_states")

    def test_a_label_is_a_short_text_or_none(self) -> None:
        assert codec.encode_label(None, "label") == "null"
        assert codec.encode_label("vor\n„Prüfung“", "label") == '"vor\\n„Prüfung“"'
        codec.encode_label("x" * (codec.MAX_LABEL_BYTES - 2), "label")
        with pytest.raises(InvalidValueError):
            codec.encode_label("x" * (codec.MAX_LABEL_BYTES - 1), "label")


class TestDecode:
    @pytest.mark.parametrize("text", NO_JSON, ids=lambda text: ascii(text)[:20])
    def test_what_is_no_json_is_corrupt(self, text: str | bytes) -> None:
        with pytest.raises(CorruptStoreError, match="the place"):
            codec.decode(text, "the place")

    def test_the_error_does_not_repeat_the_text(self) -> None:
        with pytest.raises(CorruptStoreError) as raised:
            codec.decode('{"hunter2": hunter2', "the place")
        assert "hunter2" not in str(raised.value)
        assert raised.value.__cause__ is None

    def test_a_caller_deep_in_his_own_stack_is_answered_too(self) -> None:
        deepest = nested_text(codec.MAX_DEPTH)

        def below(levels: int) -> Any:
            return below(levels - 1) if levels else codec.decode(deepest, "the place")

        levels = sys.getrecursionlimit() - len(inspect.stack()) - codec.MAX_DEPTH // 2
        assert below(levels) == codec.decode(deepest, "the place")

    @given(st.binary() | st.text())
    def test_any_text_is_decoded_or_corrupt(self, text: str | bytes) -> None:
        with suppress(CorruptStoreError):
            codec.decode(text, "the place")


class TestIdentifier:
    @given(st.text(st.characters(), max_size=300))
    def test_a_text_is_an_id_as_it_is_or_is_refused(self, text: str) -> None:
        surrogate = any("\ud800" <= letter <= "\udfff" for letter in text)
        control = any(letter < " " or letter == "\x7f" for letter in text)
        long = not surrogate and len(text.encode()) > codec.MAX_ID_BYTES
        if not text or surrogate or control or long:
            with pytest.raises(InvalidValueError):
                codec.identifier(text, "id")
        else:
            assert codec.identifier(text, "id") == text

    @pytest.mark.parametrize("bad", BAD_IDS.values(), ids=list(BAD_IDS))
    def test_what_cannot_be_an_id_is_refused_with_its_place(self, bad: Any) -> None:
        with pytest.raises(InvalidValueError) as raised:
            codec.identifier(bad, "user_id")
        assert raised.value.path == "user_id"

    def test_a_member_of_an_enum_stands_for_its_text(self) -> None:
        found = codec.identifier(Fruit.APPLE, "id")
        assert (found, type(found)) == ("apple", str)


class TestTimes:
    @given(times)
    def test_a_time_comes_back(self, time: datetime) -> None:
        assert codec.decode_time(codec.encode_time(time), "t") == time

    @given(times)
    def test_a_stored_time_comes_back_as_one_that_sorts(self, time: datetime) -> None:
        assert codec.decode_sorted_time(codec.encode_time(time), "t") == time

    def test_what_reads_as_one_that_sorts_is_written_so(self) -> None:
        chance, seen = random.Random(1), 0
        for _ in range(50_000):
            text = list("2026-01-02T03:04:05.123456Z")
            for _ in range(chance.randint(1, 6)):
                text[chance.randrange(len(text))] = chance.choice("0123456789-:.,TZ+Wz t/")
            with suppress(CorruptStoreError):
                time = codec.decode_sorted_time("".join(text), "t")
                assert codec.encode_time(time) == "".join(text)
                seen += 1
        assert seen > 1000

    @given(times, times)
    def test_texts_sort_as_their_times(self, one: datetime, two: datetime) -> None:
        texts = codec.encode_time(one), codec.encode_time(two)
        assert (texts[0] < texts[1], texts[0] == texts[1]) == (one < two, one == two)
        assert {len(text) for text in texts} == {27}

    @given(st.datetimes(timezones=st.integers(-23, 23).map(lambda h: timezone(timedelta(hours=h)))))
    def test_any_aware_time_is_the_same_instant_in_utc_or_out_of_range(
        self, time: datetime
    ) -> None:
        try:
            found = codec.utc(time, "t")
        except InvalidValueError:
            assert time.year in (1, 9999)
        else:
            assert (found, found.tzinfo) == (time, UTC)

    @pytest.mark.parametrize(
        "value",
        [datetime.now(UTC).replace(tzinfo=None), None, "2024-01-01T00:00:00Z", 0],
        ids=["naive", "nothing", "text", "number"],
    )
    def test_what_is_no_aware_time_is_refused(self, value: object) -> None:
        with pytest.raises(InvalidValueError) as raised:
            codec.utc(value, "created_at")
        assert raised.value.path == "created_at"

    @pytest.mark.parametrize(
        "text", ["", "yesterday", "2024-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", None, 5]
    )
    def test_what_is_no_time_is_corrupt(self, text: Any) -> None:
        with pytest.raises(CorruptStoreError, match="created_at"):
            codec.decode_time(text, "created_at")


class TestCursors:
    @given(st.lists(st.text(), max_size=5))
    def test_a_cursor_comes_back(self, parts: list[str]) -> None:
        cursor = codec.encode_cursor(tuple(parts))
        assert codec.decode_cursor(cursor, len(parts)) == tuple(parts)
        assert cursor.replace("-", "").replace("_", "").replace("=", "a").isalnum() or not cursor

    @given(st.text() | st.binary() | st.none() | st.integers())
    def test_anything_else_is_refused(self, cursor: object) -> None:
        with pytest.raises(InvalidValueError) as raised:
            codec.decode_cursor(cursor, 4)
        assert raised.value.path == "cursor"

    @given(st.lists(identifiers, min_size=1, max_size=4))
    def test_a_cursor_of_another_length_is_refused(self, parts: list[str]) -> None:
        with pytest.raises(SessionStoreError):
            codec.decode_cursor(codec.encode_cursor(tuple(parts)), len(parts) + 1)
