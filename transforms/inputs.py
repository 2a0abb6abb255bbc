"""What an invoice was made from, as one hash. Put here: the hash of events and terms behind each invoice. Keep out: the hash of
what the invoice says (storage), reading the tables.

The same events under the same terms give the same hash, whatever the order they came in, however they were batched and
wherever they were worked out: events are added up, and nothing in the sum knows of positions. It tells apart inputs that
differ; who wants to prove more than that has the events themselves, each with its own SHA-256, in the evidence archive.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import polars as pl

from transforms.frames import BILLING_TERMS
from transforms.table import QUANTITY, TEXT, WHOLE

INPUTS: dict[str, pl.DataType | type[pl.DataType]] = {
    "tenant_id": TEXT,
    "invoice_id": TEXT,
    "input_hash": TEXT,
    "raw_until": WHOLE,
    "code_version": TEXT,
}
"""raw_until: the newest raw event behind the invoice; null where there is none."""

_SAID = {"tenant_id": TEXT, "invoice_id": TEXT, "said": TEXT}
_U64 = pl.UInt64
_GOLDEN = 0x9E3779B97F4A7C15
_STIRRING = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
_LANES = {"sum_a": 0x243F6A8885A308D3, "sum_b": 0x13198A2E03707344}
_TWO_64 = pl.lit(2**64, dtype=pl.Int128)
_LATER = ("spend_limit", "fee_ahead", "cap_carries")
"""Terms that came with later releases: said only where they are agreed, so that older hashes stay true."""
_MANIFEST = ("line_id", "events", "filtered", "quantity", "distinct", *_LANES, "terms")


def input_hashes(
    *,
    metered_events: pl.LazyFrame,
    terms: pl.DataFrame,
    routed_lines: pl.DataFrame,
    code: str,
    rollovers: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """INPUTS of each invoice that ROUTED_LINES name: the SHA-256 over a manifest of its lines (count, quantity and sums of the
    hashes of METERED_EVENTS, the line's row of BILLING_TERMS, the units carried in by ROLLOVERS, what of the frozen wallet
    and bonus balances it draws on) and the version of the code. One pass over the events."""
    invoiced = routed_lines.filter(pl.col("invoice_id").is_not_null())
    lines = invoiced.select("tenant_id", "invoice_id", "line_id")
    manifest = (
        lines.join(_events(metered_events, terms), on="line_id", how="left")
        .join(_terms(terms), on="line_id", how="left")
        .sort("tenant_id", "invoice_id", "line_id")
    )
    texts = manifest.select(
        "tenant_id", "invoice_id", "raw_until", line=pl.struct(_MANIFEST).struct.json_encode()
    )
    taken_over = pl.concat([_drawn(invoiced), _bonus(invoiced), _carried(lines, rollovers)])
    further = taken_over.group_by("tenant_id", "invoice_id").agg(pl.col("said").sort().str.join("\n"))
    invoices = texts.group_by("tenant_id", "invoice_id", maintain_order=True).agg(
        pl.col("raw_until").max(), pl.col("line").str.join("\n")
    )
    invoices = invoices.join(further, on=["tenant_id", "invoice_id"], how="left", maintain_order="left")
    # Said only where there is something, so that hashes of invoices without it stay as they are.
    whole = pl.concat_str("line", pl.lit("\n") + pl.col("said"), ignore_nulls=True)
    invoices = invoices.with_columns(line=whole)
    return invoices.select(
        "tenant_id",
        "invoice_id",
        pl.Series("input_hash", _hashes(code, invoices["line"]), dtype=TEXT),
        "raw_until",
        code_version=pl.lit(code),
    )


def _hashes(code: str, manifests: Iterable[str]) -> list[str]:
    return [sha256(f"code {code}\n{text}".encode()).hexdigest() for text in manifests]


def _drawn(lines: pl.DataFrame) -> pl.DataFrame:
    """`tenant_id, invoice_id, said`: what each invoice draws of each frozen balance. What it leaves there, others may change."""
    if "wallet_payments" not in lines.columns:
        return pl.DataFrame(schema=_SAID)
    each = lines.select("tenant_id", "invoice_id", "wallet_payments").explode("wallet_payments")
    parts = each.drop_nulls().unnest("wallet_payments").group_by("tenant_id", "invoice_id", "grant_id")
    said = pl.format("wallet {} {}", "grant_id", pl.col("amount").cast(TEXT))
    return parts.agg(pl.col("amount").sum()).select("tenant_id", "invoice_id", said=said)


def _bonus(lines: pl.DataFrame) -> pl.DataFrame:
    """`tenant_id, invoice_id, said`: the bonus units that each line draws of each grant."""
    if "bonus_draws" not in lines.columns:
        return pl.DataFrame(schema=_SAID)
    each = lines.select("tenant_id", "invoice_id", "line_id", "bonus_draws").explode("bonus_draws")
    said = pl.format("bonus {} {} {}", "line_id", "grant_id", pl.col("units").cast(TEXT))
    return each.drop_nulls().unnest("bonus_draws").select("tenant_id", "invoice_id", said=said)


def _carried(lines: pl.DataFrame, rollovers: pl.DataFrame | None) -> pl.DataFrame:
    """`tenant_id, invoice_id, said`: the units carried in of each line that has any."""
    if rollovers is None:
        return pl.DataFrame(schema=_SAID)
    carried = rollovers.filter(pl.col("carried") > 0).select("tenant_id", "line_id", "carried")
    said = pl.format("carried {} {}", "line_id", pl.col("carried").cast(TEXT))
    joined = lines.join(carried, on=["tenant_id", "line_id"], how="inner")
    return joined.select("tenant_id", "invoice_id", said=said)


def _terms(terms: pl.DataFrame) -> pl.DataFrame:
    """`line_id, terms`: each due line's agreed terms, as text with every number exact."""
    due = terms.filter("due")
    said = pl.struct(sorted(set(BILLING_TERMS.schema) - set(_LATER))).struct.json_encode()
    more = pl.when(pl.any_horizontal(pl.col(_LATER).is_not_null())).then(
        pl.struct(_LATER).struct.json_encode()
    )
    return due.select("line_id", terms=pl.concat_str(said, more, ignore_nulls=True))


