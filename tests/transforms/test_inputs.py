"""The hash of what an invoice was made from: blind to order and batches, and to nothing else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.transforms.billing_rows import MID_NOVEMBER, term, terms
from tests.transforms.event_rows import event, metered_month, validated
from transforms.compare import BILLED, compare, findings, findings_hash
from transforms.inputs import input_hashes
from transforms.pipeline import run

CALLS, FEE = term("api_calls"), term(None, flat_amount=Decimal(9))
EVENTS = [event(CALLS, n, MID_NOVEMBER + timedelta(seconds=n)) for n in range(1, 8)]


def metered(*events: dict[str, Any]) -> pl.DataFrame:
    return metered_month(validated(*events), terms(CALLS, FEE))


def hashed(events: pl.DataFrame, code: str = "1", **changed: Any) -> str:
    agreed = terms(CALLS | changed, FEE)
    routed = run(metered_events=events.lazy(), terms=agreed)["routed_lines"]
    (found,) = input_hashes(metered_events=events.lazy(), terms=agreed, routed_lines=routed, code=code)[
        "input_hash"
    ]
    return str(found)


def test_the_hash_is_the_same_for_any_order_batches_and_positions() -> None:
    rows = metered(*EVENTS)
    keys = validated(*EVENTS).select("idempotency_key", "key_hash")
    moved = rows.with_columns(raw_seq=pl.col("raw_seq") * 1000 + 7)
    assert rows.height == keys.height
    assert hashed(rows) == hashed(rows.sample(fraction=1, shuffle=True, seed=3)) == hashed(moved)
    batches = pl.concat([rows[4:], rows[:2], rows[2:4]], rechunk=False)
    assert hashed(batches) == hashed(rows)


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": Decimal("1.000000001")},
        {"quantity": Decimal(-1)},
        {"occurred_at": MID_NOVEMBER + timedelta(microseconds=1)},
        {"key_hash": 5},
        {"disposition": "FILTERED"},
    ],
)
def test_the_hash_changes_with_whatever_an_event_says(change: dict[str, Any]) -> None:
    rows = metered(*EVENTS)
    first = pl.int_range(pl.len()) == 0
    other = rows.with_columns(
        pl.when(first).then(pl.lit(value, dtype=rows.schema[name])).otherwise(name).alias(name)
        for name, value in change.items()
    )
    assert hashed(other) != hashed(rows)


def test_the_hash_changes_with_terms_code_and_missing_events() -> None:
    rows = metered(*EVENTS)
    others = [hashed(rows, code="2"), hashed(rows, rate=Decimal("0.02")), hashed(rows[1:])]
    assert len({hashed(rows), *others}) == 4


def test_the_hash_covers_units_carried_in_and_what_is_drawn_from_wallets_and_nothing_that_is_not_there() -> (
    None
):
    rows, agreed = metered(*EVENTS), terms(CALLS, FEE)
    made = run(metered_events=rows.lazy(), terms=agreed)
    routed, none = made["routed_lines"], made["rollovers"]

    def of(lines: pl.DataFrame, rollovers: pl.DataFrame | None) -> str:
        found = input_hashes(
            metered_events=rows.lazy(), terms=agreed, routed_lines=lines, code="1", rollovers=rollovers
        )
        return str(found["input_hash"][0])

    def paid(grant: str, amount: str) -> pl.DataFrame:
        payment = [{"grant_id": grant, "amount": Decimal(amount)}]
        return routed.with_columns(
            wallet_payments=pl.Series([payment, None], dtype=routed.schema["wallet_payments"])
        )

    carried = none.with_columns(carried=pl.lit(Decimal(5), dtype=none.schema["carried"]))
    assert of(routed, none) == of(routed, None) == hashed(rows)
    found = [
        of(routed, carried),
        of(paid("a", "1"), none),
        of(paid("a", "2"), none),
        of(paid("b", "1"), none),
    ]
    assert len({hashed(rows), *found}) == 5


def test_what_somebody_voided_is_voided_and_no_finding() -> None:
    routed = run(metered_events=metered(*EVENTS).lazy(), terms=terms(CALLS, FEE))["routed_lines"]
    voided = [("acme", str(routed["invoice_id"][0]))]
    found = compare(billed=billed(), routed_lines=routed, voided=voided)
    assert found["verdict"].to_list() == ["VOIDED", "VOIDED"] and found["difference"].null_count() == 2
    assert findings(found).is_empty()
    assert compare(billed=billed(), routed_lines=routed)["verdict"].to_list() == ["EXTRA", "EXTRA"]


def billed(*lines: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(lines), schema=BILLED)


def test_lines_are_equal_changed_missing_or_extra_and_adjustments_put_them_right() -> None:
    routed = run(metered_events=metered(*EVENTS).lazy(), terms=terms(CALLS, FEE))["routed_lines"]
    as_billed = routed.select(*(name for name in BILLED if name in routed.columns)).with_columns(
        number=pl.lit("INV-1"), status=pl.lit("OPEN"), adjusted=pl.lit(Decimal(0), dtype=pl.Decimal(38, 4))
    )
    fee, calls = as_billed.to_dicts()

    def verdicts(*lines: dict[str, Any]) -> list[tuple[str, Decimal | None]]:
        return compare(billed=billed(*lines), routed_lines=routed).select("verdict", "difference").rows()

    zero = Decimal(0)
    assert verdicts(fee, calls) == [("EQUAL", zero), ("EQUAL", zero)]
    less = calls | {"amount": Decimal("0.08"), "taxable": Decimal("0.08")}
    assert verdicts(fee, less) == [("EQUAL", zero), ("CHANGED", Decimal("0.20"))]
    assert verdicts(fee, less | {"adjusted": Decimal("0.20")}) == [("EQUAL", zero), ("EQUAL", zero)]
    assert verdicts(fee) == [("EQUAL", zero), ("EXTRA", Decimal("0.28"))]
    gone = calls | {"line_id": "ln_gone", "line_order": 9}
    assert verdicts(fee, calls, gone)[2] == ("MISSING", Decimal("-0.28"))
    held = routed.with_columns(hold_reason=pl.lit("NO_PRICE"))
    assert compare(billed=billed(fee, calls), routed_lines=held)["verdict"].to_list() == ["HELD", "HELD"]
    assert compare(billed=billed(), routed_lines=held).is_empty(), "held then and now: nothing to compare"
    found = compare(billed=billed(fee, less), routed_lines=routed)
    assert findings_hash("2023-11", found) == findings_hash("2023-11", found.reverse())
