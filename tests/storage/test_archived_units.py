"""What becomes of catalogs, prices and rights when a unit is archived."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from domain.actor import OPERATOR
from domain.catalog.catalog import read_catalog
from domain.catalog.fields import CatalogRefused
from storage.catalog_service import plan_changes
from storage.repositories.rights import tenant_rights
from storage.repositories.terms import frozen_terms
from storage.services.units import Units
from storage.tenancy import Tx
from tests.storage.worlds import ACME, acme, applied

AT = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def archived(session: Session) -> Session:
    """Acme after its subscriptions ended and `bytes` was archived."""
    ended = acme()
    for subscription in ended["subscriptions"]:
        subscription["endDate"] = "2024-01-01"
    applied(session, ended)
    units = Units(Tx(session, "acme", OPERATOR, AT))
    units.archive("bytes", units.deletion_check("bytes").confirm_token)
    return session


def test_what_was_sold_before_is_billed_as_agreed(archived: Session) -> None:
    rows = frozen_terms(archived, month="2023-12", customers=["ann"])
    assert {row["unit"] for row in rows} == {None, "calls", "bytes"}


def test_the_edge_knows_it_no_more(archived: Session) -> None:
    assert [unit.key for unit in tenant_rights(archived, "acme", AT).units] == ["calls"]


def test_a_new_price_for_it_is_refused_and_an_old_one_may_stay(archived: Session) -> None:
    new = {"key": "new", "metrics": [{"unit": "bytes", "rate": 1}]}
    with pytest.raises(CatalogRefused) as caught:
        plan_changes(archived, read_catalog({"tenant": ACME["tenant"], "ratePlans": [new]}))
    assert [problem.path for problem in caught.value.problems] == ["ratePlans[0].metrics[0].unit"]
    same = plan_changes(archived, read_catalog({"tenant": ACME["tenant"], "ratePlans": ACME["ratePlans"]}))
    assert same.of("ratePlan", "unchanged") == ["pro"]


def test_a_product_does_not_take_it(archived: Session) -> None:
    product = {"key": "p", "type": "AI_AGENT", "units": ["bytes"]}
    with pytest.raises(CatalogRefused) as caught:
        plan_changes(archived, read_catalog({"tenant": ACME["tenant"], "products": [product]}))
    assert [problem.path for problem in caught.value.problems] == ["products[0].units[0]"]


def test_a_file_that_names_it_restores_it(archived: Session) -> None:
    done, _ = applied(archived, {"tenant": ACME["tenant"], "units": ACME["units"]})
    assert [(change.id, change.fields) for change in done.changes if change.action == "change"] == [
        ("bytes", {"status": {"before": "ARCHIVED", "after": "ACTIVE"}})
    ]
    assert Units(Tx(archived, "acme", OPERATOR, AT)).get("bytes").archived_at is None


def test_a_file_archives_nothing(archived: Session) -> None:
    unit = {**ACME["units"][0], "status": "ARCHIVED"}
    with pytest.raises(CatalogRefused) as caught:
        plan_changes(archived, read_catalog({"tenant": ACME["tenant"], "units": [unit]}))
    assert "units[0].status" in [problem.path for problem in caught.value.problems]