def _events(metered: pl.LazyFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """What each line's events come to, whatever their order."""
    of_lines = metered.filter(pl.col("line_id").is_not_null())
    sums = (
        _hashed(
            of_lines.select(
                "line_id",
                "raw_seq",
                "key_hash",
                "occurred_at",
                "quantity",
                billable=pl.col("disposition") == "BILLABLE",
            )
        )
        .group_by("line_id")
        .agg(
            events=pl.col("billable").sum().cast(WHOLE),
            filtered=(~pl.col("billable")).sum().cast(WHOLE),
            quantity=pl.col("quantity").sum().cast(QUANTITY).cast(TEXT),
            raw_until=pl.col("raw_seq").max(),
            **{name: pl.col(name).sum() for name in _LANES},
        )
        .collect(engine="streaming")
    )
    return sums.join(_distinct(of_lines, terms), on="line_id", how="left")


def _distinct(of_lines: pl.LazyFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """`line_id, distinct`: how many values UNIQUE counted; only such lines look inside their events."""
    unique = terms.filter(pl.col("aggregation") == "UNIQUE")["line_id"]
    if unique.is_empty():
        return pl.DataFrame(schema={"line_id": TEXT, "distinct": WHOLE})
    counted = of_lines.filter(pl.col("line_id").is_in(unique.implode()))
    return counted.group_by("line_id").agg(distinct=pl.col("distinct_value").n_unique().cast(WHOLE)).collect()


def _hashed(events: pl.LazyFrame) -> pl.LazyFrame:
    """The events with a 64-bit hash for each lane: of their key, their time, their quantity and whether they count.

    Arithmetic wraps around. Step by step: a step that named the one before it more than once in a single expression would be
    worked out as often.
    """
    quantity = pl.col("quantity").cast(QUANTITY).to_physical()
    events = events.with_columns(
        part_0=pl.col("occurred_at").dt.epoch("us").reinterpret(signed=False),
        part_1=(quantity % _TWO_64).cast(_U64),
        part_2=(quantity // _TWO_64).cast(pl.Int64).reinterpret(signed=False),
        part_3=pl.col("billable").cast(_U64),
        **{
            name: pl.col("key_hash").reinterpret(signed=False) + pl.lit(salt, dtype=_U64)
            for name, salt in _LANES.items()
        },
    )
    for part in range(4):
        salted = (pl.col(f"part_{part}") + 1) * pl.lit(_GOLDEN, dtype=_U64)
        events = events.with_columns(pl.col(name) ^ salted for name in _LANES)
        for bits, factor in _STIRRING:
            stirred = (pl.col(name) ^ (pl.col(name) // pl.lit(2**bits, dtype=_U64)) for name in _LANES)
            events = events.with_columns(each * pl.lit(factor, dtype=_U64) for each in stirred)
    return events
