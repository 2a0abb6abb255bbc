"""What it takes to describe a table. Put here: column types, Column, Rule, Table. Keep out: the tables (frames.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import polars as pl

from transforms.many_rows import kept_rows

QUANTITY = pl.Decimal(38, 9)
"""Usage: nine decimal places, below 10^17."""
PRICE = pl.Decimal(38, 12)
"""Unit prices, rates and fees as agreed."""
EXACT = pl.Decimal(38, 21)
"""Unrounded money: holds a quantity times a price without loss."""
AMOUNT = pl.Decimal(38, 4)
"""Rounded money; no ISO 4217 currency has more than four decimal places."""
INSTANT = pl.Datetime("us", "UTC")
TEXT = pl.String
WHOLE = pl.Int64
FLAG = pl.Boolean

TIERS = pl.List(pl.Struct({"up_to": QUANTITY, "unit_price": PRICE, "flat_fee": PRICE}))
"""Bands in rising order; `up_to` is inclusive, null in the last."""
TIER_CHARGES = pl.List(
    pl.Struct(
        {"up_to": QUANTITY, "quantity": QUANTITY, "unit_price": PRICE, "flat_fee": PRICE, "amount": EXACT}
    )
)

TAXES = pl.List(
    pl.Struct(
        {
            "rate_id": TEXT, "name": TEXT, "jurisdiction": TEXT, "category": TEXT, "treatment": TEXT, "tax_id": TEXT,
            "rate": PRICE, "inclusive": FLAG, "taxable": AMOUNT, "tax": AMOUNT,
        }
    )
)  # fmt: skip
"""A line's taxes, one per rate. Without a rate, `treatment` says why nothing is taxed."""

WALLET_PAYMENTS = pl.List(pl.Struct({"grant_id": TEXT, "amount": AMOUNT}))
BONUS_DRAWS = pl.List(pl.Struct({"grant_id": TEXT, "units": QUANTITY}))


@dataclass(frozen=True)
class Column:
    """One column: its type, what it holds, and whether it may be null."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class Rule:
    """A row rule: `holds` is true on every good row. `doc` completes the sentence "every row must …"."""

    name: str
    doc: str
    holds: pl.Expr


@dataclass(frozen=True)
class Table:
    """One table: what a row is, its columns, what identifies a row, how it is laid out, and its row rules."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = field(default=())

    @property
    def schema(self) -> dict[str, pl.DataType | type[pl.DataType]]:
        return {column.name: column.dtype for column in self.columns}

    def empty(self) -> pl.DataFrame:
        """No rows, all columns."""
        return pl.DataFrame(schema=self.schema)

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """Rows as a frame; what a row does not say is null. Lists and instants that rows share are converted once: by Polars alone it
        takes twice as long."""
        if not rows:
            return self.empty()
        nothing: dict[str, Any] = dict.fromkeys(self.schema)
        said = itemgetter(*self.schema)
        with kept_rows():
            try:
                columns = list(zip(*map(said, rows), strict=True))
            except KeyError:
                columns = list(zip(*(said({**nothing, **row}) for row in rows), strict=True))
            return pl.DataFrame(
                _series(name, dtype, values)
                for (name, dtype), values in zip(self.schema.items(), columns, strict=True)
            )

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with exactly this table's columns, in order and type; a missing column is an error."""
        return frame.select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())


def _series(name: str, dtype: pl.DataType | type[pl.DataType], values: Sequence[Any]) -> pl.Series:
    if not isinstance(dtype, pl.List | pl.Datetime):
        return pl.Series(name, values, dtype=dtype)
    places = list(map(id, values))
    shared = dict(zip(places, values, strict=True))
    number = {place: n for n, place in enumerate(shared)}
    numbers = pl.Series([number[place] for place in places], dtype=pl.UInt32)
    return pl.Series(name, list(shared.values()), dtype=dtype).gather(numbers)


def column(name: str, dtype: pl.DataType | type[pl.DataType], doc: str, nullable: bool = False) -> Column:
    return Column(name, dtype, doc, nullable)


def at_least_zero(name: str) -> Rule:
    return Rule(f"{name}_at_least_zero", f"have {name} ≥ 0", pl.col(name).is_null() | (pl.col(name) >= 0))


def one_of(name: str, *values: str) -> Rule:
    return Rule(f"{name}_known", f"have {name} in {', '.join(values)}", pl.col(name).is_in(list(values)))
