"""What it takes to make the values that a load returns of fields that are right, and to decode
their payloads, by ways to do so.

python benchmarks/values.py
"""

from __future__ import annotations

import json
import statistics
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
from pydantic import TypeAdapter
from pydantic_core import from_json

from session_store.core.records import EntryRecord, to_entries
from session_store.session import Entry

ENTRIES, ROUNDS = 1000, 15
RECORDS = [
    EntryRecord(seq, f"entry-{seq}", "message", '{"role":"user"}', datetime.now(UTC), seq)
    for seq in range(1, ENTRIES + 1)
]
FIELDS = [record._asdict() | {"payload": {"role": "user"}} for record in RECORDS]
CHECKS = TypeAdapter(list[Entry])
TEXTS = [
    f'{{"id":"{uuid4().hex}","ts":1795651406.73,"role":"user","text":"turn {seq}"}}'
    for seq in range(ENTRIES)
]
BY_MSGSPEC = msgspec.json.Decoder().decode

WAYS: dict[str, Callable[[], object]] = {
    "records.to_entries, which decodes the payload too": lambda: to_entries(RECORDS),
    "pydantic's check of all at once": lambda: CHECKS.validate_python(FIELDS),
    "pydantic's check of each": lambda: [Entry.model_validate(each) for each in FIELDS],
    "model_construct": lambda: [Entry.model_construct(**each) for each in FIELDS],
    "decoding by msgspec": lambda: [BY_MSGSPEC(text) for text in TEXTS],
    "decoding by pydantic": lambda: [from_json(text) for text in TEXTS],
    "decoding by json.loads": lambda: [json.loads(text) for text in TEXTS],
}


def main() -> None:
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            took[name].append(timeit.timeit(way, setup="import gc; gc.enable()", number=5) / 5)
    for name, times in took.items():
        middle, low, high = (
            each / ENTRIES * 1e6 for each in (statistics.median(times), min(times), max(times))
        )
        print(f"{name:52} {middle:.2f} us an entry ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
