"""Routes for operators: statistics, cleanup, health."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from session_store.fastapi.health import HealthCheck
from session_store.fastapi.models import CleanupView, HealthView, StatsView
from session_store.fastapi.paths import HEALTH, STATS
from session_store.fastapi.problems import documented
from session_store.fastapi.reading import as_json
from session_store.service import SessionService


def add_operating(router: APIRouter, service: SessionService) -> None:
    @router.get(
        f"/{STATS}",
        operation_id="get_storage_stats",
        summary="Get storage statistics",
        response_model=StatsView,
        response_model_exclude_unset=True,
        responses=documented(),
    )
    def get_storage_stats() -> StatsView:
        """Where the sessions lie, how many there are, how large the store is. Cheap at any size."""
        return StatsView.model_construct(**service.get_storage_stats())

    @router.post(
        "/cleanup",
        operation_id="cleanup_expired_sessions",
        summary="Remove expired sessions",
        response_model=CleanupView,
        responses=documented(),
    )
    def cleanup_expired_sessions(
        max_age_hours: Annotated[
            float | None,
            Query(
                ge=0,
                allow_inf_nan=False,
                description="Remove those idle, or by the policy old, for so many hours; 0: all",
            ),
        ] = None,
    ) -> CleanupView:
        """Remove what has expired now, in batches; the store does so by itself every hour."""
        return CleanupView(removed=service.cleanup_expired_sessions(max_age_hours))


def add_health(router: APIRouter, service: SessionService) -> None:
    health = HealthCheck(service)
    failing = {"model": HealthView, "description": "A write would fail now, or the cleanup does"}

    @router.get(
        f"/{HEALTH}",
        operation_id="get_health",
        summary="Is the store well?",
        response_model=HealthView,
        responses={503: failing},
    )
    def get_health() -> Response:
        """Whether a write would be stored now, and all that is wrong with the store.

        Bounded in time. Use it to decide whether a process gets requests (readiness), not whether
        it is to be killed: a new process would find the same full disk.
        """
        found = health.view()
        return as_json(found, status=200 if found.status == "ok" else 503)
