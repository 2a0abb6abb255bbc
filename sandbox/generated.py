"""Events by the hundred thousand. Put here: reading what is to be generated, and making it, column by column. Keep out: the door
(receiving.py).

Everything follows from what is written and the seed: the same file makes the same events. Keys and payloads are hashed by the
domain's own functions, so that an event sent again by hand is the duplicate it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import polars as pl

from domain.catalog.fields import FieldProblem, Fields
from domain.instant import micros
from domain.quantity import plain
from domain.usage import canonical, key_hash, said_hash
from sandbox.reading import instant, length, number

MOST = 20_000_000
SPREADS = ("EVEN", "RANDOM")
_JSON = msgspec.json.Encoder(decimal_format="number")
_WIRE = {"customerId", "metricName", "quantity", "occurredAt", "idempotencyKey"}


@dataclass(frozen=True)
class Quantities:
    """One quantity, several in turn, or (span) random ones from the first to the second."""

    values: tuple[Decimal, ...]
    span: bool = False


@dataclass(frozen=True)
class Generated:
    """Many events. Times in epoch microseconds, lengths of time in microseconds.

    said: further fields of the events, one mapping for each in turn. delay, disorder: receipt comes so long after the usage, plus a
    random part. clock_ahead: the sender's clock says so much more than ours. received_at: all at once instead.
    """

    name: str
    tenant: str | None
    customers: tuple[str, ...]
    unit: str
    count: int
    quantities: Quantities
    start: int
    end: int
    spread: str = "EVEN"
    seed: int = 1
    said: tuple[Mapping[str, Any], ...] = ()
    delay: int = 0
    disorder: int = 0
    clock_ahead: int = 0
    received_at: int | None = None
    duplicates: int = 0
    conflicts: int = 0


def read_generated(fields: Fields, name: str) -> Generated:
    """What `generate:` says. name: begins the events' keys unless it says otherwise. Raises FieldProblem."""
    start, end, at = instant(fields, "from"), instant(fields, "to"), instant(fields, "receivedAt")
    if start is None or end is None:
        raise FieldProblem(fields.at("from" if start is None else "to"), "is missing; write an instant")
    if end <= start:
        raise FieldProblem(fields.at("to"), "is not after from; it is the first instant without events")
    count = fields.whole("count", 1, MOST)
    if count is None:
        raise FieldProblem(fields.at("count"), "is missing; write how many events")
    found = Generated(
        name=fields.maybe_text("keys") or name,
        tenant=fields.maybe_text("tenant"),
        customers=_customers(fields),
        unit=fields.text("metric", "unit", "metricName"),
        count=count,
        quantities=_quantities(fields),
        start=micros(start),
        end=micros(end),
        spread=fields.choice("spread", SPREADS, "EVEN"),
        seed=fields.whole("seed", 0, 2**31) or 1,
        said=_said(fields),
        delay=length(fields, "delay") or 0,
        disorder=length(fields, "disorder") or 0,
        clock_ahead=length(fields, "clockAhead") or 0,
        received_at=None if at is None else micros(at),
        duplicates=fields.whole("duplicates", 0, count) or 0,
        conflicts=fields.whole("conflicts", 0, count) or 0,
    )
    fields.done()
    return found


def _customers(fields: Fields) -> tuple[str, ...]:
    if fields.has("customers"):
        found = fields.keys("customers")
        if not found:
            raise FieldProblem(fields.at("customers"), "is empty; name at least one customer")
        return found
    return (fields.text("customer", "customerId"),)


def _quantities(fields: Fields) -> Quantities:
    name, value = fields.raw("quantity")
    path = fields.at(name)
    if value is None:
        return Quantities((Decimal(1),))
    if isinstance(value, list) and value:
        return Quantities(tuple(number(each, f"{path}[{at}]") for at, each in enumerate(value)))
    if isinstance(value, dict):
        span = Fields(value, path)
        ends = number(span.raw("from")[1], f"{path}.from"), number(span.raw("to")[1], f"{path}.to")
        span.done()
        if ends[1] < ends[0]:
            raise FieldProblem(f"{path}.to", f"{ends[1]} is below from {ends[0]}")
        if ends[1] >= 10**9:
            raise FieldProblem(f"{path}.to", f"{ends[1]} is too much for a random quantity; stay below 10^9")
        return Quantities(ends, span=True)
    return Quantities((number(value, path),))


def _said(fields: Fields) -> tuple[Mapping[str, Any], ...]:
    """`with: {…}`, or a list of such objects taken in turn."""
    name, value = fields.raw("with")
    given = value if isinstance(value, list) else [] if value is None else [value]
    for at, each in enumerate(given):
        path = f"{fields.at(name)}[{at}]" if isinstance(value, list) else fields.at(name)
        if not isinstance(each, dict):
            raise FieldProblem(path, "is not an object; write further fields of the events")
        for field in sorted(_WIRE & set(each)):
            raise FieldProblem(f"{path}.{field}", "is what the generator makes; leave it out here")
    return tuple(given)


