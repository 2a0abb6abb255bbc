"""Limits, margin levels and killed sessions from the database to the edge. Put here: publishing a tenant's. Keep out: rights
(rights_publishing.py), how Redis holds them (access_state.py).

Each is read and written under a lock of its tenant, so of two publishers the later one read what stands.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from redis import Redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from storage import access_state
from storage.database import lock_id, session_scope
from storage.repositories.limits import killed_sessions, margin_levels, tenant_limits


def publish_held_back(database: Engine, redis: Redis, tenant_id: str, as_of: datetime) -> None:
    """All of it."""
    publish_limits(database, redis, tenant_id)
    publish_margins(database, redis, tenant_id)
    publish_killed(database, redis, tenant_id, as_of)


def publish_limits(database: Engine, redis: Redis, tenant_id: str) -> None:
    """The tenant's limits of requests; its version is raised if they differ."""
    with session_scope(database) as session:
        _lock(session, tenant_id)
        access_state.set_limits(redis, tenant_id, tenant_limits(session, tenant_id))


def publish_margins(
    database: Engine, redis: Redis, tenant_id: str, customers: Collection[str] | None = None
) -> None:
    """The margin levels of these customers; None: of all, and nobody else's."""
    with session_scope(database) as session:
        _lock(session, tenant_id)
        levels = margin_levels(session, tenant_id, customers)
        known = access_state.margins_known(redis, tenant_id) if customers is None else customers
        access_state.set_margins(redis, tenant_id, {**dict.fromkeys(known), **levels})


def publish_killed(database: Engine, redis: Redis, tenant_id: str, as_of: datetime) -> None:
    """The sessions that are to be stopped; those killed at the edge stay so."""
    with session_scope(database) as session:
        access_state.kill_sessions(redis, tenant_id, killed_sessions(session, tenant_id, as_of))


def _lock(session: Session, tenant_id: str) -> None:
    session.execute(
        text("SELECT pg_advisory_xact_lock(:id)"), {"id": lock_id(f"aforo:held-back:{tenant_id}")}
    )
