"""Events that have to be looked into before they count. Put here: which units those are, the events that meet their conditions, the values
behind UNIQUE counters. Keep out: when that is done, the counters themselves (recount.py).

Cost: each event of such a unit in the published periods is looked into once; its payload is not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import polars as pl
from redis import Redis

from domain.access import TenantRights
from domain.counters import DISTINCT, OPERATIONS, counter_field
from domain.instant import micros
from storage import hot_state
from storage.snapshot import periods_of
from transforms.conditions import counts, distinct_values
from transforms.drift import of_periods
from transforms.table import TEXT

_UNIT = ["tenant_id", "unit"]
_VALUES = 1000
_COUNTERS = 200
_COUNT = (Path(__file__).parent / "scripts" / "distinct.lua").read_text(encoding="utf-8")


class Conditions:
    """The conditions of these tenants' units. since: no period that counts began earlier; None: there is none."""

    def __init__(self, published: Iterable[TenantRights], since: datetime | None) -> None:
        self._since = since
        rows = [
            (rights.tenant_id, unit.key, json.dumps([asdict(each) for each in unit.filters]))
            for rights in published
            for unit in rights.units
            if unit.filters
        ]
        self._units = pl.DataFrame(
            rows, schema={"tenant_id": TEXT, "unit": TEXT, "filters": TEXT}, orient="row"
        )

    def __bool__(self) -> bool:
        return not self._units.is_empty()

    def without(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """The events of units without conditions."""
        return events.join(self._units.lazy(), on=_UNIT, how="anti")

    def meeting(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """The events of units with conditions (with `payload`) that meet them."""
        theirs = self.recent(events).join(self._units.lazy(), on=_UNIT, how="inner")
        return pl.concat(
            _meeting(theirs.filter(filters=text), text).drop("filters")
            for text in self._units["filters"].unique().sort()
        )

    def recent(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """Those that may be in a period that counts."""
        return events.filter(pl.lit(False) if self._since is None else pl.col("occurred_at") >= self._since)

    def write(self, events: pl.LazyFrame, columns: Sequence[str], file: Path) -> None:
        """These columns of the events that meet them, into a file, without holding them."""
        self.meeting(events).select(columns).sink_parquet(file)


def _meeting(events: pl.LazyFrame, filters: str) -> pl.LazyFrame:
    """As a column first: a condition of the scan would be asked about the files' statistics, too, which are cut short."""
    meets = pl.col("payload").map_batches(
        lambda payloads: counts(payloads, filters), return_dtype=pl.Boolean, is_elementwise=True
    )
    return events.with_columns(meets=meets).filter("meets").drop("meets")


def put_values_back(
    regions: Sequence[Redis], events: pl.LazyFrame, published: Iterable[TenantRights], conditions: Conditions
) -> None:
    """Have UNIQUE counters know every value of these events (with `payload`; an event may stand twice). Values are only ever added: a
    HyperLogLog takes none back, and what is added twice counts once, so events may go on meanwhile."""
    for rights in published:
        every = periods_of([rights], filtered=True).unique()
        for unit in rights.units:
            if OPERATIONS.get(unit.aggregation) == DISTINCT and unit.event_field:
                theirs = conditions.recent(events).filter(tenant_id=rights.tenant_id, unit=unit.key)
                if unit.filters:
                    theirs = conditions.meeting(theirs)
                in_periods = of_periods(theirs, every.filter(unit=unit.key))
                counters = _values(in_periods, unit.event_field)
                for at in range(0, len(counters), _COUNTERS):
                    for redis in regions:
                        _put_back(redis, rights.tenant_id, unit.key, counters[at : at + _COUNTERS])


def _values(events: pl.LazyFrame, field: str) -> list[tuple[str, datetime, list[str]]]:
    """Customer, start of the period and values of each counter."""
    value = pl.col("payload").map_batches(
        lambda payloads: distinct_values(payloads, field), return_dtype=pl.String, is_elementwise=True
    )
    found = (
        events.select("customer_id", "period_start", value=value)
        .drop_nulls("value")
        .unique()
        .group_by("customer_id", "period_start")
        .agg("value")
    )
    return found.collect(engine="streaming").rows()


def _put_back(
    redis: Redis, tenant: str, unit: str, counters: Sequence[tuple[str, datetime, list[str]]]
) -> None:
    keys = [hot_state.counted_key(tenant)]
    told: list[str] = []
    added = redis.pipeline(transaction=False)
    for customer, start, values in counters:
        field = counter_field(unit, micros(start))
        distinct = hot_state.distinct_key(tenant, customer, field)
        for at in range(0, len(values), _VALUES):
            added.pfadd(distinct, *values[at : at + _VALUES])
        keys += hot_state.usage_key(tenant, customer), distinct
        told += field, customer
    added.execute()
    redis.eval(_COUNT, len(keys), *keys, *told)
