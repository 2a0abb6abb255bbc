"""Where frames are worked out ahead, and rows become frames."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest

from tests.transforms.billing_rows import d, term, tiers
from transforms.engine import ahead
from transforms.frames import BILLING_TERMS


def numbers(*wanted: int) -> Iterator[pl.DataFrame]:
    for each in wanted:
        if each < 0:
            raise ValueError(f"{each} cannot be made")
        yield pl.DataFrame({"n": [each]})


def test_frames_worked_out_ahead_come_in_their_order() -> None:
    assert [frame["n"][0] for frame in ahead(numbers(1, 2, 3))] == [1, 2, 3]
    assert list(ahead(numbers())) == []


def test_what_goes_wrong_ahead_reaches_whoever_takes_the_frames() -> None:
    taken = []
    with pytest.raises(ValueError, match="-2 cannot be made"):
        taken.extend(frame["n"][0] for frame in ahead(numbers(1, -2, 3)))
    assert taken == [1]


def test_rows_that_share_lists_and_instants_become_the_same_frame_as_rows_that_do_not() -> None:
    bands = tiers((10, "1", 5), (None, "0.5"))
    start = datetime(2023, 11, 1, tzinfo=UTC)
    shared = term("calls", "GRADUATED", tiers=bands, active_start=start, coupons=["a"])
    rows = [
        shared,
        shared | {"line_id": "ln_2", "coupons": []},
        shared | {"line_id": "ln_3", "coupons": ["a"]},
    ]
    rows += [
        {"line_id": "ln_4", "rate": d("0.1")},
        shared | {"tiers": None, "active_start": None, "unknown": 1},
    ]
    frame = BILLING_TERMS.of_rows(rows)
    assert frame.schema == pl.Schema(BILLING_TERMS.schema)
    assert frame.equals(pl.DataFrame(rows, schema=BILLING_TERMS.schema))
    assert BILLING_TERMS.of_rows([]).equals(BILLING_TERMS.empty())
