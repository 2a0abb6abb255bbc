"""What phases make of a bill: a change splits the period, a trial is free, a pause costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Engine

from domain.catalog.catalog import read_catalog
from domain.terms import line_id
from storage.catalog_service import apply_catalog
from storage.database import session_scope
from storage.repositories.rights import tenant_rights
from storage.repositories.terms import frozen_terms
from storage.services.plan_changes import PlanChanges
from storage.services.subscription_upkeep import keep_up
from storage.services.subscriptions import Subscriptions
from storage.tenancy import Tx, tenant_tx
from tests.transforms.event_rows import event, metered_month, validated
from transforms.frames import BILLING_TERMS
from transforms.pipeline import run

CATALOG: dict[str, Any] = {
    "tenant": {"id": "acme"},
    "units": [{"key": "calls", "name": "Calls", "aggregation": "COUNT"}],
    "ratePlans": [
        {
            "key": "pro",
            "name": "Pro",
            "baseFee": "30",
            "metrics": [{"unit": "calls", "model": "INCLUDED_QUOTA", "includedFree": 4, "rate": "1"}],
        },
        {
            "key": "max",
            "name": "Max",
            "baseFee": "90",
            "metrics": [
                {
                    "unit": "calls",
                    "model": "GRADUATED",
                    "tiers": [{"upTo": 2, "unitPrice": "3"}, {"unitPrice": "2"}],
                }
            ],
        },
    ],
    "offerings": [
        {"code": "pro", "ratePlan": "pro", "trialDays": 15},
        {"code": "max", "ratePlan": "max"},
    ],
    "customers": [{"id": "ann"}],
}
MID = datetime(2023, 11, 16, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _catalog(engine: Engine) -> None:
    with session_scope(engine) as session:
        apply_catalog(session, read_catalog(CATALOG))


@contextmanager
def on(engine: Engine, day: int, month: int = 11, **time: int) -> Iterator[Tx]:
    with tenant_tx(engine, "acme", at=datetime(2023, month, day, tzinfo=UTC) + timedelta(**time)) as tx:
        yield tx


def subscribe(engine: Engine, **more: Any) -> str:
    asked = {"id": "sub_ann", "customerId": "ann", "offeringId": "pro", "startDate": "2023-11-01", **more}
    with on(engine, 1) as tx:
        return Subscriptions(tx).create(asked).id


def terms(engine: Engine, month: str = "2023-11") -> pl.DataFrame:
    with session_scope(engine) as session:
        return pl.DataFrame(frozen_terms(session, month=month), schema=BILLING_TERMS.schema)


def bill(engine: Engine, *days: int) -> dict[str, pl.DataFrame]:
    """November 2023 billed, with a call at noon of each day."""
    frozen = terms(engine)
    who = {"tenant_id": "acme", "customer_id": "ann", "unit": "calls"}
    events = validated(*(event(who, 1, datetime(2023, 11, day, 12, tzinfo=UTC)) for day in days))
    return run(metered_events=metered_month(events, frozen).lazy(), terms=frozen)


def lines(engine: Engine, *days: int) -> list[tuple[str, D | None, D]]:
    routed = bill(engine, *days)["routed_lines"]
    assert routed["problem"].drop_nulls().to_list() == []
    assert set(routed["destination"]) == {"INVOICE"}
    return [
        (name, quantity, amount)
        for name, quantity, amount in routed.select("description", "quantity", "amount").iter_rows()
    ]


def test_an_upgrade_splits_the_period_at_its_instant(engine: Engine) -> None:
    """15 of 30 days each. Old: half of 30.00, 2 of 4 free units, 3 calls: 1.00. New: half of 90.00; tiers begin anew, 3 calls:
    2 at 3, 1 at 2."""
    subscribe(engine)
    with on(engine, 16) as tx:
        PlanChanges(tx).change("sub_ann", {"targetOfferingId": "max", "reason": "grew"}, "UPGRADE")
    assert lines(engine, 1, 2, 15, 16, 17, 30) == [
        ("Pro plan: base fee", None, D("15.00")),
        ("Calls", D(3), D("1.00")),
        ("Max plan: base fee, 2023-11-16 to 2023-11-30", None, D("45.00")),
        ("Calls, 2023-11-16 to 2023-11-30", D(3), D("8.00")),
    ]


def test_the_bill_says_what_the_preview_said(engine: Engine) -> None:
    subscribe(engine)
    with on(engine, 9, hours=7, minutes=31, seconds=13) as tx:
        told = PlanChanges(tx).preview("sub_ann", {"targetOfferingId": "max"})
        PlanChanges(tx).change("sub_ann", {"targetOfferingId": "max"})
    amounts = [amount for _, quantity, amount in lines(engine) if quantity is None]
    assert amounts[1] == told.charge
    assert amounts[0] == D("30.00") - told.credit
    assert told.net == told.charge - told.credit
    # 21 days 16:28:47 of 30 days are 1,873,727 of 2,592,000 seconds.
    assert (told.credit, told.charge) == (D("21.69"), D("65.06"))


def test_the_first_stretch_keeps_the_lines_ids_and_the_second_has_its_own(engine: Engine) -> None:
    subscribe(engine)
    before = terms(engine)
    with on(engine, 16) as tx:
        PlanChanges(tx).change("sub_ann", {"targetOfferingId": "max"})
    after = terms(engine)
    assert after["line_id"].to_list()[:2] == before["line_id"].to_list()
    assert before["line_id"][0] == line_id("acme", "sub_ann", datetime(2023, 11, 1, tzinfo=UTC), "BASE_FEE")
    assert after["line_id"].is_unique().all()
    assert after.equals(terms(engine))
    december = terms(engine, "2023-12").filter("due")
    assert december["description"].to_list() == ["Max plan: base fee", "Calls"]
    assert december["line_id"][0] == line_id("acme", "sub_ann", datetime(2023, 12, 1, tzinfo=UTC), "BASE_FEE")


def test_a_trial_is_metered_and_free_and_bills_from_its_conversion(engine: Engine) -> None:
    subscribe(engine, startTrial=True)
    assert lines(engine, 1, 2, 3, 20, 21, 22) == [
        ("Pro plan: base fee, trial", None, D("0.00")),
        ("Calls, trial", D(3), D("0.00")),
        ("Pro plan: base fee, 2023-11-16 to 2023-11-30", None, D("15.00")),
        ("Calls, 2023-11-16 to 2023-11-30", D(3), D("1.00")),
    ]


def test_converting_early_bills_from_that_instant(engine: Engine) -> None:
    subscribe(engine, startTrial=True)
    with on(engine, 7) as tx:
        Subscriptions(tx).convert_trial("sub_ann", None)
    assert [amount for _, quantity, amount in lines(engine) if quantity is None] == [D("0.00"), D("24.00")]


def test_a_pause_costs_nothing_and_grants_nothing(engine: Engine) -> None:
    subscribe(engine)
    with on(engine, 11) as tx:
        Subscriptions(tx).pause("sub_ann", "holidays")
    with on(engine, 21) as tx:
        Subscriptions(tx).resume("sub_ann", None)
    assert [amount for _, quantity, amount in lines(engine, 5, 25) if quantity is None] == [
        D("10.00"),
        D("10.00"),
    ]
    with session_scope(engine) as session:
        granted = {
            day: [
                each.status
                for each in tenant_rights(session, "acme", datetime(2023, 11, day, tzinfo=UTC))
                .customers[0]
                .subscriptions
            ]
            for day in (10, 11, 20, 21)
        }
    assert granted == {10: ["ACTIVE"], 11: [], 20: [], 21: ["ACTIVE"]}


def test_usage_during_a_pause_is_held_by_name_not_free_by_silence(engine: Engine) -> None:
    subscribe(engine)
    with on(engine, 11) as tx:
        Subscriptions(tx).pause("sub_ann", "holidays")
    routed = bill(engine, 5, 15)["routed_lines"]
    assert set(routed["destination"]) == {"HELD"}
    assert routed["hold_reason"][0].startswith("NO_SUBSCRIPTION: unit calls used by customer ann")


def test_a_cancellation_bills_the_part_until_then(engine: Engine) -> None:
    subscribe(engine)
    with on(engine, 16) as tx:
        Subscriptions(tx).cancel("sub_ann", {"reason": "bye"})
    assert lines(engine, 1, 2, 3) == [("Pro plan: base fee", None, D("15.00")), ("Calls", D(3), D("1.00"))]
    assert terms(engine, "2023-12").is_empty()


def test_what_is_billed_does_not_depend_on_when_the_schedule_ran(engine: Engine) -> None:
    """A trial's end, a change agreed for the period's end and the subscription's own end: recorded or not, the terms agree."""
    subscribe(engine, startTrial=True, endDate="2024-01-10")
    with on(engine, 20) as tx:
        PlanChanges(tx).change("sub_ann", {"targetOfferingId": "max", "effective": "PERIOD_END"})
    months = ("2023-11", "2023-12", "2024-01", "2024-02")
    before = [terms(engine, month) for month in months]
    assert before[1]["offering"].unique().to_list() == ["max"]
    assert before[2]["active_end"].unique().to_list() == [datetime(2024, 1, 10, tzinfo=UTC)]
    assert keep_up(engine, datetime(2024, 1, 11, tzinfo=UTC)).moved == 1
    assert keep_up(engine, datetime(2024, 1, 11, tzinfo=UTC)).moved == 0
    assert all(a.equals(b) for a, b in zip(before, (terms(engine, month) for month in months), strict=True))
    with on(engine, 11, month=12) as tx:
        history = [(each.state, each.offering_id) for each in Subscriptions(tx).phases("sub_ann")]
    assert history == [("TRIALING", "pro"), ("ACTIVE", "pro"), ("ACTIVE", "max"), ("EXPIRED", "max")]
