"""Quantities as they are written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.quantity import plain


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        ("1", "1"),
        ("1.500", "1.5"),
        ("1E+3", "1000"),
        ("0E-9", "0"),
        ("-0.0", "0"),
        ("0.000000001", "0.000000001"),
        ("-7", "-7"),
    ],
)
def test_one_text_for_each_value(quantity: str, text: str) -> None:
    assert plain(Decimal(quantity)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**17), max_value=10**17))
def test_the_text_has_no_exponent_and_is_the_value(quantity: Decimal) -> None:
    text = plain(quantity)
    assert Decimal(text) == quantity
    assert "E" not in text
    assert text == plain(Decimal(text))
