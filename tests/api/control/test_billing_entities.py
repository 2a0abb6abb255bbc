"""Issuers over HTTP, and the numbers of their invoices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from storage.database import session_scope
from storage.repositories.invoices import settle
from tests.api.control.conftest import Api, problem
from tests.storage.test_invoices import settlement

ENTITIES = "/api/v1/billing-entities"
US = {
    "code": "US",
    "displayName": "Acme US",
    "legalName": "Acme Inc.",
    "baseCurrency": "USD",
    "reportingCurrency": "EUR",
    "timeZone": "America/Chicago",
    "invoicePrefix": "US",
    "invoiceNumberFormat": "{prefix}/{year}/{seq:000000}",
    "roundingMode": "HALF_UP",
    "taxRegistration": "US-12-3456789",
    "address": {"line1": "1 Main St", "city": "Austin", "country": "US"},
    "branding": {"primaryColor": "#1A2B3C", "footer": "Thank you."},
}


def number(api: Api, customer: str, entity: str) -> Any:
    with session_scope(api.database_url) as session:
        return settle(session, [settlement(customer, billing_entity=entity)], [])[0]["number"]


def defaults(api: Api) -> list[str]:
    return [each["id"] for each in api.get(ENTITIES).json()["data"] if each["isDefault"]]


def test_an_issuer_is_answered_as_it_was_sent(api: Api) -> None:
    made = api.made(ENTITIES, US)
    assert {name: made[name] for name in US} == US
    assert (made["id"], made["isDefault"], made["revision"]) == ("US", False, 1)
    assert api.get(f"{ENTITIES}/US").json()["data"] == made
    assert [each["id"] for each in api.get(f"{ENTITIES}?sort=id").json()["data"]] == ["US", "default"]


def test_an_issuer_without_a_code_gets_one(api: Api) -> None:
    made = api.made(ENTITIES, {"displayName": "Acme FR", "baseCurrency": "EUR"})
    assert made["id"].startswith("be_")
    assert made["invoiceNumberFormat"] == "{prefix}-{year}-{seq:0000}"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"invoiceNumberFormat": "{prefix}-{year}"}, "invoiceNumberFormat"),
        ({"invoiceNumberFormat": "{prefix}{year}{seq}"}, "invoiceNumberFormat"),
        ({"invoiceNumberFormat": "{year}-{seq:0000}"}, "invoiceNumberFormat"),
        ({"invoicePrefix": "US-"}, "invoicePrefix"),
        ({"baseCurrency": "DOLLAR"}, "baseCurrency"),
        ({"timeZone": "Nowhere"}, "timeZone"),
        ({"roundingMode": "DOWN"}, "roundingMode"),
        ({"branding": {"primaryColor": "blue"}}, "branding.primaryColor"),
        ({"isDefault": "yes"}, "isDefault"),
    ],
)
def test_an_issuer_that_makes_no_sense_is_refused_by_field(
    api: Api, body: dict[str, Any], field: str
) -> None:
    problem(api.post(ENTITIES, US | body), 422, field=field)


def test_codes_and_prefixes_are_unique_in_a_tenant(api: Api) -> None:
    api.made(ENTITIES, US)
    problem(api.post(ENTITIES, US | {"invoicePrefix": "U2"}), 409, "BILLING_ENTITY_EXISTS")
    problem(api.post(ENTITIES, US | {"code": "U2"}), 409, "BILLING_ENTITY_EXISTS")
    assert api.post(ENTITIES, US, tenant="rival").status_code == 201


def test_code_and_base_currency_never_change(api: Api) -> None:
    api.made(ENTITIES, US)
    problem(api.patch(f"{ENTITIES}/US", {"code": "USA"}), 409, "BILLING_ENTITY_FIXED")
    problem(api.patch(f"{ENTITIES}/US", {"baseCurrency": "EUR"}), 409, "BILLING_ENTITY_FIXED")
    changed = api.patch(f"{ENTITIES}/US", {"legalName": "Acme LLC", "reportingCurrency": None}).json()["data"]
    assert (changed["legalName"], changed["reportingCurrency"], changed["revision"]) == ("Acme LLC", None, 2)


def test_numbers_follow_the_issuers_format_and_go_on_when_it_changes(api: Api) -> None:
    api.made(ENTITIES, US)
    assert number(api, "ann", "US") == "US/2023/000001"
    problem(api.patch(f"{ENTITIES}/US", {"invoicePrefix": "USA"}), 409, "BILLING_ENTITY_FIXED")
    api.patch(f"{ENTITIES}/US", {"invoiceNumberFormat": "{prefix}-{year}-{seq}"})
    assert number(api, "bob", "US") == "US-2023-2"
    assert number(api, "ann", "US") == "US/2023/000001", "a number that was given stays"
    assert number(api, "cleo", "default") == "INV-2023-0001"


def test_there_is_always_exactly_one_default_also_at_once(api: Api) -> None:
    assert defaults(api) == ["default"]
    for code in ("A", "B", "C"):
        api.made(ENTITIES, {"code": code})
    with ThreadPoolExecutor(6) as pool:
        wishes = [f"{ENTITIES}/{code}" for code in "ABCABC"]
        answers = list(pool.map(lambda path: api.patch(path, {"isDefault": True}), wishes))
    assert {answer.status_code for answer in answers} == {200}
    assert len(defaults(api)) == 1
    problem(api.patch(f"{ENTITIES}/{defaults(api)[0]}", {"isDefault": False}), 422, field="isDefault")


def test_an_issuer_in_use_cannot_be_archived(api: Api) -> None:
    api.made(ENTITIES, US)
    body = {"name": "Ann", "email": "a@x.example", "plan": "STANDARD", "billingEntity": "US"}
    ann = api.made("/api/v1/customers", body)
    problem(api.delete(f"{ENTITIES}/default"), 409, "BILLING_ENTITY_IN_USE")
    problem(api.delete(f"{ENTITIES}/US"), 409, "BILLING_ENTITY_IN_USE")
    api.patch(f"/api/v1/customers/{ann['id']}", {"billingEntity": None})
    assert api.delete(f"{ENTITIES}/US").status_code == 204
    assert [each["id"] for each in api.get(ENTITIES).json()["data"]] == ["default"]
    problem(api.patch(f"{ENTITIES}/US", {"displayName": "x"}), 404, "BILLING_ENTITY_NOT_FOUND")


def test_another_tenants_issuer_does_not_exist(api: Api) -> None:
    api.made(ENTITIES, US)
    for answer in (
        api.get(f"{ENTITIES}/US", tenant="rival"),
        api.patch(f"{ENTITIES}/US", {"displayName": "x"}, tenant="rival"),
        api.delete(f"{ENTITIES}/US", tenant="rival"),
    ):
        problem(answer, 404, "BILLING_ENTITY_NOT_FOUND")