def generate(asked: Generated, tenant: str) -> pl.DataFrame:
    """Columns of RAW_EVENTS without position and verdict, in order of receipt; `variant`: which of `asked.said`."""
    first = _first(asked)
    copies = [first]
    if asked.duplicates:
        copies.append(first.head(asked.duplicates))
    if asked.conflicts:
        more = pl.concat_str("quantity_text", pl.lit("1")).alias("quantity_text")
        copies.append(first.head(asked.conflicts).with_columns(more))
    rows = pl.concat(copies).sort("received_at", maintain_order=True)
    return _hashed(rows, asked, tenant)


def _first(asked: Generated) -> pl.DataFrame:
    """The events, each once, in order of usage. Times, quantities and disorder are drawn apart: changing one leaves the others."""
    times, quantities, disorder = (np.random.default_rng([asked.seed, n]) for n in range(3))
    index = np.arange(asked.count, dtype=np.int64)
    if asked.spread == "EVEN":
        occurred = asked.start + index * max((asked.end - asked.start) // asked.count, 1)
    else:
        occurred = np.sort(times.integers(asked.start, asked.end, asked.count))
    received = occurred + asked.delay - asked.clock_ahead
    if asked.disorder:
        received = received + disorder.integers(0, asked.disorder + 1, asked.count)
    if asked.received_at is not None:
        received = np.full(asked.count, asked.received_at)
    return pl.DataFrame({"index": index, "occurred": occurred, "received_at": received}).with_columns(
        customer_id=_in_turn(asked.customers),
        variant=pl.col("index") % max(len(asked.said), 1),
        quantity_text=_quantity_text(asked, quantities),
        idempotency_key=pl.format("{}-{}", pl.lit(asked.name), pl.col("index")),
    )


def _in_turn(values: tuple[str, ...]) -> pl.Expr:
    if len(values) == 1:
        return pl.lit(values[0])
    return (pl.col("index") % len(values)).replace_strict(dict(enumerate(values)), return_dtype=pl.String)


def _quantity_text(asked: Generated, rng: np.random.Generator) -> pl.Expr | pl.Series:
    """The quantities as `plain` writes them."""
    values = asked.quantities.values
    if not asked.quantities.span:
        return _in_turn(tuple(plain(each) for each in values))
    places = max(-int(each.as_tuple().exponent) for each in (*values, Decimal(1)))
    least, most = (int(each.scaleb(places)) for each in values)
    drawn = pl.Series("drawn", rng.integers(least, most + 1, asked.count))
    if not places:
        return drawn.cast(pl.String)
    whole, part = drawn // 10**places, (drawn % 10**places).cast(pl.String).str.zfill(places)
    text = pl.DataFrame({"whole": whole, "part": part}).select(pl.format("{}.{}", "whole", "part"))
    return text.to_series().str.strip_chars_end("0").str.strip_chars_end(".")


def _hashed(rows: pl.DataFrame, asked: Generated, tenant: str) -> pl.DataFrame:
    extras = [canonical(each) for each in asked.said] or [""]
    keys = [key_hash(tenant, key) for key in rows["idempotency_key"]]
    columns = rows.select("customer_id", "quantity_text", pl.col("occurred").cast(pl.String), "variant")
    said = [
        said_hash(customer, asked.unit, quantity, moment, extras[variant])
        for customer, quantity, moment, variant in columns.iter_rows()
    ]
    return rows.select(
        pl.lit(tenant).alias("tenant_id"),
        pl.col("received_at").cast(pl.Datetime("us", "UTC")),
        pl.lit("sandbox").alias("source"),
        pl.lit("generated").alias("key_id"),
        "customer_id",
        pl.lit(asked.unit).alias("unit"),
        pl.col("quantity_text").cast(pl.Decimal(38, 9)).alias("quantity"),
        pl.col("occurred").cast(pl.Datetime("us", "UTC")).alias("occurred_at"),
        "idempotency_key",
        pl.Series("key_hash", keys, dtype=pl.Int64),
        pl.Series("payload_hash", said, dtype=pl.Int64),
        _payload(asked).alias("payload"),
        "variant",
    )


def _payload(asked: Generated) -> pl.Expr:
    """The event as it would have been sent, as JSON."""
    further = [_JSON.encode(each).decode()[1:-1] for each in asked.said]
    tails = {at: ("," if fields else "") + fields + "}" for at, fields in enumerate(further)}
    occurred = pl.col("occurred").cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return pl.concat_str(
        pl.lit('{"customerId":"'),
        "customer_id",
        pl.lit(f'","metricName":"{asked.unit}","quantity":'),
        "quantity_text",
        pl.lit(',"occurredAt":"'),
        occurred,
        pl.lit('","idempotencyKey":"'),
        "idempotency_key",
        pl.lit('"'),
        pl.col("variant").replace_strict(tails, return_dtype=pl.String) if tails else pl.lit("}"),
    )
