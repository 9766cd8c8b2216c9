"""``python -m tests.fuzz``: a coverage-guided fuzzer on what reads files, for some minutes each.

It needs atheris: ``make fuzz``. A finding ends it with the bytes in a file, to be kept as an
example in ``test_readers``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import atheris

with atheris.instrument_imports(include=["session_store"]):
    from tests.fuzz import readers, strategies

SEEDS: Final[dict[str, Callable[[], list[bytes]]]] = {
    "sessions_file": lambda: [strategies.good_file(), strategies.LEGACY.read_bytes()],
    "archive": lambda: [strategies.good_archive(), strategies.good_file()],
}
WORDS: Final = (
    *("checksum", "format", "session-store/1", "revision", "sessions", "shared_states", "entries"),
    *("payload", "entry_id", "created_at", "metadata", "agent_states", "null", "true", "type"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("reader", nargs="*", help=f"{' or '.join(SEEDS)}; default: one by one")
    parser.add_argument("--minutes", type=float, default=10, help="for each; default: %(default)s")
    chosen = parser.parse_args()
    wanted = chosen.reader or [*SEEDS]
    codes = [_fuzzed(name, chosen.minutes) for name in wanted]
    return max(codes)


def _fuzzed(name: str, minutes: float) -> int:
    """In a process of its own, which the fuzzer ends."""
    with TemporaryDirectory() as directory:
        child = os.fork()
        if child == 0:
            _fuzz(name, minutes, Path(directory))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _fuzz(name: str, minutes: float, directory: Path) -> None:
    corpus, words = directory / "corpus", directory / "words"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[name]()):
        (corpus / f"{number}").write_bytes(seed)
    words.write_text("".join(f'"{word}"\n' for word in WORDS))
    options = (
        f"-max_total_time={minutes * 60:.0f}",
        f"-dict={words}",
        f"-artifact_prefix={name}-",
        "-print_final_stats=1",
        "-verbosity=0",
    )
    atheris.Setup([sys.argv[0], *options, str(corpus)], readers.OF_BYTES[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
