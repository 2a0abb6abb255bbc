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
from storage.repositories.invoices import settle
from storage.repositories.terms import frozen_terms
from storage.scope import Scope
from storage.services.agreeing import terms_held
from storage.services.plan_changes import PlanChanges
from storage.tables.catalog import RatePlanVersionRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tenancy import tenant_tx
from tests.storage.worlds import applied
from tests.transforms.billing_rows import metered
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


def settled(session: Session, month: str, *used: tuple[str, int]) -> list[tuple[str, Decimal]]:
    """(description, amount with what a commitment adds) of the month's lines, which are on a draft. used: (unit, quantity)."""
    terms = pl.DataFrame(frozen_terms(session, month=month), schema=BILLING_TERMS.schema)
    by_unit = {row["unit"]: row for row in terms.filter(pl.col("due"), pl.col("kind") == "USAGE").to_dicts()}
    made = run(metered_events=metered(*((by_unit[unit], units) for unit, units in used)), terms=terms)
    settle(session, made["settlements"], made["routed_lines"], scope=Scope(month))
    assert made["routed_lines"]["hold_reason"].unique().to_list() == [None]
    rows = made["routed_lines"].select("description", pl.col("amount") + pl.col("commit_adjustment")).rows()
    return [(said, amount) for said, amount in rows if amount]


def test_a_commitment_within_a_bundle_is_met_by_its_own_plan_alone(session: Session) -> None:
    """100.00 a month for data: 20 + 5 of fees and 30 of usage lack 45. What calls and seats cost does not count."""
    committed = bundle()
    committed["ratePlans"][1]["commitment"] = {"type": "MONTHLY", "amount": "100", "trueUp": True}
    applied(session, committed)
    found = settled(session, "2026-03", ("calls", 1000), ("bytes", 30))
    assert found == [
        ("api plan: base fee", 10), ("calls", 100), ("data plan: setup fee", 5), ("data plan: base fee", 20), ("bytes", 30),
        ("data plan: monthly commitment, true-up", 45), ("seats", 7),
    ]  # fmt: skip
    assert bill(session, "2026-03")["committed_lines"]["commit_adjustment"].sum() == 5 + 75


def test_two_commitments_of_a_bundle_run_beside_each_other_over_their_terms(session: Session) -> None:
    """Over three months 300 for calls and 200 for data, whose usage beyond it costs double. Bytes: 90, 90, 90 with fees of 20 a month
    (and 5 once) make 110 + 5, 110, 110: beyond 200 by 25 in April, and all 110 of May, of which 90 are usage. Calls: 20, 30, 40 with
    fees of 10 a month lack 300 − 120 = 180."""
    committed = bundle()
    annual = {"type": "ANNUAL", "termMonths": 3, "trueUp": True}
    committed["ratePlans"][0] |= {"minimumSpend": None, "commitment": {**annual, "amount": "300"}}
    committed["ratePlans"][1]["commitment"] = {**annual, "amount": "200", "overageFactor": "2"}
    applied(session, committed)
    months = {"2026-03": 200, "2026-04": 300, "2026-05": 400}
    added = []
    for month, calls in months.items():
        found = dict(settled(session, month, ("calls", calls), ("bytes", 90)))
        added.append({said: amount for said, amount in found.items() if "commitment" in said})
    assert added == [
        {},
        {"data plan: usage beyond the annual commitment": 25},
        {"data plan: usage beyond the annual commitment": 90, "api plan: annual commitment, true-up": 180},
    ]


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
