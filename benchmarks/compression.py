"""What compressing payloads inside the live store would gain.

    uv run --with chitchat-dataset python -m benchmarks.compression \
        --postgres postgresql://user@host/database

By the conversations of the Chit-Chat data set, or without that package those that come with ours:
their payloads, and texts of several sizes made of them. Each is compressed by itself by zstd, as a
row would be. PostgreSQL compresses what is longer than 2 KB itself; beside it stands what is left.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import cycle

import psycopg

from benchmarks.transfer import talks
from session_store.transfer import files

SIZES = (1000, 4000, 16_000, 64_000)
COUNT = 200


def grown(texts: Sequence[str], size: int) -> list[str]:
    """Payloads of about ``size`` bytes."""
    rest, made = cycle(texts), list[str]()
    for _ in range(COUNT):
        text = ""
        while len(text) < size:
            text += f"{next(rest)} "
        made.append(json.dumps({"role": "tool", "text": text}))
    return made


def compressed(payloads: Sequence[str]) -> int:
    """Bytes, where what would grow is left as it is."""
    compress = files.zstd().compress
    return sum(min(len(one.encode()), len(compress(one.encode()))) for one in payloads)


def in_postgres(url: str, payloads: Sequence[str]) -> int:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TEMPORARY TABLE compressed (payload json)")
        rows = [(one,) for one in payloads]
        connection.cursor().executemany("INSERT INTO compressed VALUES (%s)", rows)
        query = "SELECT sum(pg_column_size(payload)) FROM compressed"
        ((size,),) = connection.execute(query).fetchall()
        connection.rollback()
        return int(size)


def main() -> None:
    parser = argparse.ArgumentParser(description="What compression in the live store would gain.")
    parser.add_argument("--postgres", metavar="URL", help="any database, in which nothing is left")
    options = parser.parse_args()
    texts = [text for talk in talks() for _, text, _ in talk.messages]
    real = [json.dumps({"role": "user", "text": text}) for text in texts]
    for name, payloads in {
        "as they are": real,
        **{f"{size:,} bytes": grown(texts, size) for size in SIZES},
    }.items():
        raw, small = sum(len(one.encode()) for one in payloads), compressed(payloads)
        line = f"{name:14} zstd leaves {small / raw:.2f}"
        if options.postgres and payloads is not real:
            stored = in_postgres(options.postgres, payloads)
            line += f", PostgreSQL by itself {stored / raw:.2f}, zstd of that {small / stored:.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
