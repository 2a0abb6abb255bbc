"""access_snapshot: all rights published to the edge's hot state, its counters put right by the lake and the log, those of periods long
over forgotten."""

from datetime import UTC, datetime

import dagster as dg
from redis import Redis
from sqlalchemy import Engine

from assets._events import INGESTING
from storage.database import advisory_lock
from storage.ended_counters import forget_ended
from storage.lake import Lake
from storage.recount import recount
from storage.regions import other_regions
from storage.rights_publishing import publish_all


@dg.asset(
    deps=["validated_events"],
    description="Rights of all customers as the edge answers them; made anew from the database, the safety net under the pushes; its counters put right.",
    group_name="access",
    kinds={"postgres", "valkey"},
)
def access_snapshot(
    database: dg.ResourceParam[Engine], redis: dg.ResourceParam[Redis], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    now = datetime.now(UTC)
    elsewhere = [
        region.redis
        for region in other_regions()
        if region.does(lambda found: list(publish_all(database, found, as_of=now)))
    ]
    published = list(publish_all(database, redis, as_of=now))
    with advisory_lock(database, INGESTING):
        adrift = recount([redis, *elsewhere], lake, published)
    forgotten = sum(forget_ended(each, rights, now) for each in [redis, *elsewhere] for rights in published)
    return dg.MaterializeResult(
        metadata={
            "tenants": len(published),
            "customers": sum(len(rights.customers) for rights in published),
            "counters_adrift": adrift.height,
            "counters_forgotten": forgotten,
            "largest_drift": str(adrift["drift"].abs().max() or 0),
        }
    )
