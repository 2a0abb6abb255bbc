"""Whom gates left out of the tables of a month. Put here: keeping and asking it. Keep out: deciding it (expectations.admission)."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from storage.lake import Lake
from storage.scope import Scope
from transforms.frames import GATE_HOLDS


def left_out(lake: Lake, scope: Scope, tables: Collection[str]) -> pl.DataFrame:
    """`tenant_id, customer_id, reason` of those whose rows are missing in one of these tables, one row for each table."""
    rows = lake.scan(GATE_HOLDS.name, scope).filter(pl.col("table").is_in(list(tables)))
    return rows.select("tenant_id", "customer_id", "reason").sort(pl.all()).collect()


def keep_left_out(lake: Lake, scope: Scope, table: str, people: pl.DataFrame) -> None:
    """These, and no others, are missing in the table. people: `tenant_id, customer_id, reason`."""
    known = lake.scan(GATE_HOLDS.name, scope).collect()
    others = known.filter(pl.col("table") != table)
    if people.is_empty() and others.height == known.height:
        return
    new = people.with_columns(month=pl.lit(scope.month), table=pl.lit(table))
    lake.replace(GATE_HOLDS.name, pl.concat([others, GATE_HOLDS.conform(new)]), scope)
