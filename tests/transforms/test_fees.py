"""Fees in advance, what comes back of them, and the fee that is due once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.period import Schedule
from domain.terms import Contract, free_terms
from tests.transforms.months import bill, contract, plan

JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
DECEMBER_20 = datetime(2025, 12, 20, tzinfo=UTC)
MID_FEBRUARY = datetime(2026, 2, 15, tzinfo=UTC)
ADVANCE: dict[str, Any] = {"baseFee": 28, "baseFeeTiming": "ADVANCE"}


def lines(month: str, *contracts: Contract) -> list[tuple[str, str, Decimal]]:
    """(line type, description, amount) on a month's bill, in order."""
    made = bill(month, contracts)["routed_lines"]
    assert set(made["destination"]) <= {"INVOICE"}
    return made.select("line_type", "description", "amount").rows()


def test_the_first_bill_has_its_own_period_and_the_next() -> None:
    found = lines("2026-01", contract(plan(**ADVANCE), JANUARY))
    assert sorted(found) == [
        ("CHARGE", "Pro plan: base fee", 28),
        ("CHARGE", "Pro plan: base fee, 2026-02-01 to 2026-02-28 in advance", 28),
    ]


def test_later_bills_have_the_next_period_only() -> None:
    assert lines("2026-02", contract(plan(**ADVANCE), JANUARY)) == [
        ("CHARGE", "Pro plan: base fee, 2026-03-01 to 2026-03-31 in advance", 28)
    ]


def test_a_first_period_that_is_a_part_costs_its_part() -> None:
    amounts = [amount for *_, amount in lines("2026-02", contract(plan(**ADVANCE), MID_FEBRUARY))]
    assert sorted(amounts) == [14, 28]


def test_a_cancellation_gives_back_what_was_paid_for_and_not_used() -> None:
    cancelled = contract(plan(**ADVANCE), JANUARY, MID_FEBRUARY)
    assert lines("2026-02", cancelled) == [
        ("PRORATION", "Pro plan: base fee, unused 2026-02-15 to 2026-02-28", -14)
    ]
    assert lines("2026-03", cancelled) == []


def test_the_bill_before_a_cancellation_stays_as_it_was() -> None:
    before = lines("2026-01", contract(plan(**ADVANCE), JANUARY))
    assert lines("2026-01", contract(plan(**ADVANCE), JANUARY, MID_FEBRUARY)) == before


def test_a_contract_that_ends_with_its_period_pays_for_no_further_one() -> None:
    assert [amount for *_, amount in lines("2026-01", contract(plan(**ADVANCE), JANUARY, FEBRUARY))] == [28]


def test_a_change_of_plan_is_a_credit_a_charge_and_the_next_period() -> None:
    old = contract(plan(**ADVANCE), JANUARY, MID_FEBRUARY)
    new = contract(
        plan(**ADVANCE | {"baseFee": 56}), MID_FEBRUARY, earlier_ends=(MID_FEBRUARY,), schedule=old.schedule
    )
    assert sorted((kind, amount) for kind, _, amount in lines("2026-02", old, new)) == [
        ("CHARGE", 28), ("CHARGE", 56), ("PRORATION", -14),
    ]  # fmt: skip


def committed(month: str, agreed: Contract, used: int) -> dict[str, Decimal]:
    """By description, what the lines of a month come to, before discounts."""
    at = datetime.fromisoformat(f"{month}-10T00:00:00+00:00")
    made = bill(month, [agreed], [(at, used)] if used else [])["committed_lines"]
    assert made["problem"].null_count() == made.height
    rows = made.select("description", pl.col("amount") + pl.col("commit_adjustment")).rows()
    return {said.removeprefix("Pro plan: "): amount for said, amount in rows}


CALLS: dict[str, Any] = {"metrics": [{"unit": "calls", "rate": 1}]}
FEBRUARY_AHEAD, MARCH_AHEAD = (
    f"base fee, 2026-{days} in advance" for days in ("02-01 to 2026-02-28", "03-01 to 2026-03-31")
)
UNUSED = "base fee, unused 2026-02-15 to 2026-02-28"


