"""Credit notes: what an amount is made of, whatever way it is given back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.credit_note import Creditable, CreditRequest, MoreThanIsCreditable, shares

D = Decimal
CENTS = st.integers(1, 50_000).map(lambda cents: D(cents) / 100)


def request(amount: Decimal) -> CreditRequest:
    return CreditRequest("inv", "OTHER", None, amount, {})


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.tuples(CENTS, st.integers(0, 90), st.integers(0, 25)), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 99), max_size=5),
)
def test_bit_by_bit_exactly_the_tax_and_discount_of_every_line_go_back(
    lines: list[tuple[Decimal, int, int]], cuts: list[int]
) -> None:
    open_lines = []
    for place, (charge, off, rate) in enumerate(lines):
        discount = (charge * off / 100).quantize(D("0.01"))
        tax = ((charge - discount) * rate / 100).quantize(D("0.01"))
        open_lines.append(Creditable(f"ln{place}", charge, discount, tax))
    before = list(open_lines)
    left = sum((line.total for line in open_lines), D(0))
    parts = [(left * cut / 100 / (len(cuts) + 1)).quantize(D("0.01")) for cut in cuts]
    for amount in [*(part for part in parts if part), None]:
        amount = left if amount is None else amount
        if not amount:
            continue
        taken = {share.line_id: share for share in shares(open_lines, request(amount), left, 2)}
        assert sum(share.total for share in taken.values()) == amount
        left -= amount
        open_lines = [
            Creditable(
                line.line_id, line.charge, line.discount, line.tax, line.credited + share.total,
                line.credited_discount + share.discount, line.credited_tax + share.tax,
            )
            if (share := taken.get(line.line_id))
            else line
            for line in open_lines
        ]  # fmt: skip
    for line, was in zip(open_lines, before, strict=True):
        assert line.left == 0
        if was.total:
            assert (line.credited_tax, line.credited_discount) == (was.tax, was.discount)


def test_the_last_credit_takes_credits_among_the_lines_with_it() -> None:
    lines = [Creditable("a", D(100), D(0), D(19)), Creditable("b", D(-50), D(0), D("-9.5"))]
    taken = shares(lines, request(D("59.50")), D("59.50"), 2)
    assert {share.line_id: share.total for share in taken} == {"a": D(119), "b": D("-59.5")}


def test_more_than_is_left_is_refused() -> None:
    with pytest.raises(MoreThanIsCreditable, match=r"119\.01 is more than the 119\.00"):
        shares([Creditable("a", D(100), D(0), D(19))], request(D("119.01")), D(119), 2)
