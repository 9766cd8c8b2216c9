"""LangGraph's checkpointers: a turn puts a checkpoint whose list of messages is one longer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from benchmarks.content import Document, Key, Seed
from benchmarks.modes import Mode
from benchmarks.subject import CROWD, Subject
from benchmarks.subjects import peer
from benchmarks.subjects.by_hand import encoded

FIRST = f"{1:032}.0"
INSERT_CHECKPOINT = "INSERT INTO checkpoints VALUES (?, '', ?, NULL, ?, ?, ?)"
INSERT_ON_POSTGRES = """INSERT INTO checkpoints
(thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata) VALUES (?, '', ?, ?, ?)"""
INSERT_BLOB = "INSERT INTO checkpoint_blobs VALUES (?, '', ?, ?, ?, ?)"

ON_SQLITE = """
import sqlite3
from langgraph.checkpoint.sqlite import SqliteSaver
saver = SqliteSaver(sqlite3.connect({place!r}, check_same_thread=False))
found = saver.get_tuple({{"configurable": {{"thread_id": {thread!r}, "checkpoint_ns": ""}}}})
entries = found.checkpoint["channel_values"]["messages"]
"""
ON_POSTGRES = """
from langgraph.checkpoint.postgres import PostgresSaver
with PostgresSaver.from_conn_string({place!r}) as saver:
    found = saver.get_tuple({{"configurable": {{"thread_id": {thread!r}, "checkpoint_ns": ""}}}})
entries = found.checkpoint["channel_values"]["messages"]
"""


class Thread:
    """A thread at its newest checkpoint that this process knows."""

    def __init__(self, config: Document, checkpoint: Any) -> None:
        self.config, self.checkpoint, self.step = config, checkpoint, 0


class OnSqlite(Subject):
    """It sets WAL itself, and leaves ``synchronous`` at FULL."""

    refusals: ClassVar[tuple[type[Exception], ...]] = (sqlite3.OperationalError,)

    def __init__(self, mode: Mode, place: str) -> None:
        super().__init__(mode, place)
        self.saver: Any = self._opened()
        self.saver.setup()

    def _opened(self) -> Any:
        self._connection = sqlite3.connect(peer.file_of(self.place), check_same_thread=False)
        return SqliteSaver(self._connection)

    def fill(self, seeds: Iterable[Seed]) -> None:
        peer.insert(self.mode, self.place, INSERT_CHECKPOINT, map(self._row, seeds))

    def _row(self, seed: Seed) -> Sequence[Any]:
        checkpoint = _checkpoint(seed)
        kind, blob = self.saver.serde.dumps_typed(checkpoint)
        metadata = encoded(_metadata(seed.key, 0)).encode()
        return seed.key.session_id, checkpoint["id"], kind, blob, metadata

    def hold(self, key: Key) -> Thread:
        found = self.saver.get_tuple(_config(key))
        return Thread(found.config, found.checkpoint)

    def turn(self, held: Thread, message: Document) -> None:
        self._put(held, "messages", [*held.checkpoint["channel_values"]["messages"], message])

    def set_state(self, held: Thread, name: str, value: Document) -> None:
        self._put(held, "state", held.checkpoint["channel_values"]["state"] | {name: value})

    def load(self, held: Thread) -> Any:
        thread = Key("", held.config["configurable"]["thread_id"])
        return self.saver.get_tuple(_config(thread)).checkpoint["channel_values"]["messages"]

    def create(self, key: Key) -> None:
        self._put(Thread(_config(key), empty_checkpoint()), "messages", [], key.user_id)

    def newest(self, user_id: str, count: int) -> Any:
        """Checkpoints; here as many as threads."""
        return list(self.saver.list(None, filter={"user_id": user_id}, limit=count))

    def delete(self, key: Key) -> None:
        self.saver.delete_thread(key.session_id)

    def reader(self, key: Key) -> str:
        return ON_SQLITE.format(place=peer.file_of(self.place), thread=key.session_id)

    def count(self, answer: Any) -> int:
        return len(answer)

    def close(self) -> None:
        self._connection.close()

    def _put(self, held: Thread, channel: str, value: Any, user_id: str = "") -> None:
        old = held.checkpoint
        held.step += 1
        version = self.saver.get_next_version(old["channel_versions"].get(channel), None)
        held.checkpoint = old | {
            "id": str(uuid6(clock_seq=held.step)),
            "ts": datetime.now(UTC).isoformat(),
            "channel_values": old["channel_values"] | {channel: value},
            "channel_versions": old["channel_versions"] | {channel: version},
        }
        metadata = _metadata(Key(user_id, ""), held.step)
        held.config = self.saver.put(held.config, held.checkpoint, metadata, {channel: version})


class OnPostgres(OnSqlite):
    refusals = ()

    def _opened(self) -> Any:
        settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self._pool = ConnectionPool(
            self.place, min_size=1, max_size=CROWD, kwargs=settings, open=True
        )
        return PostgresSaver(self._pool)

    def fill(self, seeds: Iterable[Seed]) -> None:
        checkpoints, blobs = list[Sequence[Any]](), list[Sequence[Any]]()
        for seed in seeds:
            checkpoint, thread = _checkpoint(seed), seed.key.session_id
            for channel, value in checkpoint["channel_values"].items():
                typed = self.saver.serde.dumps_typed(value)
                blobs.append((thread, channel, FIRST, *typed))
            text = encoded(checkpoint | {"channel_values": {}})
            metadata = encoded(_metadata(seed.key, 0))
            checkpoints.append((thread, checkpoint["id"], text, metadata))
        peer.insert(self.mode, self.place, INSERT_ON_POSTGRES, checkpoints)
        peer.insert(self.mode, self.place, INSERT_BLOB, blobs)

    def reader(self, key: Key) -> str:
        return ON_POSTGRES.format(place=self.place, thread=key.session_id)

    def close(self) -> None:
        self._pool.close()


def _config(key: Key) -> Document:
    return {"configurable": {"thread_id": key.session_id, "checkpoint_ns": ""}}


def _metadata(key: Key, step: int) -> Document:
    return {"source": "loop", "step": step, "user_id": key.user_id}


def _checkpoint(seed: Seed) -> Any:
    return empty_checkpoint() | {
        "ts": datetime.fromtimestamp(seed.updated, UTC).isoformat(),
        "channel_versions": {"messages": FIRST, "state": FIRST},
        "channel_values": {"messages": seed.entries, "state": seed.state},
    }