@pytest.mark.parametrize(
    ("bounds", "ends", "used", "january", "february"),
    [
        # January: 28 + 20 lack 52; February: 28 paid ahead + 20 lack 52.
        ({"minimumSpend": 100}, None, 20, [("base fee", "58.33"), (FEBRUARY_AHEAD, 28), ("Calls", "41.67")], [(MARCH_AHEAD, 28), ("Calls", 72)]),
        ({"minimumSpend": 40}, None, 20, [("base fee", 28), (FEBRUARY_AHEAD, 28), ("Calls", 20)], [(MARCH_AHEAD, 28), ("Calls", 20)]),
        # 28 + 82 are 20 more than 90.
        ({"maximumSpend": 90}, None, 82, [("base fee", "22.91"), (FEBRUARY_AHEAD, 28), ("Calls", "67.09")], [(MARCH_AHEAD, 28), ("Calls", 62)]),
        # Half of February: 14 of the fee stay, with 20 they lack 16 of 50.
        ({"minimumSpend": 100}, MID_FEBRUARY, 20, None, [(UNUSED, -14), ("Calls", 36)]),
        ({"commitment": {"type": "MONTHLY", "amount": 100}}, None, 20,
         [("base fee", 28), (FEBRUARY_AHEAD, 28), ("Calls", 20), ("monthly commitment, true-up", 52)],
         [(MARCH_AHEAD, 28), ("Calls", 20), ("monthly commitment, true-up", 52)]),
        ({"commitment": {"type": "MONTHLY", "amount": 100}}, MID_FEBRUARY, 20, None,
         [(UNUSED, -14), ("Calls", 20), ("monthly commitment, true-up", 16)]),
    ],
)  # fmt: skip
def test_a_fee_in_advance_counts_for_the_period_it_is_for(
    bounds: dict[str, Any], ends: datetime | None, used: int, january: Any, february: Any
) -> None:
    agreed = contract(plan(**ADVANCE, **CALLS, **bounds), JANUARY, ends)
    for month, came in (("2026-01", january), ("2026-02", february)):
        if came is not None:
            assert committed(month, agreed, used) == {said: Decimal(amount) for said, amount in came}


def test_a_setup_fee_is_due_once() -> None:
    agreed = contract(plan(baseFee=10, setupFee=99), JANUARY)
    assert lines("2026-01", agreed)[0] == ("SETUP_FEE", "Pro plan: setup fee", 99)
    assert [kind for kind, *_ in lines("2026-02", agreed)] == ["CHARGE"]


def test_a_part_of_a_period_owes_the_setup_fee_in_full() -> None:
    agreed = contract(plan(setupFee=99, baseFee=28), MID_FEBRUARY)
    assert [amount for *_, amount in lines("2026-02", agreed)] == [99, 14]


def test_a_change_of_plan_or_a_resumption_is_no_second_setup() -> None:
    agreed = contract(plan(setupFee=99, baseFee=28), MID_FEBRUARY, opens=False)
    assert [kind for kind, *_ in lines("2026-02", agreed)] == ["CHARGE"]


def test_a_trial_pays_neither_in_advance_nor_a_setup_fee() -> None:
    paid = contract(plan(**ADVANCE, setupFee=99), JANUARY, FEBRUARY)
    trial = Contract(
        **{name: getattr(paid, name) for name in Contract.__slots__} | {"terms": free_terms(paid.terms)}
    )
    assert lines("2026-01", trial) == [("CHARGE", "Pro plan: base fee, trial", 0)]


def test_a_minimum_spend_beside_a_fee_in_advance_holds_the_customer() -> None:
    made = bill("2026-01", [contract(plan(**ADVANCE, minimumSpend=50), JANUARY)])["routed_lines"]
    assert set(made["destination"]) == {"HELD"}


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 88 * 86_400).map(lambda seconds: JANUARY + timedelta(seconds=seconds)),
    st.decimals("0.01", "1000", places=2),
    st.sampled_from([1, 15, 31]),
    st.sampled_from(["UTC", "Europe/Madrid", "America/New_York"]),
)
def test_over_its_life_a_fee_in_advance_comes_to_the_fee_in_arrears(
    ends_at: datetime, fee: Decimal, anchor: int, zone: str
) -> None:
    """To within a minor unit for each line that is a part."""
    schedule = Schedule(DECEMBER_20.date(), "MONTHLY", anchor, zone)
    totals = [
        sum(
            amount
            for month in ("2025-12", "2026-01", "2026-02", "2026-03", "2026-04")
            for *_, amount in lines(
                month,
                contract(plan(baseFee=fee, baseFeeTiming=timing), DECEMBER_20, ends_at, schedule=schedule),
            )
        )
        for timing in ("ADVANCE", "ARREARS")
    ]  # fmt: skip
    assert abs(totals[0] - totals[1]) <= Decimal("0.02")
