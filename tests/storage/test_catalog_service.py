"""Applying catalogs: idempotent, told as a diff, refused as a whole."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from domain.catalog.catalog import read_catalog
from domain.catalog.fields import CatalogRefused
from storage.catalog_service import apply_catalog, plan_changes
from storage.database import session_scope
from storage.repositories.audit import Audit
from storage.repositories.keys import ApiKeys
from storage.repositories.rights import tenant_rights
from storage.repositories.subscriptions import Subscriptions
from storage.sealed import Seal
from tests.storage.worlds import ACME, acme, applied

NOON = datetime(2023, 11, 15, 12, tzinfo=UTC)


def refused(session: Session, document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(CatalogRefused) as caught:
        plan_changes(session, read_catalog(document))
    return [(problem.path, problem.code) for problem in caught.value.problems]


def test_a_catalog_applied_twice_changes_nothing_the_second_time(engine: Engine) -> None:
    with session_scope(engine) as session:
        first, issued = applied(session, ACME)
    with session_scope(engine) as session:
        audited = len(Audit(session, "acme").entries())
        second, again = applied(session, ACME)
    assert {change.action for change in first.changes} == {"create"}
    assert {change.action for change in second.changes} == {"unchanged"}
    assert (len(issued), again) == (2, [])
    with session_scope(engine) as session:
        assert len(Audit(session, "acme").entries()) == audited == len(first.changes)


def test_a_plan_writes_nothing(session: Session) -> None:
    plan_changes(session, read_catalog(ACME))
    assert plan_changes(session, read_catalog(ACME)).stored is None


def test_a_new_price_is_a_new_version_and_running_subscriptions_stay_on_theirs(session: Session) -> None:
    applied(session, ACME)
    dearer = acme()
    dearer["ratePlans"][0]["metrics"][0]["rate"] = "0.002"
    dearer["customers"].append({"id": "cleo"})
    dearer["subscriptions"].append(
        {"id": "new", "customer": "cleo", "offering": "pro", "startDate": "2023-12-01"}
    )
    done, _ = applied(session, dearer)
    change = next(change for change in done.changes if change.noun == "ratePlan")
    assert change.fields == {"prices[0].rate": {"before": "0.001", "after": "0.002"}}
    assert change.note == "version 2; existing subscriptions stay on theirs"
    assert Subscriptions(session, "acme").pinned() == {
        "sub_ann": ("pro", 1), "sub_bob": ("pro", 1), "new": ("pro", 2),
    }  # fmt: skip


def test_a_new_description_is_no_new_version(session: Session) -> None:
    applied(session, ACME)
    described = acme()
    described["ratePlans"][0]["description"] = "For professionals"
    done, _ = applied(session, described)
    assert [change.note for change in done.changes if change.action == "change"] == ["version 1"]


def test_what_a_catalog_does_not_mention_stays(session: Session) -> None:
    applied(session, ACME)
    applied(session, {"tenant": ACME["tenant"], "customers": [{"id": "cleo"}]})
    assert set(Subscriptions(session, "acme").all()) == {"sub_ann", "sub_bob"}


@pytest.mark.parametrize(
    ("section", "item", "field"),
    [
        ("units", {"key": "calls", "name": "API Calls", "aggregation": "SUM"}, "units[0].aggregation"),
        (
            "units",
            {
                "key": "calls",
                "aggregation": "COUNT",
                "filterConditions": [{"field": "a", "operator": "EQUALS", "value": 1}],
            },
            "units[0].filterConditions",
        ),
        ("ratePlans", {"key": "pro", "currency": "EUR", "baseFee": 1}, "ratePlans[0].currency"),
        ("customers", {"id": "ann", "timeZone": "Asia/Tokyo"}, "customers[0].timeZone"),
        (
            "subscriptions",
            {
                "id": "sub_ann",
                "customer": "ann",
                "offering": "pro",
                "startDate": "2023-11-02",
                "billingAnchorDay": 1,
            },
            "subscriptions[0].startDate",
        ),
        ("keys", {"name": "ann", "customer": "bob"}, "keys[0].customer"),
    ],
)
def test_what_is_agreed_cannot_be_rewritten(
    session: Session, section: str, item: dict[str, Any], field: str
) -> None:
    applied(session, ACME)
    assert refused(session, {"tenant": ACME["tenant"], section: [item]}) == [(field, "CONTRADICTION")]


@pytest.mark.parametrize(
    ("section", "item", "field"),
    [
        ("products", {"key": "p", "type": "AI_AGENT", "units": ["calls", "nope"]}, "products[0].units[1]"),
        ("ratePlans", {"key": "p", "metrics": [{"unit": "nope", "rate": 1}]}, "ratePlans[0].metrics[0].unit"),
        ("offerings", {"code": "o", "ratePlan": "nope"}, "offerings[0].ratePlan"),
        ("offerings", {"code": "o", "ratePlan": "pro", "currency": "EUR"}, "offerings[0].currency"),
        (
            "offerings",
            {"code": "o", "ratePlan": "pro", "entitlements": [{"feature": "f", "unit": "nope"}]},
            "offerings[0].entitlements[0].unit",
        ),
        (
            "subscriptions",
            {"id": "s", "customer": "nope", "offering": "pro", "startDate": "2023-11-01"},
            "subscriptions[0].customer",
        ),
        ("keys", {"name": "k", "customer": "nope"}, "keys[0].customer"),
        (
            "units",
            {"key": "api_calls", "name": "api calls", "aggregation": "COUNT"},
            "units[0].name",
        ),
        ("units", {"key": "CALLS", "aggregation": "COUNT"}, "units[0].key"),
    ],
)
def test_a_reference_to_nothing_or_to_two_things_is_refused(
    session: Session, section: str, item: dict[str, Any], field: str
) -> None:
    applied(session, ACME)
    assert [path for path, _ in refused(session, {"tenant": ACME["tenant"], section: [item]})] == [field]


def test_two_subscriptions_cannot_price_the_same_unit_at_once(session: Session) -> None:
    applied(session, ACME)
    other = {
        "tenant": ACME["tenant"],
        "ratePlans": [{"key": "extra", "metrics": [{"unit": "calls", "rate": 1}]}],
        "offerings": [{"code": "extra", "ratePlan": "extra", "type": "ADDON"}],
        "subscriptions": [{"id": "s2", "customer": "ann", "offering": "extra", "startDate": "2024-01-01"}],
    }
    assert refused(session, other) == [("subscriptions[0].offering", "INVALID_FIELD")]
    ended = {
        "id": "sub_ann",
        "customer": "ann",
        "offering": "pro",
        "startDate": "2023-11-01",
        "endDate": "2024-01-01",
    }
    done, _ = applied(session, {**other, "subscriptions": [ended, *other["subscriptions"]]})
    assert done.of("subscription", "change", "create") == ["sub_ann", "s2"]


def test_a_refused_catalog_leaves_nothing_behind(engine: Engine) -> None:
    broken = acme(keys=[{"name": "k", "customer": "nobody"}])
    with pytest.raises(CatalogRefused), session_scope(engine) as session:
        apply_catalog(session, read_catalog(broken))
    with session_scope(engine) as session:
        assert plan_changes(session, read_catalog(ACME)).stored is None


def test_a_tenant_sees_nothing_of_another(session: Session) -> None:
    applied(session, ACME)
    globex = {"tenant": {"id": "globex"}, "units": [{"key": "calls", "aggregation": "SUM"}]}
    done, _ = applied(session, globex)
    assert {change.action for change in done.changes} == {"create"}
    assert Audit(session, "globex").entries()[0].target_id in {"calls", "globex"}
    assert (
        refused(session, {**globex, "keys": [{"name": "k", "customer": "ann"}]})[0][0] == "keys[0].customer"
    )


def test_only_the_hash_of_a_secret_is_stored(session: Session) -> None:
    _, issued = applied(session, ACME)
    secret = next(key.secret for key in issued if key.name == "ann")
    record = ApiKeys(session, "acme").live(NOON)[hashlib.sha256(secret.encode()).hexdigest()]
    assert (record.customer_id, record.tenant_id, record.environment) == ("ann", "acme", "live")
    assert (len(secret), secret[:8]) == (48, "sk_live_")


def test_rights_hold_the_periods_around_the_instant(session: Session) -> None:
    applied(session, ACME)
    rights = tenant_rights(session, "acme", NOON)
    ann, bob = rights.customers
    assert len(ann.subscriptions[0].periods) == 2, "before November there was no subscription"
    assert len(bob.subscriptions[0].periods) == 3
    start, end = bob.subscriptions[0].periods[1]
    assert (datetime.fromtimestamp(start / 1e6, UTC), datetime.fromtimestamp(end / 1e6, UTC)) == (
        datetime(2023, 11, 10, 5, tzinfo=UTC),
        datetime(2023, 12, 10, 5, tzinfo=UTC),
    )
    assert ann.subscriptions[0].units == ("calls", "bytes")
    assert [feature.limit for feature in ann.subscriptions[0].features] == [None, "5000"]


def test_an_ended_subscription_grants_nothing(session: Session) -> None:
    ended = acme()
    ended["subscriptions"][0]["endDate"] = "2023-11-15"
    applied(session, ended)
    before, after = (
        tenant_rights(session, "acme", datetime(2023, 11, day, 12, tzinfo=UTC)).customers[0]
        for day in (14, 15)
    )
    assert before.subscriptions[0].periods[-1][1] == int(datetime(2023, 11, 15, tzinfo=UTC).timestamp() * 1e6)
    assert after.subscriptions == ()


def test_a_threshold_means_nothing_for_a_running_subscription_that_is_prepaid(engine: Engine) -> None:
    prepaid = acme(offerings=[{"code": "pro", "ratePlan": "pro", "billingMode": "PREPAID"}])
    with session_scope(engine) as session:
        applied(session, prepaid)
    prepaid["subscriptions"][0]["billingThreshold"] = "5"
    refused = pytest.raises(CatalogRefused, match=r"subscriptions\[0\].billingThreshold: means nothing")
    with refused, session_scope(engine) as session:
        applied(session, prepaid)


def test_a_source_whose_path_is_none_is_refused_by_its_place_in_the_file(engine: Engine) -> None:
    good = {"id": "whs_1", "name": "Pay", "customerIdPath": "$.customer", "metricKey": "calls"}
    bad = {**good, "id": "whs_2", "name": "Other", "customerIdPath": "$["}
    refused = pytest.raises(
        CatalogRefused, match=r"webhookSources\[1\].customerIdPath: '\$\[' is no JSONPath"
    )
    with refused, session_scope(engine) as session:
        apply_catalog(session, read_catalog(acme(webhookSources=[good, bad])), seal=Seal(b"k" * 32))
