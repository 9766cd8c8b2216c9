"""Whose sessions a request may name: the one place that decides it, and it never falls open.

What only looks at the request is ``async``: FastAPI gives any other dependency a thread.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from fastapi import Depends, HTTPException, Query
from fastapi.params import Depends as Dependency


class Who(TypedDict):
    """What the service is told about the owner of a session; ``None``: whoever has that id."""

    app_name: str
    user_id: str | None


def anyone(app_name: str) -> Any:
    """The request says whose session it means, where the id alone does not."""

    async def who(
        user_id: Annotated[
            str | None,
            Query(description="Whose session, where several users hold this id"),
        ] = None,
    ) -> Who:
        return Who(app_name=app_name, user_id=user_id)

    return Depends(who)


def confined(app_name: str, user_id: Dependency) -> Any:
    """The application's dependency says whose, and nothing in the request can."""

    async def who(user: Any = user_id) -> Who:
        return Who(app_name=app_name, user_id=_checked(user))

    return Depends(who)


def _checked(user: Any) -> str:
    """No user must not mean: any."""
    if user is None or user == "":
        raise HTTPException(401, "Not authenticated")
    if not isinstance(user, str):
        raise TypeError(
            f"the user_id dependency of session_router returned {type(user).__name__}; "
            "it must return the user's id as a string"
        )
    return user
