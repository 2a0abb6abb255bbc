"""Bonus units: free units out of a customer's wallets. Put here: which usage they cover, for metering and for Allowance alike. Keep
out: what wallets hold (it is frozen), booking what was taken (storage.repositories.wallet_billing).

They are used up as usage happens: usage that plan's free units and hard cap leave to be paid for draws from the grants that are good
at its time, in their order of burning. What a correction took back later was never used: usage of a moment is what the unit's value
does not fall below again. Values known only at the end of the period count as used with the last event.

Cost: one sort of the events of lines whose customers have such grants, and a step for each of these customers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from transforms.table import BONUS_DRAWS, QUANTITY, TEXT, WHOLE

_WHO = ("tenant_id", "customer_id", "unit")
_IN_TIME = ("occurred_at", "key_hash", "raw_seq")
_NOTHING = pl.lit(0, dtype=QUANTITY)
_DRAWS: dict[str, Any] = {"line_id": TEXT, "burn_order": WHOLE, "grant_id": TEXT, "units": QUANTITY}


class Covered(NamedTuple):
    """events: `line_id, raw_seq, covered` of the events that bonus units cover something of. draws: `line_id, bonus,
    bonus_draws` of their lines."""

    events: pl.DataFrame
    draws: pl.DataFrame


class _Stretch(NamedTuple):
    """Time in which the same grants are good: their places in the order of burning, and which of the events lie in it."""

    grants: tuple[int, ...]
    first: int
    end: int


def concerned(usage: pl.DataFrame, bonus: pl.DataFrame | None) -> pl.DataFrame:
    """The terms of usage whose customers have bonus units of the unit, and which are priced by the unit: nothing is used up where
    usage costs nothing by itself or is priced event by event."""
    if bonus is None or bonus.is_empty():
        return usage.clear()
    own = pl.any_horizontal(pl.col(f"per_event_{name}").is_not_null() for name in ("fee", "min", "max"))
    free = pl.col("tiers").is_null() & (pl.col("rate").fill_null(0) == 0)
    priced = usage.filter((pl.col("kind") == "USAGE") & (pl.col("model") != "FLAT_RATE") & ~own & ~free)
    return priced.join(bonus, on=_WHO, how="semi", maintain_order="left")


def cover(events: pl.DataFrame, lines: pl.DataFrame, bonus: pl.DataFrame) -> Covered:
    """What bonus units cover of the lines' usage.

    events: `line_id, occurred_at, key_hash, raw_seq, left`; left: what of the line's value would be to pay after each. lines: as of
    `concerned`. bonus: BONUS_BALANCES.
    """
    steps = _steps(events).join(lines.select("line_id", *_WHO), on="line_id", how="inner")
    balances: dict[Any, list[dict[str, Any]]] = {
        key: rows.sort("burn_order").to_dicts()
        for key, rows in bonus.partition_by(_WHO, as_dict=True, include_key=False).items()
    }
    covered, drawn = [], [pl.DataFrame(schema=_DRAWS)]
    for key, used in steps.sort(*_WHO, *_IN_TIME, "line_id").partition_by(_WHO, as_dict=True).items():
        grants = balances.get(key, [])
        left = {grant["burn_order"]: grant["available"] for grant in grants}
        for stretch in _stretches(used["occurred_at"], grants):
            part = used[stretch.first : stretch.end]
            used_up = Decimal(part["step"].sum())
            for place, units in _taken(used_up, stretch.grants, left):
                left[place] -= units
                part = _given(part, units)
                drawn.append(_drawn(part, place, grants))
                covered.append(part.filter(pl.col("given") > 0).select("line_id", "raw_seq", "given"))
    return Covered(_by_event(covered, steps), _by_line(pl.concat(drawn)))


def _steps(events: pl.DataFrame) -> pl.DataFrame:
    """The events that add to what is to pay of their line, with how much: `step`, above 0."""
    ordered = events.sort("line_id", *_IN_TIME)
    left = pl.max_horizontal(pl.col("left").fill_null(0), _NOTHING)
    standing = ordered.with_columns(standing=left.cum_min(reverse=True).over("line_id"))
    step = pl.col("standing") - pl.col("standing").shift(1).over("line_id").fill_null(0)
    return standing.with_columns(step=step.cast(QUANTITY)).filter(pl.col("step") > 0).drop("left", "standing")


def _stretches(times: pl.Series, grants: Sequence[dict[str, Any]]) -> Iterator[_Stretch]:
    """The stretches in which some grant is good and something was used, in order of time. times: sorted."""
    bounds = {grant["effective_at"] for grant in grants} | {grant["expires_at"] for grant in grants} - {None}
    starts = sorted(bounds)
    for start, end in zip(starts, [*starts[1:], None], strict=False):
        first = times.search_sorted(start, "left")
        last = len(times) if end is None else times.search_sorted(end, "left")
        good = tuple(grant["burn_order"] for grant in grants if _good(grant, start))
        if good and last > first:
            yield _Stretch(good, first, last)


def _good(grant: dict[str, Any], at: datetime) -> bool:
    expires_at = grant["expires_at"]
    return bool(grant["effective_at"] <= at and (expires_at is None or expires_at > at))


def _taken(used: Decimal, places: Sequence[int], left: dict[int, Decimal]) -> Iterator[tuple[int, Decimal]]:
    """How much each grant gives towards `used` units, in order."""
    for place in places:
        units = min(used, left[place])
        if units > 0:
            used -= units
            yield place, units


def _given(part: pl.DataFrame, units: Decimal) -> pl.DataFrame:
    """The events with `given`, how much of each of the first so many units is, and `step` less that."""
    until = pl.col("step").cum_sum()
    over = pl.max_horizontal(until - pl.lit(units, dtype=QUANTITY), _NOTHING)
    given = pl.max_horizontal(pl.col("step") - over, _NOTHING)
    return part.with_columns(given=given.cast(QUANTITY)).with_columns(
        step=(pl.col("step") - pl.col("given")).cast(QUANTITY)
    )


def _drawn(part: pl.DataFrame, place: int, grants: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """What each line got of the grant at this place."""
    grant_id = next(grant["grant_id"] for grant in grants if grant["burn_order"] == place)
    said = {"burn_order": pl.lit(place, dtype=WHOLE), "grant_id": pl.lit(grant_id)}
    of_lines = part.group_by("line_id").agg(units=pl.col("given").sum().cast(QUANTITY))
    return of_lines.select("line_id", **said, units="units")


def _by_event(covered: list[pl.DataFrame], steps: pl.DataFrame) -> pl.DataFrame:
    none = steps.clear().select("line_id", "raw_seq", given=pl.lit(None, dtype=QUANTITY))
    rows = pl.concat([none, *covered]).group_by("line_id", "raw_seq")
    return rows.agg(covered=pl.col("given").sum().cast(QUANTITY))


def _by_line(drawn: pl.DataFrame) -> pl.DataFrame:
    rows = (
        drawn.filter(pl.col("units") > 0)
        .group_by("line_id", "burn_order", "grant_id")
        .agg(pl.col("units").sum())
    )
    lines = rows.sort("line_id", "burn_order").group_by("line_id", maintain_order=True)
    found = lines.agg(bonus=pl.col("units").sum(), bonus_draws=pl.struct("grant_id", "units"))
    return found.with_columns(pl.col("bonus").cast(QUANTITY), pl.col("bonus_draws").cast(BONUS_DRAWS))
