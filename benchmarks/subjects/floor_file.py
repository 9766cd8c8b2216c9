"""The floor of a save to a file: an fsynced atomic replace of as many bytes as ours has."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.content import Document, Key, Seed
from benchmarks.modes import Mode
from benchmarks.subject import Subject
from benchmarks.subjects.by_hand import encoded
from benchmarks.subjects.ours import Ours

READER = """
import json
with open({file!r}, "rb") as file:
    sessions = json.loads(file.read())["sessions"]
entries = sessions["default/{user_id}/{session_id}"]["entries"]
"""


class FileFloor(Subject):
    """Only saves, and a process that reads it all: what is read later is in memory anyway."""

    def __init__(self, mode: Mode, place: str) -> None:
        super().__init__(mode, place)
        self._folder = os.open(place, os.O_RDONLY)
        self._draft, self._file = Path(place, "draft"), Path(place, "floor.json")
        self._content = bytearray()

    def fill(self, seeds: Iterable[Seed]) -> None:
        """Once; what is filled in again is still there."""
        if not self._content:
            ours = Ours(self.mode, self.place)
            ours.fill(seeds)
            ours.close()
            self._content += Path(self.place, "sessions.json").read_bytes()

    def turn(self, held: Key, message: Document) -> None:
        self._content += encoded(message).encode()
        self._save(self._content)

    def set_state(self, held: Key, name: str, value: Document) -> None:
        self._save(self._content)

    def create(self, key: Key) -> None:
        self._save(self._content)

    def delete(self, key: Key) -> None:
        pass

    def remove_expired(self) -> None:
        """A tenth."""
        self._save(memoryview(self._content)[: len(self._content) * 9 // 10])

    def reader(self, key: Key) -> str:
        return READER.format(file=f"{self.place}/sessions.json", **key._asdict())

    def _save(self, content: bytearray | memoryview) -> None:
        with self._draft.open("wb", buffering=0) as draft:
            draft.write(content)
            os.fsync(draft.fileno())
        self._draft.rename(self._file)
        os.fsync(self._folder)

    def close(self) -> None:
        os.close(self._folder)
