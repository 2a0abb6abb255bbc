"""Bundles of several rate plans: each plan's lines once, one invoice, a unit priced once."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from domain.catalog.fields import CatalogRefused
from storage.database import session_scope
from storage.repositories.terms import frozen_terms
from storage.services.agreeing import terms_held
from storage.services.plan_changes import PlanChanges
from storage.tables.catalog import RatePlanVersionRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tenancy import tenant_tx
from tests.storage.worlds import applied
from transforms.frames import BILLING_TERMS, METERED_EVENTS
from transforms.pipeline import run


def bundle() -> dict[str, Any]:
    return {
        "tenant": {"id": "acme", "name": "Acme", "currency": "USD"},
        "units": [{"key": unit, "aggregation": "SUM"} for unit in ("calls", "bytes", "seats")],
        "ratePlans": [
            {
                "key": "api",
                "baseFee": "10",
                "minimumSpend": "15",
                "metrics": [{"unit": "calls", "rate": "0.1"}],
            },
            {"key": "data", "baseFee": "20", "setupFee": "5", "metrics": [{"unit": "bytes", "rate": "1"}]},
            {"key": "people", "metrics": [{"unit": "seats", "model": "FLAT_RATE", "flatRate": "7"}]},
        ],
        "offerings": [
            {"code": "all", "type": "BUNDLE", "ratePlan": "api", "ratePlanIds": ["api", "data", "people"]},
            {"code": "seats", "ratePlan": "people"},
        ],
        "customers": [{"id": "ann"}],
        "subscriptions": [{"id": "sub_ann", "customer": "ann", "offering": "all", "startDate": "2026-03-01"}],
    }


def bill(session: Session, month: str) -> dict[str, pl.DataFrame]:
    terms = pl.DataFrame(frozen_terms(session, month=month), schema=BILLING_TERMS.schema)
    for rule in BILLING_TERMS.rules:
        assert terms.filter(~rule.holds).is_empty(), rule.name
    assert terms.select(BILLING_TERMS.key).is_unique().all()
    return run(metered_events=METERED_EVENTS.empty().lazy(), terms=terms)


def lines(made: dict[str, pl.DataFrame]) -> list[tuple[str, Decimal, Decimal]]:
    return made["routed_lines"].select("description", "amount", "commit_adjustment").rows()


def test_every_plan_bills_its_own_lines_and_fees_once_on_one_invoice(session: Session) -> None:
    applied(session, bundle())
    made = bill(session, "2026-03")
    assert lines(made) == [
        ("api plan: base fee", Decimal(10), Decimal(5)),
        ("calls", Decimal(0), Decimal(0)),
        ("data plan: setup fee", Decimal(5), Decimal(0)),
        ("data plan: base fee", Decimal(20), Decimal(0)),
        ("bytes", Decimal(0), Decimal(0)),
        ("seats", Decimal(7), Decimal(0)),
    ], "the minimum spend of one plan asks nothing of the others"
    assert made["settlements"]["total"].to_list() == [Decimal(47)]
    assert bill(session, "2026-04")["settlements"]["total"].to_list() == [Decimal(42)], "set up once"


def test_a_plan_that_gets_dearer_later_leaves_the_bundle_as_it_was_agreed(engine: Engine) -> None:
    dearer = bundle()
    dearer["ratePlans"][1]["baseFee"] = "99"
    for document in (bundle(), dearer):
        with session_scope(engine) as session:
            applied(session, document)
    with session_scope(engine) as session:
        assert bill(session, "2026-04")["settlements"]["total"].to_list() == [Decimal(42)]
    more = bundle()
    more["ratePlans"] = dearer["ratePlans"]
    more["customers"].append({"id": "bob"})
    more["subscriptions"].append({**more["subscriptions"][0], "id": "sub_bob", "customer": "bob"})
    with session_scope(engine) as session:
        applied(session, more)
        totals = bill(session, "2026-04")["settlements"].sort("customer_id")["total"].to_list()
    assert totals == [Decimal(42), Decimal(121)]


def test_a_unit_two_plans_price_is_refused_by_field(session: Session) -> None:
    twice = bundle()
    twice["ratePlans"][2]["metrics"].append({"unit": "calls", "rate": "1"})
    with pytest.raises(CatalogRefused, match="'calls' is priced by rate plans 'api' and 'people'"):
        applied(session, twice)


def test_a_unit_of_a_further_plan_is_paid_for_once_per_customer(session: Session) -> None:
    other = bundle()
    other["subscriptions"].append(
        {"id": "sub_seats", "customer": "ann", "offering": "seats", "startDate": "2026-03-01"}
    )
    with pytest.raises(CatalogRefused, match="'seats'"):
        applied(session, other)


def test_a_commitment_within_a_bundle_holds_the_customer_by_name(session: Session) -> None:
    committed = bundle()
    committed["ratePlans"][1]["commitment"] = {"type": "MONTHLY", "amount": "100", "trueUp": True}
    applied(session, committed)
    reasons = bill(session, "2026-03")["routed_lines"]["hold_reason"].unique().to_list()
    assert len(reasons) == 1 and "a commitment in a bundle of several rate plans" in reasons[0]


def held(session: Session, subscription: str = "sub_ann") -> tuple[Decimal, set[str]]:
    """Base fees and units of a subscription, as those who ask before a change see them."""
    terms = terms_held(session, session.get_one(SubscriptionRow, ("acme", subscription)))
    fees = (item["flat_amount"] for item in terms.items if item["kind"] == "BASE_FEE")
    return sum(fees, Decimal(0)), set(terms.units)


def test_a_bundle_is_held_as_it_is_billed_also_once_a_plan_has_become_dearer(engine: Engine) -> None:
    dearer = bundle()
    dearer["units"].append({"key": "files", "aggregation": "SUM"})
    dearer["ratePlans"][1] |= {
        "baseFee": "99",
        "metrics": [{"unit": "bytes", "rate": "1"}, {"unit": "files", "rate": "1"}],
    }
    for document in (bundle(), dearer):
        with session_scope(engine) as session:
            applied(session, document)
    with session_scope(engine) as session:
        assert held(session) == (Decimal(30), {"calls", "bytes", "seats"})


def test_a_bundle_changed_to_is_held_from_the_change_on(engine: Engine) -> None:
    document = bundle()
    document["offerings"] = [{"code": "first", "ratePlan": "api"}, *document["offerings"]]
    document["subscriptions"][0]["offering"] = "first"
    with session_scope(engine) as session:
        applied(session, document)
        # A version that holds from April on, of a plan that the subscription has from May on.
        row = session.get_one(RatePlanVersionRow, ("acme", "data", 1))
        dearer = {**row.content, "baseFee": "25"}
        april = datetime(2026, 4, 1, tzinfo=UTC)
        session.add(
            RatePlanVersionRow(
                tenant_id="acme",
                plan_id="data",
                version=2,
                content=dearer,
                content_hash="2",
                effective_at=april,
            )
        )
    with tenant_tx(engine, "acme", at=datetime(2026, 5, 10, tzinfo=UTC)) as tx:
        PlanChanges(tx).change("sub_ann", {"targetOfferingId": "all"})
    with session_scope(engine) as session:
        assert held(session)[0] == 35
        fees = bill(session, "2026-06")["routed_lines"].filter(pl.col("description").str.contains("base fee"))
        assert fees["amount"].sum() == 35
