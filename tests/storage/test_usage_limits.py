"""Limits on usage agreed with one subscription: in its terms, at the edge, in files."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain.catalog.fields import CatalogRefused
from domain.entitlement import decide_one, grants_of
from storage.repositories.rights import customer_rights, unit_records
from storage.repositories.terms import frozen_terms
from tests.storage.worlds import acme, applied

MID_NOVEMBER = datetime(2023, 11, 15, tzinfo=UTC)


def limited(*limits: dict[str, Any]) -> dict[str, Any]:
    document = acme()
    document["subscriptions"][0]["usageLimits"] = list(limits)
    return document


def caps(session: Session) -> dict[str, tuple[Decimal | None, str | None]]:
    rows = frozen_terms(session, month="2023-11", customers=["ann"])
    return {row["unit"]: (row["cap"], row["cap_behavior"]) for row in rows if row["kind"] == "USAGE"}


def test_the_subscriptions_limit_takes_the_place_of_the_plans(session: Session) -> None:
    applied(session, limited({"unit": "calls", "limit": 2000, "ovBehavior": "IGNORE"}))
    assert caps(session) == {"calls": (Decimal(2000), "IGNORE"), "bytes": (None, None)}
    assert all(row["cap"] is None for row in frozen_terms(session, month="2023-11", customers=["bob"]))


@pytest.mark.parametrize(
    ("behavior", "used", "allowed", "limit"),
    [
        ("BLOCK", 1999, True, "2000"),
        ("BLOCK", 2000, False, "2000"),
        ("CHARGE", 2000, True, "2000"),
        ("IGNORE", 10**6, True, None),
    ],
)
def test_the_edge_refuses_usage_beyond_a_blocking_limit_only(
    session: Session, behavior: str, used: int, allowed: bool, limit: str | None
) -> None:
    applied(session, limited({"unit": "calls", "limit": 2000, "ovBehavior": behavior}))
    rights = customer_rights(session, "acme", ["ann"], MID_NOVEMBER)["ann"]
    now = int(MID_NOVEMBER.timestamp() * 1_000_000)
    units = {unit.key: unit for unit in unit_records(session, "acme")}
    (grant,) = grants_of(rights, units, now, "calls")
    assert (grant.feature.limit, grant.counter is not None) == (limit, True)
    assert decide_one(grant, {str(grant.counter): used * 10**6}).allowed is allowed


def test_a_unit_without_a_feature_gets_one_named_after_it_where_it_is_blocked(session: Session) -> None:
    applied(session, limited({"unit": "bytes", "limit": 5}))
    rights = customer_rights(session, "acme", ["ann"], MID_NOVEMBER)["ann"]
    features = {each.key: each for each in rights.subscriptions[0].features}
    assert (features["bytes"].unit, features["bytes"].limit, features["bytes"].hard) == ("bytes", "5", True)


def test_a_file_changes_a_limit_and_leaves_alone_what_it_does_not_mention(session: Session) -> None:
    applied(session, limited({"unit": "calls", "limit": 2000}))
    applied(session, acme())
    assert caps(session)["calls"] == (Decimal(2000), "BLOCK")
    applied(session, limited({"unit": "calls", "limit": 3000}))
    assert caps(session)["calls"] == (Decimal(3000), "BLOCK")


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ([{"unit": "seats", "limit": 1}], "subscriptions[0].usageLimits[0].unit"),
        ([{"unit": "calls"}], "subscriptions[0].usageLimits[0].limit"),
        ([{"unit": "calls", "limit": 1, "ovBehavior": "WARN"}], "subscriptions[0].usageLimits[0].ovBehavior"),
        (
            [{"unit": "calls", "limit": 1}, {"unit": "calls", "limit": 2}],
            "subscriptions[0].usageLimits[1].unit",
        ),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_field(
    session: Session, limits: list[dict[str, Any]], field: str
) -> None:
    with pytest.raises(CatalogRefused) as refused:
        applied(session, limited(*limits))
    assert field in {problem.path for problem in refused.value.problems}


def with_spend(limit: dict[str, Any] | None) -> dict[str, Any]:
    document = acme()
    document["subscriptions"][0] |= {"spendLimit": limit} if limit else {}
    return document


def test_a_limit_in_money_is_frozen_with_the_terms_unless_all_is_charged(session: Session) -> None:
    def frozen() -> set[Decimal | None]:
        rows = frozen_terms(session, month="2023-11", customers=["ann"])
        assert all(
            row["spend_limit"] is None for row in frozen_terms(session, month="2023-11", customers=["bob"])
        )
        return {row["spend_limit"] for row in rows}

    applied(session, with_spend({"amount": "12.50"}))
    assert frozen() == {Decimal("12.50")}
    applied(session, with_spend(None))
    assert frozen() == {Decimal("12.50")}, "a file that is silent about it leaves it as it is"
    applied(session, with_spend({"amount": "20", "ovBehavior": "IGNORE"}))
    assert frozen() == {Decimal(20)}
    applied(session, with_spend({"amount": "20", "ovBehavior": "CHARGE"}))
    assert frozen() == {None}


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        ({}, "amount"), ({"amount": -1}, "amount"), ({"amount": 1, "ovBehavior": "WARN"}, "ovBehavior"), ({"amount": 1, "unit": "calls"}, "unit"),
    ],
)  # fmt: skip
def test_a_wrong_limit_in_money_is_refused_where_it_stands(session: Session, limit: Any, field: str) -> None:
    with pytest.raises(CatalogRefused, match=rf"subscriptions\[0\].spendLimit.{field}"):
        document = acme()
        document["subscriptions"][0]["spendLimit"] = limit
        applied(session, document)
