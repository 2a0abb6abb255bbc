"""Customers and issuers as a catalog file states them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain.catalog.catalog import read_catalog
from domain.catalog.customers import written_customer
from domain.catalog.fields import CatalogRefused
from storage.catalog_service import plan_changes
from storage.repositories.customers import Customers
from tests.storage.worlds import applied

ISSUER = {
    "code": "US",
    "displayName": "Acme US",
    "invoicePrefix": "US",
    "invoiceNumberFormat": "{prefix}/{year}/{seq}",
    "address": {"city": "Austin", "country": "US"},
    "branding": {"footer": "Thank you."},
}
ANN = {
    "id": "ann",
    "name": "Ann",
    "email": "ann@x.example",
    "plan": "BUSINESS",
    "defaultCurrency": "EUR",
    "timeZone": "Europe/Madrid",
    "externalId": "crm-1",
    "taxStatus": {"status": "EXEMPT", "country": "ES"},
    "address": {"city": "Madrid", "country": "ES"},
    "billingEntity": "US",
    "metadata": {"segment": "smb"},
}
WORLD: dict[str, Any] = {"tenant": {"id": "acme", "billingEntity": ISSUER}, "customers": [ANN]}


def test_a_customer_with_every_field_is_stored_as_written(session: Session) -> None:
    applied(session, WORLD)
    session.expire_all()
    assert written_customer(Customers(session, "acme").all()["ann"]) == ANN


def test_customers_and_issuers_applied_twice_change_nothing_the_second_time(session: Session) -> None:
    applied(session, WORLD)
    session.expire_all()
    assert {change.action for change in plan_changes(session, read_catalog(WORLD)).changes} == {"unchanged"}


@pytest.mark.parametrize(
    ("world", "path"),
    [
        ({"customers": [{"id": "bob", "billingEntity": "FR"}]}, "customers[0].billingEntity"),
        (
            {"tenant": {"id": "acme", "currency": "EUR", "billingEntity": ISSUER}},
            "tenant.billingEntity.baseCurrency",
        ),
    ],
)
def test_an_unknown_issuer_and_other_books_are_refused(
    session: Session, world: dict[str, Any], path: str
) -> None:
    applied(session, WORLD)
    session.expire_all()
    with pytest.raises(CatalogRefused) as caught:
        plan_changes(session, read_catalog({**WORLD, **world}))
    assert [problem.path for problem in caught.value.problems] == [path]
