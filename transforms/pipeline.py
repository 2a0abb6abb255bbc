"""The ten stages in their order, and why. Put here: the order, and one call that runs it all. Keep out: I/O,
the stages' rules. Previews, sandbox and backtests run this; the assets run the same functions one by one."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import NamedTuple

import polars as pl

from transforms.frames import ALLOWANCES, BONUS_BALANCES, WALLET_BALANCES
from transforms.s01_quota_check import quota_check
from transforms.s02_rollover import rollover
from transforms.s03_aggregate import aggregate
from transforms.s04_allowance import allowance
from transforms.s05_rate import rate
from transforms.s06_commit import commit
from transforms.s07_discount import discount
from transforms.s08_tax import tax
from transforms.s09_route import route
from transforms.s10_settle import settle
from transforms.terms import due


class Stage(NamedTuple):
    """`rule` takes tables by name (`terms`: the due BILLING_TERMS) and its result is the table `makes`."""

    name: str
    makes: str
    rule: Callable[..., pl.DataFrame]


STAGES = (
    # First: usage beyond a hard cap must not reach the sums.
    Stage("QuotaCheck", "quota_checks", quota_check),
    # Free units carried in must be known before any are used up.
    Stage("Rollover", "rollovers", rollover),
    # Prices and free units apply to the period's usage as a whole.
    Stage("Aggregate", "usage_aggregates", aggregate),
    # Free units go before any price sees the usage; here, and only here.
    Stage("Allowance", "allowances", allowance),
    # Money begins: every line is rounded once, and stays so.
    Stage("Rate", "rated_lines", rate),
    # A minimum spend is met by charges at list price, so before discounts.
    Stage("Commit", "committed_lines", commit),
    # Before tax: tax is on what the customer really pays.
    Stage("Discount", "discounted_lines", discount),
    # After all that changes the price, before anyone pays: wallets pay tax too.
    Stage("Tax", "taxed_lines", tax),
    # Only now is it known what is payable, and which customers must wait.
    Stage("Route", "routed_lines", route),
    # Last: adds up what the stages before have left, and changes no line.
    Stage("Settle", "settlements", settle),
)


def run(
    *,
    metered_events: pl.LazyFrame,
    terms: pl.DataFrame,
    earlier_allowances: pl.DataFrame | None = None,
    wallet_balances: pl.DataFrame | None = None,
    bonus_balances: pl.DataFrame | None = None,
) -> dict[str, pl.DataFrame]:
    """All ten stages over METERED_EVENTS and BILLING_TERMS; each stage's table by its name, in order.

    Only due terms are billed. earlier_allowances: see `rollover`; bonus_balances: see `allowance`; metering must have been given
    the same. wallet_balances: None means empty wallets. Raises what the stages raise, all of it permanent.
    """
    inputs: dict[str, pl.DataFrame | pl.LazyFrame] = {
        "metered_events": metered_events,
        "terms": due(terms),
        "earlier_allowances": ALLOWANCES.empty() if earlier_allowances is None else earlier_allowances,
        "wallet_balances": WALLET_BALANCES.empty() if wallet_balances is None else wallet_balances,
        "bonus_balances": BONUS_BALANCES.empty() if bonus_balances is None else bonus_balances,
    }
    # Free units carried in are frozen before metering: caps may grow by them.
    inputs["rollovers"] = rollover(
        terms=due(terms),
        earlier_allowances=inputs["earlier_allowances"],  # type: ignore[arg-type]
    )
    made: dict[str, pl.DataFrame] = {}
    for stage in STAGES:
        known = inputs | made
        made[stage.makes] = stage.rule(**{table: known[table] for table in signature(stage.rule).parameters})
    return made
