"""The rows of a table that can still be read, and which can't.

A damaged page ends a scan with an error. So the scan goes on after the first number from which it
can: that is found by steps of twice the size, and then by halves, in a few dozen questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from session_store.errors import CorruptStoreError

Row: TypeAlias = tuple[Any, ...]

Ask: TypeAlias = Callable[[Mapping[str, Any]], list[Row]]
"""The rows of a statement with these values; ``CorruptStoreError`` where it meets a damaged page.
"""

Lost: TypeAlias = Callable[[int, int | None], None]
"""Told of the first and the last number of rows that can't be read; ``None``: all from there on."""

PAGE: Final = 1000
_END: Final = 2**62
_LAST: Final = 2**63 - 1


class Scan(NamedTuple):
    """Of rows whose first column is their number: ``ask`` finds up to ``limit`` of them, in its
    order, with a number greater than ``after``; ``values`` are what it takes beside these."""

    ask: Ask
    values: Mapping[str, Any]

    def rows(self, lost: Lost, after: int = 0) -> Iterator[Row]:
        """Each row that can be read, by its number."""
        limit = PAGE
        while True:
            try:
                page = self.page(after, limit)
            except CorruptStoreError:
                if limit > 1:
                    limit = max(1, limit // 10)
                    continue
                following = self._following(after)
                lost(after + 1, following and following - 1)
                if following is None:
                    return
                after = following - 1
                continue
            yield from page
            if len(page) < limit:
                return
            after, limit = page[-1][0], min(PAGE, limit * 2)

    def page(self, after: int, limit: int) -> list[Row]:
        """Damaged pages may give numbers in no order, on which no scan could go on."""
        values = {**self.values, "after": min(after, _LAST), "limit": limit}
        page = self.ask(values)
        numbers = [after, *(row[0] for row in page)]
        if any(type(n) is not int for n in numbers) or sorted(set(numbers)) != numbers:
            raise CorruptStoreError("rows are out of order")
        return page

    def _following(self, after: int) -> int | None:
        """The number of the first readable row after those that can't be read."""
        step = 1
        while step < _END and not self._is_readable(after + step):
            step *= 2
        low, high = step // 2, step
        while high - low > 1:
            middle = (low + high) // 2
            if self._is_readable(after + middle):
                high = middle
            else:
                low = middle
        try:
            found = self.page(after + high, 1)
        except CorruptStoreError:
            return None
        return int(found[0][0]) if found else None

    def _is_readable(self, after: int) -> bool:
        """Whether there is an answer, if only that nothing is there."""
        try:
            self.page(after, 1)
        except CorruptStoreError:
            return False
        return True
