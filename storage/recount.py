"""The edge's counters put right from what was really accepted. Put here: what each ought to say, and moving it there while events keep
coming. Keep out: what drift is (transforms/drift.py).

What a counter ought to say is what the lake holds, what waits in raw_events to be validated, and what waits in the logs. So after a
Redis that was lost, usage of the running period is back; with several regions, each comes to know the others' usage. A counter is moved
by the difference and not set, so that what is accepted meanwhile stays counted; the largest quantity (MAX) is set unless a larger one
came meanwhile. Units with filters and distinct values (UNIQUE) take looking into each event: that is done for a tenant where a Redis does
not know that it was, as after it was lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import polars as pl
from redis import Redis

from domain.access import TenantRights
from domain.counters import counter_field
from domain.quantity import to_micros
from storage import event_log, hot_state
from storage.drain import to_raw
from storage.event_log import LogEntry
from storage.increments import MARKER
from storage.lake import Lake
from storage.recount_inside import Conditions, put_values_back
from storage.snapshot import counters_of, periods_of
from transforms.drift import DRIFTS, drift
from transforms.in_force import in_force

_PAGE = 1000
_CUSTOMERS = 500
_USAGE = ["tenant_id", "customer_id", "unit", "occurred_at", "quantity"]
_LARGEST = (Path(__file__).parent / "scripts" / "largest.lua").read_text(encoding="utf-8")
_NO_ACT = pl.lit(None, dtype=pl.String).alias("act")


def recount(regions: Sequence[Redis], lake: Lake, published: Sequence[TenantRights]) -> pl.DataFrame:
    """Put the counters of these tenants right, in every region; each of which was adrift, as `transforms.drift.drift` tells it, with
    the region's place among `regions`. The caller sees to it that nothing is drained or validated meanwhile."""
    lost: list[TenantRights] = []
    kept: list[TenantRights] = []
    for each in published:
        known = hot_state.recounted_key(each.tenant_id)  # gone with everything else where Redis was lost
        (kept if all(redis.exists(known) for redis in regions) else lost).append(each)
    periods = pl.concat([periods_of(kept), periods_of(lost, filtered=True)])
    with TemporaryDirectory() as folder:
        since = cast(datetime | None, periods["period_start"].min())
        told = _Told(regions, lake, published, Conditions(lost, since), Path(folder) / "inside.parquet")
        found = _put_right(regions, told, [each.tenant_id for each in published], periods)
        put_values_back(regions, told.with_payload(), lost, told.conditions)
    for redis in regions:
        for each in lost:
            redis.set(hot_state.recounted_key(each.tenant_id), 1)
    nothing = pl.DataFrame(schema={**DRIFTS, "region": pl.Int32})
    return pl.concat([nothing, *found])


def _put_right(
    regions: Sequence[Redis], told: _Told, tenants: Sequence[str], periods: pl.DataFrame
) -> list[pl.DataFrame]:
    found = []
    for place, redis in enumerate(regions):
        roughly = drift(
            counters=counters_of(redis, tenants), periods=periods, validated_events=told.usage()
        ).filter(pl.col("drift") != 0)
        for part in _parts(roughly):
            exactly = _exactly(redis, told, place, part, periods)
            _move(redis, exactly)
            found.append(exactly.with_columns(region=pl.lit(place, dtype=pl.Int32)))
    return found


class _Told:
    """Usage known to be accepted: of the lake, and of each log as far as it was read. conditions: of units whose events are looked into,
    once; those of the lake that count are kept in `file`."""

    def __init__(
        self,
        regions: Sequence[Redis],
        lake: Lake,
        published: Sequence[TenantRights],
        conditions: Conditions,
        file: Path,
    ) -> None:
        self.conditions = conditions
        self._lake, self._file = lake, file
        self._cursor = lake.cursor("raw_events")
        self._read: dict[tuple[int, str], str] = {}
        self._waiting = [self._accepted(self._unvalidated().lazy())]
        if conditions:
            conditions.write(in_force(lake.scan("validated_events")), _USAGE, file)
        for place, redis in enumerate(regions):
            for rights in published:
                self.read_on(place, redis, rights.tenant_id)

    def read_on(self, place: int, redis: Redis, tenant: str, until: str = "") -> None:
        """Take in what came into a log, up to an entry or to its end."""
        after = self._read.get((place, tenant))
        if after is None:
            app = f"log:{tenant}:{event_log.incarnation(redis, tenant)}"
            after = event_log.entry_id(self._cursor.marker(app) or 0)
        for entries in _entries(redis, tenant, after, until):
            self._waiting.append(self._accepted(to_raw(tenant, entries, first=1).lazy()))
            after = entries[-1].id
        self._read[place, tenant] = after

    def usage(self) -> pl.LazyFrame:
        """Every accepted event once, as far as `drift` looks at them."""
        validated = self._lake.scan("validated_events")
        keys = ["tenant_id", "key_hash", "idempotency_key"]
        waiting = pl.concat(self._waiting).unique(keys, keep="first", maintain_order=True)
        if not waiting.is_empty():
            hashes = waiting["key_hash"].implode()
            known = validated.filter(pl.col("key_hash").is_in(hashes)).select(keys).collect()
            waiting = waiting.join(known, on=keys, how="anti")
        plain = in_force(validated)
        inside = []
        if self.conditions:
            plain, inside = self.conditions.without(plain), [pl.scan_parquet(self._file)]
        return pl.concat([each.select(*_USAGE, _NO_ACT) for each in (plain, *inside, waiting.lazy())])

    def with_payload(self) -> pl.LazyFrame:
        """What has left the logs, as it was sent. A key may stand twice."""
        usage = [in_force(self._lake.scan("validated_events")), _usage(self._unvalidated().lazy())]
        return pl.concat([each.select(*_USAGE, "payload") for each in usage])

    def _accepted(self, raw: pl.LazyFrame) -> pl.DataFrame:
        usage = _usage(raw)
        if self.conditions:
            usage = pl.concat([self.conditions.without(usage), self.conditions.meeting(usage)])
        return usage.select(*_USAGE, "key_hash", "idempotency_key").collect()

    def _unvalidated(self) -> pl.DataFrame:
        seen = self._lake.cursor("validated_events").marker(MARKER) or 0
        return self._lake.scan("raw_events").filter(pl.col("raw_seq") > seen).collect()


