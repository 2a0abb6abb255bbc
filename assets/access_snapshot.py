"""access_snapshot: all rights published to the edge's hot state, and its counters compared with the lake."""

from datetime import UTC, datetime

import dagster as dg
from redis import Redis
from sqlalchemy import Engine

from storage.lake import Lake
from storage.rights_publishing import publish_all
from storage.snapshot import counters_of, periods_of
from transforms.drift import drift


@dg.asset(
    deps=["validated_events"],
    description="Rights of all customers as the edge answers them; made anew from the database, the safety net under the pushes.",
    group_name="access",
    kinds={"postgres", "valkey"},
)
def access_snapshot(
    database: dg.ResourceParam[Engine], redis: dg.ResourceParam[Redis], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    published = list(publish_all(database, redis, as_of=datetime.now(UTC)))
    counters = counters_of(redis, [rights.tenant_id for rights in published])
    drifts = drift(
        counters=counters, periods=periods_of(published), validated_events=lake.scan("validated_events")
    )
    return dg.MaterializeResult(
        metadata={
            "tenants": len(published),
            "customers": sum(len(rights.customers) for rights in published),
            "counters_compared": drifts.height,
            "counters_adrift": drifts.filter(drifts["drift"] != 0).height,
            "largest_drift": str(drifts["drift"].abs().max() or 0),
        }
    )
