"""The models in an ``AsyncSession``, on each driver that SQLAlchemy has for the two databases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.exc import StaleDataError

from session_store import ModelWriteError
from session_store.models import EntryRow, SessionRow
from tests.models.places import ZONE, Place, prepared
from tests.models.test_both_directions import END, ODD, PAYLOADS, exact


def engine_of(at: Place, driver: str) -> AsyncEngine:
    settings: dict[str, Any] = {
        "psycopg": {"options": ZONE},
        "asyncpg": {"server_settings": {"timezone": ZONE.partition("=")[2]}},
    }
    return create_async_engine(at.async_url(driver), connect_args=settings.get(driver, {}))


@pytest.fixture(params=["aiosqlite", "psycopg", "asyncpg"])
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


@pytest.fixture
def there(request: pytest.FixtureRequest, driver: str) -> Iterator[Place]:
    with prepared("sqlite" if driver == "aiosqlite" else "postgresql", request) as made:
        yield made


def test_both_directions(there: Place, driver: str) -> None:
    async def write_and_read() -> None:
        engine = engine_of(there, driver)
        async with AsyncSession(engine, expire_on_commit=False) as db:
            row = (await db.scalars(select(SessionRow))).one()
            assert exact(dict(row.state)) == exact(ODD)
            assert (row.expires_at, row.created_at.tzinfo) == (END, UTC)
            row.state["q"] = 1
            db.add(SessionRow(user_id="bob", session_id="s2", state=ODD, expires_at=END))
            await db.commit()
            asked = (
                select(SessionRow)
                .where(SessionRow.state["q"].as_integer() == 1)
                .options(selectinload(SessionRow.entries))
            )
            (row,) = (await db.scalars(asked)).all()
            assert exact([entry.payload for entry in row.entries]) == exact(PAYLOADS)
            db.add(EntryRow(session_row_id=row.id, seq=99))
            with pytest.raises(ModelWriteError):
                await db.commit()
            await db.rollback()
            with pytest.raises(ModelWriteError):
                await db.execute(delete(SessionRow))
        await engine.dispose()

    with there.service() as service:
        service.create_session(user_id="ada", session_id="s1", state=ODD, expires_at=END)
        service.append("s1", PAYLOADS)
        asyncio.run(write_and_read())
        assert service.get_session("s1").state == {**ODD, "q": 1}
        made = service.get_session("s2")
        assert (exact(made.state), made.expires_at, made.version) == (exact(ODD), END, 1)


def test_races(there: Place, driver: str) -> None:
    with there.service() as service:
        service.create_session(user_id="ada", session_id="s1")

        async def lose() -> None:
            engine = engine_of(there, driver)
            async with AsyncSession(engine, expire_on_commit=False) as db:
                row = (await db.scalars(select(SessionRow))).one()
                await asyncio.to_thread(service.update_state, "s1", {"a": 1})
                row.state["b"] = 1
                with pytest.raises(StaleDataError):
                    await db.commit()
            await engine.dispose()

        asyncio.run(lose())
        assert service.get_session("s1").state == {"a": 1}
