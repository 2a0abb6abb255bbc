"""From the database to hot state. Put here: publishing a tenant's rights, whole or in parts. Keep out: when (rights_flow.py),
what rights follow from what (repositories/rights.py), how hot state holds them (hot_state.py).

Every part is read after the tenant's version in hot state and written only while that version still stands, so of two
publishers the one that read later wins, however long the other was held up. Large tenants go in small batches: between them
everybody else gets through.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

from redis import Redis
from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session

from domain.access import CustomerRights, TenantRights
from domain.token import LIFE_SECONDS, SKEW_SECONDS
from domain.webhook_source import WebhookSource
from storage import hot_state, webhook_calls
from storage.database import session_scope
from storage.hot_state import Overtaken, Patch
from storage.limits_publishing import publish_held_back
from storage.repositories.keys import ApiKeys
from storage.repositories.rights import customer_rights, live_customers, tenant_rights, unit_records
from storage.tables.keys import ApiKeyRow
from storage.tables.money import WebhookSourceRow
from storage.tables.tenants import TenantRow
from storage.webhook_calls import SourceRecord

_BATCH = 500
_ATTEMPTS = 40


class Publisher:
    """Publishes the rights of one tenant as of an instant. Raises Redis' errors, DatabaseUnavailable and Overtaken."""

    def __init__(self, database: Engine, redis: Redis, tenant_id: str, as_of: datetime) -> None:
        self._database = database
        self._redis = redis
        self._tenant_id = tenant_id
        self.as_of = as_of

    def everything(self, *, announce: bool = True) -> TenantRights:
        """All of the tenant; what is not there any more is gone. Raises its version even if nothing changed.

        announce: list the tenant as published (see hot_state.publish).
        """
        if hot_state.read_version(self._redis, self._tenant_id) is None:
            return self._from_nothing(announce)
        self.units(always=True)
        with session_scope(self._database) as session:
            customers = live_customers(session, self._tenant_id)
            keys = self._recent_keys(session)
        gone = set(hot_state.known_customers(self._redis, self._tenant_id)) - set(customers)
        rights = self.customers([*customers, *sorted(gone)])
        self.keys(list(keys))
        self._forget_keys(keys.values())
        self.sources()
        publish_held_back(self._database, self._redis, self._tenant_id, self.as_of)
        if announce:
            hot_state.announce_published(self._redis, [self._tenant_id])
        with session_scope(self._database) as session:
            return TenantRights(self._tenant_id, unit_records(session, self._tenant_id), tuple(rights))

    def units(self, *, always: bool = False) -> None:
        """The tenant's units. always: raise the version even if they are the same."""
        self._patch(lambda session: Patch(units=unit_records(session, self._tenant_id)), always=always)

    def customers(self, customers: Sequence[str]) -> list[CustomerRights]:
        """What these customers may do; those not there any more are gone. Returns the rights of those that are."""
        published: list[CustomerRights] = []
        for batch in _batches(customers):
            rights: dict[str, CustomerRights] = {}

            def read(session: Session, batch: Sequence[str] = batch) -> Patch:
                nonlocal rights
                rights = customer_rights(session, self._tenant_id, batch, self.as_of)
                return Patch(customers={customer: rights.get(customer) for customer in batch})

            self._patch(read)
            published += rights.values()
        return published

    def sources(self, source_ids: Collection[str] | None = None) -> None:
        """These webhook sources (None: all); those that are archived are gone. Their rows are locked while they are written to
        Redis, so of two publishers the later one read what stands."""
        query = select(WebhookSourceRow).where(WebhookSourceRow.tenant_id == self._tenant_id)
        if source_ids is not None:
            query = query.where(WebhookSourceRow.id.in_(source_ids))
        with session_scope(self._database) as session:
            rows = session.scalars(query.order_by(WebhookSourceRow.id).with_for_update()).all()
            wanted = {row.id: None if row.archived_at else source_record(row) for row in rows}
            gone = dict.fromkeys(source_ids or (), None)
            webhook_calls.publish_sources(self._redis, self._tenant_id, gone | wanted)

    def keys(self, key_ids: Sequence[str]) -> None:
        """These keys; those that open nothing any more are gone, and the tokens made from them are blocked."""
        found: dict[str, str] = {}
        for batch in _batches(key_ids):
            self._patch(partial(self._keys, key_ids=batch, found=found))
        if len(found) < len(
            set(key_ids)
        ):  # rows were deleted, and with them the hashes hot state knows the keys by
            with session_scope(self._database) as session:
                recent = self._recent_keys(session)
            self._forget_keys(recent.values())

    def _keys(self, session: Session, key_ids: Collection[str], found: dict[str, str]) -> Patch:
        keys = ApiKeys(session, self._tenant_id)
        hashes, live = keys.hashes(key_ids), keys.live(self.as_of, key_ids)
        found.update(hashes)
        self._block_tokens(key_ids, {record.key_id for record in live.values()})
        return Patch(keys={sha: live.get(sha) for sha in hashes.values()})

    def _block_tokens(self, key_ids: Collection[str], live: Collection[str]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key_id in key_ids:
            if key_id in live:
                pipeline.delete(hot_state.blocked_client_key(key_id))
            else:
                pipeline.set(hot_state.blocked_client_key(key_id), "1", ex=LIFE_SECONDS + 2 * SKEW_SECONDS)
        pipeline.execute()

    def _forget_keys(self, hashes: Collection[str]) -> None:
        """Records of keys that ended long ago or that the database never heard of, as after a restored backup."""
        strangers = set(hot_state.known_keys(self._redis, self._tenant_id)) - set(hashes)
        if strangers:
            self._patch(lambda session: self._strangers(session, strangers))

    def _strangers(self, session: Session, hashes: Collection[str]) -> Patch:
        known = set(self._recent_keys(session).values())
        return Patch(keys={sha: None for sha in hashes if sha not in known})

    def _recent_keys(self, session: Session) -> dict[str, str]:
        """The hash of each key that opens something, or did when the tokens were made that may still be in use."""
        recent = or_(ApiKeyRow.revoked_at.is_(None), ApiKeyRow.revoked_at > self.as_of - timedelta(hours=1))
        query = select(ApiKeyRow.id, ApiKeyRow.secret_sha256).where(
            ApiKeyRow.tenant_id == self._tenant_id, recent
        )
        return {key_id: sha for key_id, sha in session.execute(query).tuples()}  # noqa: C416

    def _patch(self, read: Callable[[Session], Patch], *, always: bool = False) -> None:
        """Read and write a part, again if somebody came between. A tenant never published gets everything first."""
        for attempt in range(_ATTEMPTS):
            since = hot_state.read_version(self._redis, self._tenant_id)
            if since is None:
                self._from_nothing(announce=bool(self._redis.exists(hot_state.PUBLISHED)))
                return
            with session_scope(self._database) as session:
                part = read(session)
            try:
                hot_state.patch(self._redis, self._tenant_id, part, since=since, always=always)
                return
            except Overtaken:
                time.sleep(random.uniform(0, 0.002 * min(attempt + 1, 10)))
        raise Overtaken(self._tenant_id)

    def _from_nothing(self, announce: bool) -> TenantRights:
        """In one piece: half of a tenant's rights would be read as the other half having none."""
        with session_scope(self._database) as session:
            rights = tenant_rights(session, self._tenant_id, self.as_of)
        try:
            hot_state.publish(self._redis, rights, announce=announce, since=0)
        except Overtaken:
            return self.everything(announce=announce)
        self.sources()
        publish_held_back(self._database, self._redis, self._tenant_id, self.as_of)
        return rights


def publish_tenant(database: Engine, redis: Redis, tenant_id: str, *, as_of: datetime) -> int:
    """Everything of a tenant into hot state, and of all others if it was lost; the tenant's new version there."""
    if redis.exists(hot_state.PUBLISHED):
        Publisher(database, redis, tenant_id, as_of).everything()
    else:
        for _ in publish_all(database, redis, as_of=as_of):
            pass
    return hot_state.read_version(redis, tenant_id) or 0


def publish_all(database: Engine, redis: Redis, *, as_of: datetime) -> Iterator[TenantRights]:
    """Every tenant's rights, a tenant at a time, so that memory is bounded by the largest; those published, as they are.

    If hot state was lost, tenants are listed as published only when all of them are: until then the edge says "try again"
    to a key it does not know, and not "no such key".
    """
    with session_scope(database) as session:
        tenants = list(session.scalars(select(TenantRow.id).order_by(TenantRow.id)))
    was_there = bool(redis.exists(hot_state.PUBLISHED))
    for tenant in tenants:
        yield Publisher(database, redis, tenant, as_of).everything(announce=was_there)
    hot_state.announce_published(redis, tenants)


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _BATCH):
        yield list(ids[start : start + _BATCH])


def source_record(row: WebhookSourceRow) -> SourceRecord:
    """A source as the edge knows it; its secret stays sealed."""
    source = WebhookSource(**{name: getattr(row, name) for name in WebhookSource.__slots__})
    return SourceRecord(row.id, row.tenant_id, row.secret_sealed, source)