def _usage(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Usage among raw events that no act can have changed yet."""
    return raw.filter(pl.col("door") == "ACCEPTED", pl.col("act").is_null())


def _entries(redis: Redis, tenant: str, after: str, until: str) -> Iterator[list[LogEntry]]:
    last = event_log.position_of(until) if until else None
    while entries := event_log.read(redis, tenant, after, _PAGE):
        wanted = [each for each in entries if last is None or each.position <= last]
        if wanted:
            yield wanted
        if len(wanted) < len(entries):
            return
        after = entries[-1].id


def _parts(adrift: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A tenant's counters, some customers at a time."""
    for tenant in adrift.partition_by("tenant_id"):
        customers = tenant["customer_id"].unique(maintain_order=True)
        for start in range(0, len(customers), _CUSTOMERS):
            yield tenant.filter(pl.col("customer_id").is_in(customers[start : start + _CUSTOMERS].implode()))


def _exactly(
    redis: Redis, told: _Told, place: int, part: pl.DataFrame, periods: pl.DataFrame
) -> pl.DataFrame:
    """The drift of these counters at one moment of the log, which goes on."""
    [tenant] = part["tenant_id"].unique()
    snapshot = redis.pipeline(transaction=True)
    snapshot.xrevrange(event_log.log_key(tenant), count=1)
    for customer, field in _fields(part):
        snapshot.hget(hot_state.usage_key(tenant, customer), field)
    newest, *values = snapshot.execute()
    if newest:
        told.read_on(place, redis, tenant, newest[0][0].decode())
    of_part = periods.join(part, on=["tenant_id", "customer_id", "unit", "period_start"], how="semi")
    exact = drift(counters=_counters(part, values), periods=of_part, validated_events=told.usage())
    return exact.filter(pl.col("drift") != 0)


def _counters(part: pl.DataFrame, values: Sequence[Any]) -> pl.DataFrame:
    micros = pl.Series("micros", [int(value or 0) for value in values], dtype=pl.Int64)
    counted = micros.cast(pl.Decimal(38, 9)) / pl.lit(1_000_000, dtype=pl.Decimal(38, 0))
    keys = part.select("tenant_id", "customer_id", "unit", "period_start")
    return keys.with_columns(micros).with_columns(counted=counted.cast(part["counted"].dtype)).drop("micros")


def _move(redis: Redis, adrift: pl.DataFrame) -> None:
    """A tenant's part: sums by the difference, all or none of them; then the largest to what they are, likewise."""
    if adrift.is_empty():
        return
    tenant = adrift["tenant_id"][0]
    largest = adrift.filter(aggregation="MAX")
    sums = adrift.filter(pl.col("aggregation") != "MAX")
    change = redis.pipeline(transaction=True)
    for (customer, field), ahead in zip(_fields(sums), sums["drift"], strict=True):
        change.hincrby(hot_state.usage_key(tenant, customer), field, -to_micros(ahead))
    change.sadd(hot_state.counted_key(tenant), *adrift["customer_id"].unique())
    change.execute()
    keys: list[str] = []
    told: list[Any] = []
    for (customer, field), counted, in_lake in zip(
        _fields(largest), largest["counted"], largest["in_lake"], strict=True
    ):
        keys.append(hot_state.usage_key(tenant, customer))
        told += [field, to_micros(counted), to_micros(in_lake)]
    if keys:
        redis.eval(_LARGEST, len(keys), *keys, *told)


def _fields(counters: pl.DataFrame) -> list[tuple[str, str]]:
    """Customer and field of each."""
    found = counters.select("customer_id", "unit", pl.col("period_start").dt.epoch("us"))
    return [(customer, counter_field(unit, start)) for customer, unit, start in found.iter_rows()]
