"""What a month takes over from months billed before it. Put here: reading it from the lake. Keep out: what is made of it
(transforms), writing."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from storage.lake import Lake
from storage.scope import Scope
from transforms.frames import ALLOWANCES


def earlier_allowances(lake: Lake, scope: Scope, months: Iterable[str]) -> pl.DataFrame:
    """ALLOWANCES of these months (YYYY-MM) for the scope's tenants and customers. Tables written before a column was described
    lack it: it is null."""
    found = [ALLOWANCES.empty()]
    for month in months:
        rows = lake.scan("allowances", scope.of(month)).collect()
        lacking = [pl.lit(None).alias(name) for name in ALLOWANCES.schema if name not in rows.columns]
        found.append(ALLOWANCES.conform(rows.with_columns(lacking)))
    return pl.concat(found)
