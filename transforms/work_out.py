"""A month worked out in one go: metering and the ten stages. Put here: their order, for previews, dry runs and replays. Keep out: I/O,
the gates; the assets run the same functions one by one."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from transforms.meter import meter_by_customers
from transforms.pipeline import run
from transforms.s02_rollover import rollover
from transforms.terms import due


@dataclass(frozen=True, slots=True)
class WorkedOut:
    """BILLING_TERMS, METERED_EVENTS, and each stage's table by its name."""

    terms: pl.DataFrame
    metered_events: pl.DataFrame
    tables: dict[str, pl.DataFrame]


def work_out(
    *,
    validated_events: pl.LazyFrame,
    terms: pl.DataFrame,
    month: str,
    earlier_allowances: pl.DataFrame,
    wallet_balances: pl.DataFrame,
    bonus_balances: pl.DataFrame,
) -> WorkedOut:
    """The month (YYYY-MM) of these VALIDATED_EVENTS under these terms. Memory: the metered events, and metering some customers at a
    time. Raises what metering and the stages raise."""
    parts = meter_by_customers(
        validated_events=validated_events,
        terms=terms,
        month=month,
        rollovers=rollover(terms=due(terms), earlier_allowances=earlier_allowances),
        bonus_balances=bonus_balances,
    )
    metered = pl.concat(parts.frames)
    tables = run(
        metered_events=metered.lazy(),
        terms=terms,
        earlier_allowances=earlier_allowances,
        wallet_balances=wallet_balances,
        bonus_balances=bonus_balances,
    )
    return WorkedOut(terms, metered, tables)
