"""One month of two customers, worked by hand from events to amounts due: six price models, two currencies."""

import polars as pl
import pytest

from tests.transforms.billing_rows import MID_NOVEMBER, d, metered, term, terms, tiers
from transforms.pipeline import run

BANDS = tiers((1000, "0.010"), (10000, "0.008"), (None, "0.005"))

ADA = [
    term(None, customer_id="ada", flat_amount=d("49.00")),
    term("api_calls", "GRADUATED", customer_id="ada", line_order=1, tiers=BANDS),
    term("storage", "PER_UNIT", customer_id="ada", line_order=2, aggregation="MAX", rate=d("0.125")),
    term("requests", "INCLUDED_QUOTA", customer_id="ada", line_order=3, rate=d("0.001"),
         included_free=d(1000), block_size=d(100), block_rate_basis="PER_UNIT"),
    term("seats", "FLAT_RATE", customer_id="ada", line_order=4, flat_amount=d("12.50")),
]  # fmt: skip

YEN = {"customer_id": "bo", "currency": "JPY", "exponent": 0}
BO = [
    # Live from the 16th: 15 of 30 days.
    term(None, **YEN, flat_amount=d(4901), active_start=MID_NOVEMBER),
    term("tokens", "VOLUME_TIERED", **YEN, line_order=1, tiers=tiers((100, "3", 50), (None, "2", 10))),
    term("payments", "PERCENTAGE", **YEN, line_order=2, rate=d("0.029"), min_fee=d(100)),
    term("exports", "PER_UNIT", **YEN, line_order=3, rate=d("2.5")),
]

EVENTS = [
    (ADA[1], "9000"),
    (ADA[1], "6000"),
    (ADA[2], "3"),
    (ADA[2], "5.4"),
    (ADA[2], "1"),
    (ADA[3], "700"),
    (ADA[3], "450"),
    (BO[1], "60.5"),
    (BO[1], "40"),
    (BO[2], "2000"),
    (BO[2], "1000"),
    (BO[3], "1"),
]

AMOUNTS = {
    # A whole month's fee.
    "ln_ada_base_fee": "49.00",
    # 9,000 + 6,000 = 15,000: 1,000 × 0.010 + 9,000 × 0.008 + 5,000 × 0.005 = 10 + 72 + 25.
    "ln_ada_api_calls": "107.00",
    # The greatest of 3, 5.4 and 1: 5.4 × 0.125 = 0.675, a tie, to the even cent.
    "ln_ada_storage": "0.68",
    # 700 + 450 = 1,150, 1,000 free: 150 over are 2 blocks begun, all 200 units at 0.001.
    "ln_ada_requests": "0.20",
    # Not used; costs the same.
    "ln_ada_seats": "12.50",
    # 4,901 × 15 / 30 = 2,450.5, a tie, to the even yen.
    "ln_bo_base_fee": "2450",
    # 60.5 + 40 = 100.5 is in the second band, all of it: 100.5 × 2 + 10.
    "ln_bo_tokens": "211",
    # 3,000 × 0.029 = 87, below the floor.
    "ln_bo_payments": "100",
    # 2.5 is a tie, to the even yen.
    "ln_bo_exports": "2",
}


@pytest.fixture(scope="module")
def made() -> dict[str, pl.DataFrame]:
    # Bo's tiers and floor are terms of a whole period; only the fee is for a part of it.
    return run(metered_events=metered(*EVENTS), terms=terms(*ADA, *BO))


def test_every_line_comes_to_what_the_hand_computed(made: dict[str, pl.DataFrame]) -> None:
    amounts = dict(made["rated_lines"].select("line_id", "amount").iter_rows())
    assert amounts == {line: d(amount) for line, amount in AMOUNTS.items()}


def test_each_invoice_is_the_sum_of_its_lines(made: dict[str, pl.DataFrame]) -> None:
    """49.00 + 107.00 + 0.68 + 0.20 + 12.50 = 169.38; 2,450 + 211 + 100 + 2 = 2,763."""
    due = made["settlements"].select("customer_id", "currency", "lines", "amount_due").rows()
    assert due == [("ada", "USD", 5, d("169.38")), ("bo", "JPY", 4, d(2763))]


def test_the_same_month_twice_is_the_same_to_the_last_row(made: dict[str, pl.DataFrame]) -> None:
    again = run(metered_events=metered(*reversed(EVENTS)), terms=terms(*reversed(BO), *reversed(ADA)))
    for table in ("rated_lines", "routed_lines", "settlements"):
        assert again[table].equals(made[table])
