"""Rights and counters between PostgreSQL, Redis and the lake. Put here: periods and counters as frames. Keep out: publishing
rights (rights_publishing.py), what drift is (transforms/drift.py)."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
from redis import Redis

from domain.access import TenantRights
from domain.counters import counted_periods
from domain.instant import from_micros
from storage import hot_state
from transforms.drift import COUNTERS, PERIODS


def periods_of(all_rights: Iterable[TenantRights], *, filtered: bool = False) -> pl.DataFrame:
    """Every counted unit and period of every customer: columns `PERIODS`. filtered: of units with filters, too."""
    rows = [
        (
            rights.tenant_id,
            customer.customer_id,
            unit.key,
            unit.aggregation,
            from_micros(start),
            from_micros(end),
        )
        for rights in all_rights
        for unit in rights.units
        if filtered or not unit.filters
        for customer in rights.customers
        for start, end in counted_periods(customer, unit.key)
    ]
    return pl.DataFrame(rows, schema=PERIODS, orient="row")


def counters_of(redis: Redis, tenants: Iterable[str]) -> pl.DataFrame:
    """Every counter the edge keeps: columns `COUNTERS`."""
    rows = [
        {
            "tenant_id": tenant,
            "customer_id": customer,
            "unit": unit,
            "period_start": from_micros(start),
            "micros": micros,
        }
        for tenant in tenants
        for (customer, unit, start), micros in hot_state.read_all_counters(redis, tenant).items()
    ]
    schema = {name: dtype for name, dtype in COUNTERS.items() if name != "counted"} | {"micros": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema)
    exact = pl.col("micros").cast(pl.Decimal(38, 9)) / pl.lit(1_000_000, dtype=pl.Decimal(38, 0))
    return frame.with_columns(counted=exact.cast(COUNTERS["counted"])).drop("micros")
