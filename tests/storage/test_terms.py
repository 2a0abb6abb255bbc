"""Terms frozen for a month: which rows there are, and that they fit the described table."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from sqlalchemy.orm import Session

from storage.repositories.terms import frozen_terms
from tests.storage.worlds import ACME, acme, applied
from transforms.frames import BILLING_TERMS


def frame(session: Session, month: str = "2023-11", **scope: Any) -> pl.DataFrame:
    return pl.DataFrame(frozen_terms(session, month=month, **scope), schema=BILLING_TERMS.schema)


def test_terms_are_rows_of_the_described_table(session: Session) -> None:
    applied(session, ACME)
    terms = frame(session)
    assert terms.schema == pl.Schema(BILLING_TERMS.schema)
    assert terms.select(BILLING_TERMS.key).is_unique().all()
    for column in BILLING_TERMS.columns:
        assert column.nullable or terms[column.name].null_count() == 0, column.name
    for rule in BILLING_TERMS.rules:
        assert terms.filter(~rule.holds).is_empty(), rule.name


def test_a_calendar_month_has_a_fee_and_a_row_per_unit(session: Session) -> None:
    applied(session, ACME)
    ann = frame(session, customers=["ann"])
    assert ann.select("line_order", "kind", "description", "model", "due").rows() == [
        (0, "BASE_FEE", "Pro plan: base fee", "FEE", True),
        (1, "USAGE", "API Calls", "INCLUDED_QUOTA", True),
        (2, "USAGE", "Bytes", "GRADUATED", True),
    ]
    assert ann["included_free"].to_list() == [Decimal(0), Decimal(1000), Decimal(0)]
    assert ann["tiers"][2].to_list()[1] == {
        "up_to": None,
        "unit_price": Decimal("0.008"),
        "flat_fee": Decimal(0),
    }


def test_a_period_that_ends_in_another_month_is_listed_but_not_due(session: Session) -> None:
    applied(session, ACME)
    bob = frame(session, customers=["bob"]).filter(pl.col("kind") == "BASE_FEE")
    assert bob.select("period_start", "due").rows() == [
        (datetime(2023, 10, 10, 4, tzinfo=UTC), True),
        (datetime(2023, 11, 10, 5, tzinfo=UTC), False),
    ]


def test_a_subscription_that_ends_within_the_period_is_live_until_then(session: Session) -> None:
    ended = acme()
    ended["subscriptions"][0]["endDate"] = "2023-11-11"
    applied(session, ended)
    ann = frame(session, customers=["ann"])
    assert set(ann["active_end"]) == {datetime(2023, 11, 11, tzinfo=UTC)}
    assert set(ann["period_end"]) == {datetime(2023, 12, 1, tzinfo=UTC)}
    assert frame(session, "2023-12", customers=["ann"]).is_empty()


def test_a_quarter_is_billed_in_its_last_month_only(session: Session) -> None:
    quarterly = acme()
    quarterly["subscriptions"][0]["billingCycle"] = "QUARTERLY"
    applied(session, quarterly)
    due = {
        month: frame(session, month, customers=["ann"])["due"].unique().to_list()
        for month in ("2023-12", "2024-01")
    }
    assert due == {"2023-12": [False], "2024-01": [True]}


def test_a_scope_gives_the_same_rows_as_the_whole(session: Session) -> None:
    applied(session, ACME)
    applied(session, {**acme(), "tenant": {"id": "globex"}})
    whole = frame(session)
    assert frame(session, tenants=["globex"]).equals(whole.filter(pl.col("tenant_id") == "globex"))
    some = frame(session, tenants=["acme"], customers=["bob"])
    assert some.equals(whole.filter(pl.col("tenant_id") == "acme", pl.col("customer_id") == "bob"))


def test_a_line_keeps_its_id_whatever_changes_around_it(session: Session) -> None:
    applied(session, ACME)
    before = frame(session)["line_id"].to_list()
    applied(session, {"tenant": ACME["tenant"], "customers": [{"id": "aaa"}]})
    assert frame(session)["line_id"].to_list() == before
    assert before == frame(session, "2023-11")["line_id"].to_list()


def test_a_pinned_subscription_keeps_its_price_when_the_plan_gets_dearer(session: Session) -> None:
    applied(session, ACME)
    before = frame(session)
    dearer = acme()
    dearer["ratePlans"][0]["baseFee"] = "99"
    applied(session, dearer)
    assert frame(session).equals(before)
