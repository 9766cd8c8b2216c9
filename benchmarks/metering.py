"""What it costs to be counted through the OpenTelemetry API, with and without its SDK.

    python benchmarks/metering.py [--rounds 200] [--calls 200]

Microseconds that a load from memory, which is the fastest call there is, takes more: the median
over interleaved rounds, and the middle half of all.
"""

from __future__ import annotations

import argparse
import statistics
import time

from opentelemetry.metrics import get_meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from session_store.backends.memory import MemoryRepository
from session_store.repository import SessionRepository
from session_store.service.metrics import Instruments, MeteredRepository
from session_store.testing.given import create, load


def taken(repository: SessionRepository, calls: int) -> float:
    """Microseconds a call."""
    started = time.perf_counter()
    for _ in range(calls):
        load(repository)
    return (time.perf_counter() - started) / calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    provider, plain = MeterProvider([InMemoryMetricReader()]), MemoryRepository()
    create(plain)
    ways = {
        "API": MeteredRepository(plain, "memory", Instruments(get_meter("benchmark"))),
        "API and SDK": MeteredRepository(plain, "memory", Instruments(provider.get_meter("b"))),
    }
    more: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, metered in ways.items():
            without = taken(plain, options.calls)
            more[way].append(taken(metered, options.calls) - without)
    for way, values in more.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{way:12} {middle:+6.1f} µs ({low:+.1f} to {high:+.1f})")
    provider.shutdown()


if __name__ == "__main__":
    main()
