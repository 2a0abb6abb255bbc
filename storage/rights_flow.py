"""Rights flow to the edge by themselves. Put here: taking changes from the outbox and publishing them, in the background.
Keep out: what is published (rights_publishing.py), what is written to the outbox (the triggers of storage/migrations/rights.py).

A change of rights writes to `rights_outbox` in its own transaction, so a publisher that dies loses nothing: its rows are taken
up by the next one. Any number of publishers may run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, delete, func, or_, select, update
from sqlalchemy.orm import Session

from domain.errors import TransientFailure
from storage import hot_state
from storage.connections import connect
from storage.database import make_engine, session_scope
from storage.edge_acts import record_edge_acts
from storage.limits_publishing import publish_killed, publish_limits, publish_margins
from storage.regions import Region, other_regions
from storage.repositories.keys import ApiKeys
from storage.repositories.rights import customers_of_offerings
from storage.rights_publishing import Publisher, publish_all
from storage.tables.keys import RightsOutboxRow

log = logging.getLogger(__name__)
CHANNEL = "aforo_rights"
SMALL = ("UNITS", "CUSTOMER", "ACCESSOR", "KEY", "SOURCE", "LIMITS", "MARGIN", "SESSION")
LARGE = ("OFFERING", "TENANT")
"""What may touch a hundred thousand customers has its own publisher, so that nothing small waits behind it."""
_AT_ONCE = 1000
_RETRY = timedelta(seconds=5)


class RightsFlow:
    """Two threads, from `start` to `stop`. poll_seconds: how often the outbox is looked at without being called."""

    def __init__(self, database_url: str, redis_url: str, *, poll_seconds: float = 1.0) -> None:
        self._url = database_url
        self._redis_url = redis_url
        self._poll = poll_seconds
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start publishing; returns at once."""
        for kinds in (SMALL, LARGE):
            name = f"rights-{kinds[0].lower()}"
            thread = threading.Thread(target=self._run, args=(kinds,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, seconds: float = 5.0) -> None:
        """Finish what is being published and end."""
        self._stop.set()
        with suppress(psycopg.Error), psycopg.connect(self._url, autocommit=True, connect_timeout=1) as call:
            call.execute(f"NOTIFY {CHANNEL}")  # wakes whoever waits for the next change
        for thread in self._threads:
            thread.join(seconds)

    def _run(self, kinds: Sequence[str]) -> None:
        engine = make_engine(self._url, pool_size=2)
        others = other_regions()
        while not self._stop.is_set():
            try:
                with connect(self._redis_url, socket_timeout=10, socket_connect_timeout=2) as redis:
                    self._listen(engine, redis, kinds, others)
            except (psycopg.Error, RedisError, TransientFailure, OSError) as error:
                log.warning("rights are not published at the moment: %s", error)
                self._stop.wait(self._poll)
            except Exception:
                log.exception("rights are not published at the moment")
                self._stop.wait(self._poll)
        engine.dispose()

    def _listen(self, engine: Engine, redis: Redis, kinds: Sequence[str], others: Sequence[Region]) -> None:
        with psycopg.connect(self._url, autocommit=True) as called:
            called.execute(f"LISTEN {CHANNEL}")
            while not self._stop.is_set():
                if kinds is LARGE:
                    for region in others:
                        region.does(lambda found: rebuild_if_lost(engine, found))
                    rebuild_if_lost(engine, redis)
                else:
                    for region in others:
                        region.does(lambda found: record_edge_acts(engine, found))
                    record_edge_acts(engine, redis)
                # What is committed from here on calls again; only a full batch means that more may be waiting.
                while not self._stop.is_set() and publish_changes(engine, redis, kinds, others) >= _AT_ONCE:
                    pass
                self._wait(called, "LARGE" if kinds is LARGE else "SMALL")

    def _wait(self, called: psycopg.Connection, calls: str) -> None:
        """Until somebody calls, for half a second at most. calls: what this publisher is called by; calls for the other are passed over."""
        deadline = time.monotonic() + min(self._poll, 0.5)
        other = {"LARGE", "SMALL"} - {calls}
        while (left := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            called_for = {call.payload for call in called.notifies(timeout=left, stop_after=1)}
            if called_for - other:
                return


def publish_changes(
    engine: Engine, redis: Redis, kinds: Sequence[str] = SMALL + LARGE, others: Sequence[Region] = ()
) -> int:
    """Publish the oldest changes in the outbox, merged; returns how many rows that were, 0: there was nothing to do.

    A tenant whose rights cannot be published is tried again later, and no other tenant waits for it; nor does
    this region for others, to which a change is published again until all of them have it. Raises Redis' errors and DatabaseUnavailable; then nothing is taken from the outbox.
    """
    with session_scope(engine) as session:
        rows = _taken(session, kinds)
        by_tenant: dict[str, list[RightsOutboxRow]] = defaultdict(list)
        for row in rows:
            by_tenant[row.tenant_id].append(row)
        for tenant_id, changes in by_tenant.items():
            ids = [row.id for row in changes]
            mine = (RightsOutboxRow.tenant_id == tenant_id, RightsOutboxRow.id.in_(ids))
            try:
                everywhere = _publish_elsewhere(engine, others, tenant_id, changes)
                _publish(engine, redis, tenant_id, changes)
            except (RedisError, OSError):
                raise
            except Exception:
                log.exception("rights of tenant %s could not be published; trying again soon", tenant_id)
                session.execute(update(RightsOutboxRow).where(*mine).values(retry_at=func.now() + _RETRY))
            else:
                if not everywhere:
                    session.execute(update(RightsOutboxRow).where(*mine).values(retry_at=func.now() + _RETRY))
                    continue
                session.execute(delete(RightsOutboxRow).where(*mine))
        return len(rows)


def rebuild_if_lost(engine: Engine, redis: Redis) -> bool:
    """Make hot state anew if Redis was lost; whether it was."""
    if redis.exists(hot_state.PUBLISHED):
        return False
    tenants = sum(1 for _ in publish_all(engine, redis, as_of=datetime.now(UTC)))
    if tenants:
        log.warning("hot state was not there; the rights of %s tenants were published anew", tenants)
    return tenants > 0


def _taken(session: Session, kinds: Sequence[str]) -> list[RightsOutboxRow]:
    """Changes no other publisher holds."""
    due = or_(RightsOutboxRow.retry_at.is_(None), RightsOutboxRow.retry_at <= func.now())
    query = select(RightsOutboxRow).where(RightsOutboxRow.kind.in_(kinds), due).order_by(RightsOutboxRow.id)
    return list(session.scalars(query.limit(_AT_ONCE).with_for_update(skip_locked=True)))


def _publish_elsewhere(
    engine: Engine, others: Sequence[Region], tenant_id: str, changes: Collection[RightsOutboxRow]
) -> bool:
    """Whether all other regions have the changes now."""
    done = [region.does(lambda found: _publish(engine, found, tenant_id, changes)) for region in others]
    return all(done)


def _publish(engine: Engine, redis: Redis, tenant_id: str, changes: Collection[RightsOutboxRow]) -> None:
    """One tenant's changes, each target once. The time is read after the rows were, so that nothing they are about lies ahead."""
    publisher = Publisher(engine, redis, tenant_id, datetime.now(UTC))
    targets: dict[str, set[str]] = defaultdict(set)
    for row in changes:
        targets[row.kind].add(row.target or "")
    if "TENANT" in targets:
        # If hot state was lost, the tenants are listed again when all of them are back: see `rebuild_if_lost`.
        publisher.everything(announce=bool(redis.exists(hot_state.PUBLISHED)))
        return
    keys = targets["KEY"]
    with session_scope(engine) as session:
        if targets["ACCESSOR"]:
            keys |= set(ApiKeys(session, tenant_id).of_accessors(targets["ACCESSOR"]))
        customers = targets["CUSTOMER"]
        if targets["OFFERING"]:
            customers |= set(customers_of_offerings(session, tenant_id, targets["OFFERING"]))
    publisher.keys(sorted(keys))
    if targets["UNITS"]:
        publisher.units()
    publisher.customers(sorted(customers))
    if targets["SOURCE"]:
        publisher.sources(targets["SOURCE"])
    if targets["LIMITS"]:
        publish_limits(engine, redis, tenant_id)
    if targets["MARGIN"]:
        publish_margins(engine, redis, tenant_id, targets["MARGIN"])
    if targets["SESSION"]:
        publish_killed(engine, redis, tenant_id, publisher.as_of)
