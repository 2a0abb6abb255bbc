"""Commitments: the terms they bind for, and what they add or take."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.commitment import Committed, committed
from domain.period import Period, Schedule

D = Decimal
MONTHLY = Schedule(date(2024, 1, 1), "MONTHLY", 1, "UTC")
QUARTERLY = Schedule(date(2024, 1, 1), "QUARTERLY", 1, "UTC")
AGREED = {"type": "ANNUAL", "amount": "1200", "trueUp": True, "overageFactor": "1.5", "termMonths": 12}


def at(month: int, day: int = 1, year: int = 2024) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


ALWAYS = ((at(1), None),)


def stands(month: int, *, year: int = 2024, pieces: Any = ALWAYS, schedule: Schedule = MONTHLY, **agreed: Any) -> Committed:  # fmt: skip
    period = schedule.at(at(month, year=year))
    return committed({**AGREED, **agreed}, schedule, period, period, pieces)


def test_a_term_starts_with_the_agreement_and_is_followed_by_another() -> None:
    first, last, next_term = stands(1), stands(12), stands(1, year=2025)
    assert (first.starts, first.ends, len(first.earlier)) == (True, False, 0)
    assert (last.starts, last.ends, len(last.earlier)) == (False, True, 11)
    assert (next_term.starts, next_term.earlier) == (True, ())
    assert first.owed == last.owed == D(1200)


def test_a_term_that_is_cut_short_ends_there_and_owes_that_part() -> None:
    """31 + 29 + 31 of 366 days."""
    cut = stands(3, pieces=((at(1), at(4)),))
    assert cut.ends
    assert cut.owed == round(D(1200) * 91 / 366, 12)


def test_a_month_in_which_the_agreement_was_paused_is_no_part_of_what_must_be_billed() -> None:
    paused = stands(5, pieces=((at(1), at(3)), (at(4), None)))
    assert [each.month for each in paused.earlier] == [1, 2, 4]


def test_quarters_make_up_a_term_too() -> None:
    third = stands(7, schedule=QUARTERLY)
    assert (third.starts, third.ends, [each.month for each in third.earlier]) == (False, False, [1, 4])
    assert stands(10, schedule=QUARTERLY).ends
    assert stands(7, schedule=QUARTERLY, type="MONTHLY").owed == D(3600)


def test_a_part_of_a_month_owes_that_part_of_a_monthly_commitment() -> None:
    period = MONTHLY.at(at(4))
    half = committed({**AGREED, "type": "MONTHLY"}, MONTHLY, period, Period(at(4, 16), at(5)), ())
    assert half.owed == D(600)


@pytest.mark.parametrize(
    ("given", "charged", "usage", "amounts"),
    [
        # Below: topped up. At: nothing. Beyond: half as much again for what is beyond, but for usage only.
        ({"type": "MONTHLY"}, 40, 40, {"TRUE_UP": 60, "OVERAGE": 0}),
        ({"type": "MONTHLY", "true_up": False}, 40, 40, {"TRUE_UP": 0, "OVERAGE": 0}),
        ({"type": "MONTHLY"}, 100, 100, {"TRUE_UP": 0, "OVERAGE": 0}),
        ({"type": "MONTHLY"}, 130, 130, {"TRUE_UP": 0, "OVERAGE": 15}),
        ({"type": "MONTHLY"}, 130, 10, {"TRUE_UP": 0, "OVERAGE": 5}),
        # A term: earlier periods count; only the last one is topped up.
        ({"type": "ANNUAL", "ends": False, "spent": 10}, 20, 20, {"TRUE_UP": 0, "OVERAGE": 0}),
        ({"type": "ANNUAL", "spent": 70}, 20, 20, {"TRUE_UP": 10, "OVERAGE": 0}),
        ({"type": "ANNUAL", "spent": 90}, 20, 20, {"TRUE_UP": 0, "OVERAGE": 5}),
        ({"type": "ANNUAL", "spent": 150}, 20, 20, {"TRUE_UP": 0, "OVERAGE": 10}),
        # Prepaid: paid when the term starts, drawn while any is left.
        ({"type": "PREPAID"}, 30, 30, {"PREPAYMENT": 100, "DRAW": -30, "OVERAGE": 0}),
        ({"type": "PREPAID", "starts": False, "drawn": 80}, 30, 30, {"PREPAYMENT": 0, "DRAW": -20, "OVERAGE": 5}),
        ({"type": "PREPAID", "starts": False, "drawn": 100}, 30, 30, {"PREPAYMENT": 0, "DRAW": 0, "OVERAGE": 15}),
        ({"type": "PREPAID", "starts": False}, 0, 0, {"PREPAYMENT": 0, "DRAW": 0, "OVERAGE": 0}),
    ],
)  # fmt: skip
def test_what_a_commitment_adds_and_takes(
    given: dict[str, Any], charged: int, usage: int, amounts: dict[str, int]
) -> None:
    exact = {name: D(each) if name in ("spent", "drawn") else each for name, each in given.items()}
    agreed = Committed(owed=D(100), factor=D("1.5"), **exact)
    assert agreed.amounts(D(charged), D(usage), exponent=2, rounding="HALF_EVEN") == amounts
    assert Committed.from_text(agreed.as_text()) == agreed
