"""A table fits, and cuts only what may be cut."""

from __future__ import annotations

import pytest

from session_store.cli.table import GAP, Column, fitted

COLUMNS = (Column("ID", whole=True), Column("USER"), Column("N", whole=True), Column("TITLE"))


@pytest.mark.parametrize("needed", [(5, 3, 2, 10), (36, 36, 7, 60), (36, 3, 7, 60), (4, 40, 2, 5)])
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_table_fits_and_whole_columns_stay_whole(needed: tuple[int, ...], width: int) -> None:
    widths = fitted(COLUMNS, needed, width)
    assert (widths[0], widths[2]) == (needed[0], needed[2])
    assert sum(widths) + GAP * (sum(map(bool, widths)) - 1) <= width
    assert all(given <= need for given, need in zip(widths, needed, strict=True))


def test_what_fits_is_not_cut() -> None:
    assert fitted(COLUMNS, (5, 3, 2, 10), 26) == [5, 3, 2, 10]


def test_a_short_column_leaves_its_room_to_a_long_one() -> None:
    assert fitted(COLUMNS, (10, 3, 2, 60), 51) == [10, 3, 2, 30]


def test_the_first_that_may_be_cut_is_left_out_first() -> None:
    assert fitted(COLUMNS, (36, 36, 7, 60), 56) == [36, 0, 7, 9]
    assert fitted(COLUMNS, (36, 36, 7, 60), 50) == [36, 0, 7, 0]
