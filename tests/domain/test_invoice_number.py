"""Numbers of invoices: made by a format, and never the same for two invoices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.invoice_number import format_problem, invoice_number, prefix_problem

separators = st.text("-/._ ", min_size=1, max_size=3)
prefixes = st.from_regex(r"[A-Z0-9]([A-Z0-9._:-]{0,6}[A-Z0-9])?", fullmatch=True)
numbers = st.tuples(prefixes, st.integers(2000, 2999), st.integers(1, 10**6))


@st.composite
def formats(draw: st.DrawFn) -> str:
    zeros = draw(st.sampled_from(["{seq}", "{seq:0}", "{seq:0000}", "{seq:00000000}"]))
    return f"{{prefix}}{draw(separators)}{{year}}{draw(separators)}{zeros}"


@pytest.mark.parametrize(
    ("number_format", "number"),
    [
        ("{prefix}-{year}-{seq:0000}", "US-2026-0007"),
        ("{prefix}/{year}/{seq}", "US/2026/7"),
        ("{prefix} {year}.{seq:000000}", "US 2026.000007"),
    ],
)
def test_a_number_follows_its_format(number_format: str, number: str) -> None:
    assert format_problem(number_format) is None
    assert invoice_number(number_format, "US", 2026, 7) == number


def test_a_sequence_longer_than_its_zeros_is_written_in_full() -> None:
    assert invoice_number("{prefix}-{year}-{seq:00}", "US", 2026, 12345) == "US-2026-12345"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "{prefix}-{year}",
        "{prefix}{year}{seq}",
        "{year}-{seq}",
        "{prefix}-{year}-{seq:1}",
        "{prefix}-{year}-X{seq}",
    ],
)
def test_a_format_that_could_repeat_a_number_is_refused(wrong: str) -> None:
    assert format_problem(wrong) is not None


@pytest.mark.parametrize("wrong", ["", "US-", "-US", "U S", "ü", "X" * 33])
def test_a_prefix_begins_and_ends_with_a_letter_or_digit(wrong: str) -> None:
    assert prefix_problem(wrong) is not None


@given(formats(), formats(), numbers, numbers)
def test_two_invoices_never_have_one_number_whatever_the_formats(
    one_format: str, other_format: str, one: tuple[str, int, int], other: tuple[str, int, int]
) -> None:
    assert format_problem(one_format) is None and format_problem(other_format) is None
    if one != other:
        assert invoice_number(one_format, *one) != invoice_number(other_format, *other)
