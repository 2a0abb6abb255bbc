"""What keys did at the edge that is to be recorded. Put here: taking it from Redis into the database. Keep out: doing it (the edge,
which has no database), usage.

    killed-at-edge     list of KilledAtEdge, the oldest first; not tagged: one list for all tenants
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import cast

import msgspec
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from domain.actor import Actor
from storage.access_state import KILLED_AT_EDGE, KilledAtEdge
from storage.services.killed_sessions import KilledSessions
from storage.tenancy import tenant_tx

log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(KilledAtEdge).decode


def record_edge_acts(database: Engine, redis: Redis, most: int = 100) -> int:
    """Record the sessions that keys have killed; how many. Killed halfway, one is recorded twice and none is lost. Raises Redis'
    errors and DatabaseUnavailable."""
    for done in range(most):
        found = cast(bytes | None, redis.lindex(KILLED_AT_EDGE, 0))
        if found is None:
            return done
        act = _decode(found)
        at = datetime.fromtimestamp(act.at, UTC)
        try:
            with tenant_tx(database, act.tenant_id, Actor(act.key_id), at=at) as tx:
                KilledSessions(tx).kill(act.session_id, {"reason": "at the edge"})
        except IntegrityError:  # the tenant is gone
            log.exception(
                "session %s of tenant %s was killed and is not recorded", act.session_id, act.tenant_id
            )
        redis.lrem(KILLED_AT_EDGE, 1, found)
    return most
