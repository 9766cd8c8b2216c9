"""The last scene: what the store holds, as a person wants to see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from session_store.demo import checks
from session_store.demo.stage import Stage
from session_store.session import SessionHead, Status

STATUS_COLUMNS: Final = {"status": "<", "conversations": ">", "turns": ">", "longest": ">"}
LONGEST_COLUMNS: Final = {"turns": ">", "longest conversations": "<"}
LONGEST: Final = 3
BIN: Final = 5


def statistics(stage: Stage) -> None:
    screen = stage.screen
    screen.step(
        "What the store holds now",
        "From get_storage_stats() and list_sessions(): no history is read for this.",
    )
    with stage.open() as service:
        stats = service.get_storage_stats()
        heads = [head for page in service.pages() for head in page.sessions]
    checks.equal("listed sessions", len(heads), stats["total_sessions"])
    active = sum(head.status is Status.RUNNING for head in heads)
    checks.equal("active sessions", active, stats["active_sessions"])
    screen.facts(about(stats) | {"written at": f"{stage.rate:,.0f} turns a second"})
    screen.gap()
    screen.table(STATUS_COLUMNS, by_status(heads))
    screen.gap()
    screen.table(LONGEST_COLUMNS, longest(heads))
    screen.gap()
    screen.say("conversations by number of turns")
    screen.chart(by_turns(heads))


def about(stats: Mapping[str, Any]) -> dict[str, str]:
    """The kind of store, its size, and how many sessions it holds."""
    name, size = (
        ("SQLite", stats["db_size_bytes"])
        if stats["storage_type"] == "sqlite"
        else ("JSON file", stats["file_size_bytes"])
    )
    return {
        "store": f"{name}, {size / 1000:,.0f} KB",
        "sessions": f"{stats['total_sessions']:,}, of these {stats['active_sessions']:,} active "
        f"and {stats['expired_sessions']:,} expired",
    }


def by_status(heads: Sequence[SessionHead]) -> list[tuple[str, str, str, str]]:
    return [
        (status.value, f"{len(turns):,}", f"{sum(turns):,}", f"{max(turns):,}")
        for status in Status
        if (turns := [turns_of(head) for head in heads if head.status is status])
    ]


def longest(heads: Iterable[SessionHead]) -> list[tuple[str, str]]:
    most = sorted(heads, key=lambda head: (-turns_of(head), head.session_id))[:LONGEST]
    return [(f"{turns_of(head)}", head.metadata["title"]) for head in most]


def by_turns(heads: Iterable[SessionHead]) -> dict[str, int]:
    """How many conversations have 10-14 turns, 15-19 and so on, the empty ones between too."""
    counts = Counter(turns_of(head) // BIN for head in heads)
    bins = range(min(counts), max(counts) + 1)
    return {f"{number * BIN}-{number * BIN + BIN - 1}": counts[number] for number in bins}


def turns_of(head: SessionHead) -> int:
    """As the writer noted it in the session's state."""
    turns: int = head.state["turns"]
    return turns
