"""Commitments: spend agreed beforehand. Put here: the terms they bind for, and what they add or take in a period. Keep out: storage,
frames, how a plan says them (domain.catalog.plan_terms).

A commitment is met by all a subscription is charged, fees and usage; beyond it, usage costs `factor` times as much. MONTHLY binds
in each period by itself, ANNUAL over a term of several periods, PREPAID is paid when its term begins and drawn down.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.money import prorate, round_money
from domain.period import MONTHS_IN_CYCLE, Period, Schedule
from domain.quantity import plain

MONTHLY, ANNUAL, PREPAID = "MONTHLY", "ANNUAL", "PREPAID"
TRUE_UP, OVERAGE, PREPAYMENT, DRAW = "TRUE_UP", "OVERAGE", "PREPAYMENT", "DRAW"
LINES = (TRUE_UP, OVERAGE, PREPAYMENT, DRAW)
_LINES_OF = {
    MONTHLY: ((TRUE_UP, "monthly commitment, true-up"), (OVERAGE, "usage beyond the monthly commitment")),
    ANNUAL: ((TRUE_UP, "annual commitment, true-up"), (OVERAGE, "usage beyond the annual commitment")),
    PREPAID: (
        (PREPAYMENT, "prepaid commitment"),
        (DRAW, "drawn from the prepaid commitment"),
        (OVERAGE, "usage beyond the prepaid commitment"),
    ),
}
_ZERO, _PLACES = Decimal(0), 12
Piece = tuple[datetime, datetime | None]


@dataclass(frozen=True, slots=True)
class Committed:
    """A commitment as it stands for a period. owed: by the end of the term, or of the period if MONTHLY. starts, ends: this is
    the first, the last period of the term. spent: charged in the term's earlier periods; drawn: drawn in them.
    earlier: when those began. since: what makes it another agreement."""

    type: str
    owed: Decimal
    factor: Decimal = Decimal(1)
    true_up: bool = True
    starts: bool = True
    ends: bool = True
    spent: Decimal = _ZERO
    drawn: Decimal = _ZERO
    earlier: tuple[datetime, ...] = ()
    since: datetime | None = None

    def as_text(self) -> str:
        """As it stands in the frozen terms: canonical JSON."""
        said: dict[str, Any] = {
            "type": self.type,
            "trueUp": self.true_up,
            "starts": self.starts,
            "ends": self.ends,
        }
        said |= {name: plain(getattr(self, name)) for name in ("owed", "factor", "spent", "drawn")}
        said["earlier"] = [at.isoformat() for at in self.earlier]
        said["since"] = self.since and self.since.isoformat()
        return json.dumps(said, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Committed:
        """What `as_text` wrote."""
        said = json.loads(text)
        return cls(
            type=said["type"],
            true_up=said["trueUp"],
            starts=said["starts"],
            ends=said["ends"],
            earlier=tuple(datetime.fromisoformat(at) for at in said["earlier"]),
            since=datetime.fromisoformat(said["since"]) if said["since"] else None,
            **{name: Decimal(said[name]) for name in ("owed", "factor", "spent", "drawn")},
        )

    def times(self, rate: Decimal) -> Committed:
        """In another currency."""
        return replace(self, owed=round(self.owed * rate, _PLACES))

    def asks_for(self, line: str) -> bool:
        """Whether the period has a line of this kind."""
        asked: dict[str, bool] = {
            TRUE_UP: self.ends and self.true_up,
            OVERAGE: self.factor != 1,
            PREPAYMENT: self.starts,
            DRAW: True,
        }
        return asked[line]

    def amounts(
        self, charged: Decimal, usage: Decimal, *, exponent: int, rounding: str
    ) -> dict[str, Decimal]:
        """What each kind of line comes to, rounded once. charged: all the period's charges; usage: those for usage alone."""
        owed = round_money(self.owed, exponent, rounding)
        if self.type == PREPAID:
            draw = min(max(owed - self.drawn, _ZERO), max(charged, _ZERO))
            beyond = max(charged - draw, _ZERO)
            made = {PREPAYMENT: owed if self.starts else _ZERO, DRAW: -draw}
        else:
            beyond = max(self.spent + charged - owed, _ZERO) - max(self.spent - owed, _ZERO)
            missing = max(owed - self.spent - charged, _ZERO)
            made = {TRUE_UP: missing if self.ends and self.true_up else _ZERO}
        overage = min(max(usage, _ZERO), max(beyond, _ZERO)) * (self.factor - 1)
        return made | {OVERAGE: round_money(overage, exponent, rounding)}


def commitment_lines(agreed: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(kind, what the line says) of a plan's commitment (see commitment_content)."""
    factor, trued = Decimal(agreed["overageFactor"]), agreed["trueUp"]
    left_out = ({OVERAGE} if factor == 1 else set()) | (set() if trued else {TRUE_UP})
    return [(kind, says) for kind, says in _LINES_OF[agreed["type"]] if kind not in left_out]


def whole_periods(agreed: Mapping[str, Any], schedule: Schedule) -> bool:
    """Whether the term is made of whole billing periods, so that bills can tell it apart from the next one."""
    months: int = agreed["termMonths"]
    return bool(agreed["type"] == MONTHLY or months % MONTHS_IN_CYCLE[schedule.cycle] == 0)


def committed(
    agreed: Mapping[str, Any], schedule: Schedule, period: Period, live: Period, pieces: Sequence[Piece]
) -> Committed:
    """How the commitment stands for a period, nothing yet spent. live: the part the contract was live; pieces: when the
    agreement was in force, [start, end), which pauses may interrupt. A term that is cut short owes that part of the amount,
    by elapsed time; a prepayment is due in full."""
    amount, factor = Decimal(agreed["amount"]), Decimal(agreed["overageFactor"])
    if agreed["type"] == MONTHLY:
        whole = amount * MONTHS_IN_CYCLE[schedule.cycle]
        owed = prorate(whole, live.end - live.start, period.end - period.start, _PLACES)
        return Committed(MONTHLY, owed, factor, agreed["trueUp"], since=live.start)
    since, until = pieces[0][0], pieces[-1][1]
    length = agreed["termMonths"] // MONTHS_IN_CYCLE[schedule.cycle]
    first, this = schedule.index_at(since), schedule.index_at(period.start)
    begins = first + (this - first) // length * length
    term = Period(schedule.period(begins).start, schedule.period(begins + length).start)
    held = [schedule.period(at) for at in range(begins, begins + length)]
    held = [each for each in held if _in_force(each, pieces)]
    start, end = max(term.start, since), min(term.end, until or term.end)
    part = prorate(amount, end - start, term.end - term.start, _PLACES)
    return Committed(
        agreed["type"],
        amount if agreed["type"] == PREPAID else part,
        factor,
        agreed["trueUp"],
        starts=period == held[0],
        ends=period == held[-1],
        earlier=tuple(each.start for each in held if each.start < period.start),
        since=since,
    )


def _in_force(period: Period, pieces: Sequence[Piece]) -> bool:
    return any(start < period.end and (end is None or end > period.start) for start, end in pieces)
