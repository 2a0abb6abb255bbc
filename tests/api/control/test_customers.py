"""Customers over HTTP, with the field names clients use, and what keeps one from being archived."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from storage.database import session_scope
from tests.api.control.conftest import Api, problem

CUSTOMERS = "/api/v1/customers"
INITECH = {
    "name": "Initech",
    "email": "billing@initech.example",
    "plan": "BUSINESS",
    "defaultCurrency": "EUR",
    "externalId": "crm-17",
    "timeZone": "Europe/Madrid",
    "taxStatus": {"status": "REVERSE_CHARGE", "taxId": "DE123456789", "country": "DE"},
    "address": {"line1": "1 Main St", "city": "Berlin", "postalCode": "10115", "country": "de"},
    "metadata": {"segment": "smb", "snake_case": 1.50},
}


def customer(api: Api, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.made(
        CUSTOMERS, {"name": "Ann", "email": "ann@x.example", "plan": "STANDARD", **fields}
    )
    return made


def run(api: Api, *statements: str) -> None:
    with session_scope(api.database_url) as session:
        for statement in statements:
            session.execute(text(statement))


def test_a_customer_is_answered_as_it_was_sent(api: Api) -> None:
    made = api.made(CUSTOMERS, INITECH)
    assert made["id"].startswith("cus_")
    assert {name: made[name] for name in INITECH} == {
        **INITECH,
        "address": {**INITECH["address"], "country": "DE"},
        "metadata": {"segment": "smb", "snake_case": "1.5"},
    }
    assert (made["status"], made["revision"], made["archivedAt"]) == ("ACTIVE", 1, None)
    answer = api.get(f"{CUSTOMERS}/{made['id']}")
    assert answer.json()["data"] == made
    assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("field", ["name", "email", "plan"])
def test_name_email_and_plan_are_required(api: Api, field: str) -> None:
    body = {name: value for name, value in INITECH.items() if name != field}
    problem(api.post(CUSTOMERS, body), 422, field=field)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"plan": "GOLD"}, "plan"),
        ({"email": "nobody"}, "email"),
        ({"defaultCurrency": "EURO"}, "defaultCurrency"),
        ({"timeZone": "Mars/Base"}, "timeZone"),
        ({"taxStatus": {"status": "REVERSE_CHARGE"}}, "taxStatus.taxId"),
        ({"taxStatus": "FREE"}, "taxStatus.status"),
        ({"address": {"country": "Germany"}}, "address.country"),
        ({"billingEntity": "nobody"}, "billingEntity"),
        ({"status": "ARCHIVED"}, "status"),
        ({"metadata": {"a": {"b": {"c": {"d": {"e": 1}}}}}}, "metadata.a.b.c.d.e"),
        ({"metadata": {"a": "\0"}}, "metadata.a"),
        ({"nmae": "x"}, "nmae"),
    ],
)
def test_a_customer_that_makes_no_sense_is_refused_by_field(
    api: Api, change: dict[str, Any], field: str
) -> None:
    problem(api.post(CUSTOMERS, INITECH | change), 422, field=field)


def test_ids_and_external_ids_are_unique_among_customers_of_a_tenant(api: Api) -> None:
    made = customer(api, id="ann", externalId="x")
    problem(api.post(CUSTOMERS, INITECH | {"id": "ann"}), 409, "CUSTOMER_EXISTS")
    problem(api.post(CUSTOMERS, INITECH | {"externalId": "x"}), 409, "CUSTOMER_EXISTS")
    assert api.post(CUSTOMERS, INITECH | {"id": "ann", "externalId": "x"}, tenant="rival").status_code == 201
    api.delete(f"{CUSTOMERS}/{made['id']}")
    assert api.post(CUSTOMERS, INITECH | {"externalId": "x"}).status_code == 201


def test_one_external_id_at_once_is_one_customer(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post(CUSTOMERS, INITECH), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


def test_a_patch_changes_what_it_names_and_null_clears(api: Api) -> None:
    made = api.made(CUSTOMERS, INITECH)
    path = f"{CUSTOMERS}/{made['id']}"
    changed = api.patch(path, {"name": "Initrode", "externalId": None}, if_match='"1"').json()["data"]
    assert (changed["name"], changed["externalId"], changed["email"]) == ("Initrode", None, INITECH["email"])
    assert changed["revision"] == 2
    problem(api.patch(path, {"name": "x"}, if_match='"1"'), 412, "STALE_EDIT")
    again = api.patch(path, changed)
    assert again.json().get("data") == changed, again.text
    problem(api.patch(path, {"id": "other"}), 422, field="id")


def test_a_put_replaces_the_whole_customer(api: Api) -> None:
    made = api.made(CUSTOMERS, INITECH)
    path = f"{CUSTOMERS}/{made['id']}"
    problem(api.put(path, {"name": "x"}), 422, field="email")
    put = api.put(path, {"name": "B", "email": "b@x.example", "plan": "STANDARD"}).json()["data"]
    assert (put["name"], put["externalId"], put["address"], put["metadata"]) == ("B", None, None, {})


def test_lists_filter_sort_and_page(api: Api) -> None:
    for name in ("Ann", "Bob", "Anna", "Cleo"):
        customer(api, name=name, email=f"{name.lower()}@x.example", externalId=f"e-{name}")
    archived = customer(api, name="Annette")
    api.delete(f"{CUSTOMERS}/{archived['id']}")

    def names(query: str) -> list[str]:
        answer = api.get(f"{CUSTOMERS}?{query}")
        assert answer.status_code == 200, answer.text
        return [each["name"] for each in answer.json()["data"]]

    assert names("name=ann&sort=name") == ["Ann", "Anna"]
    assert names("name=ann&sort=name&includeArchived=true") == ["Ann", "Anna", "Annette"]
    assert names("email=bob@x.example") == ["Bob"]
    assert names("externalId=e-Cleo") == ["Cleo"]
    assert names("status=ARCHIVED") == ["Annette"]
    assert names("name=%25") == []
    first = api.get(f"{CUSTOMERS}?sort=name,desc&size=3").json()
    assert [each["name"] for each in first["data"]] == ["Cleo", "Bob", "Anna"]
    assert first["meta"]["totalElements"] == 4
    assert names(f"sort=name,desc&size=3&cursor={first['meta']['nextCursor']}") == ["Ann"]


def test_another_tenants_customer_does_not_exist(api: Api) -> None:
    made = api.made(CUSTOMERS, INITECH)
    path = f"{CUSTOMERS}/{made['id']}"
    for answer in (
        api.get(path, tenant="rival"),
        api.patch(path, {"name": "x"}, tenant="rival"),
        api.put(path, INITECH, tenant="rival"),
        api.delete(path, tenant="rival"),
        api.get(f"{path}/deletion-check", tenant="rival"),
    ):
        problem(answer, 404, "CUSTOMER_NOT_FOUND")


def test_a_customer_nothing_depends_on_is_archived_at_once(api: Api) -> None:
    made = customer(api)
    path = f"{CUSTOMERS}/{made['id']}"
    assert api.get(f"{path}/deletion-check").json()["data"] == {"decision": "ALLOW", "reasons": []}
    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 204, "again: nothing happens"
    shown = api.get(path).json()["data"]
    assert (shown["status"], shown["archivedAt"] is not None) == ("ARCHIVED", True)
    problem(api.patch(path, {"name": "x"}), 409, "CUSTOMER_ARCHIVED")


def subscribed(api: Api, customer_id: str) -> None:
    run(
        api,
        "INSERT INTO rate_plans (tenant_id, id, name, currency) VALUES ('acme', 'p', 'P', 'USD')",
        "INSERT INTO rate_plan_versions (tenant_id, plan_id, version, content, content_hash) "
        "VALUES ('acme', 'p', 1, '{}', 'x')",
        "INSERT INTO offerings (tenant_id, id, name, type, status, plan_id, billing_mode, currency, trial_days, "
        "entitlements) VALUES ('acme', 'o', 'O', 'STANDALONE', 'ACTIVE', 'p', 'POSTPAID', 'USD', 0, '[]')",
        "INSERT INTO subscriptions (tenant_id, id, customer_id, offering_id, plan_id, plan_version, "
        "billing_entity_id, status, start_date, starts_at, billing_cycle, anchor_day, time_zone) VALUES ('acme', 's', "
        f"'{customer_id}', 'o', 'p', 1, 'default', 'ACTIVE', '2023-11-01', '2023-11-01', 'MONTHLY', 1, 'UTC')",
    )


def test_currency_and_time_zone_are_fixed_once_subscribed(api: Api) -> None:
    made = customer(api)
    path = f"{CUSTOMERS}/{made['id']}"
    assert api.patch(path, {"defaultCurrency": "EUR"}).status_code == 200
    subscribed(api, made["id"])
    problem(api.patch(path, {"defaultCurrency": "USD"}), 409, "CUSTOMER_SUBSCRIBED")
    problem(api.patch(path, {"timeZone": "Asia/Tokyo"}), 409, "CUSTOMER_SUBSCRIBED")
    assert api.patch(path, {"name": "Annie"}).status_code == 200


def test_live_subscriptions_and_open_invoices_block(api: Api) -> None:
    made = customer(api)
    path = f"{CUSTOMERS}/{made['id']}"
    subscribed(api, made["id"])
    run(
        api,
        "INSERT INTO invoices (tenant_id, id, number, month, customer_id, billing_entity, currency, period_start, "
        "period_end, lines, subtotal, discount, tax, total, wallet_amount, amount_due, content_hash, status, withdrawn) "
        f"VALUES ('acme', 'i', 'INV-1', '2023-11', '{made['id']}', 'default', 'USD', '2023-11-01', '2023-12-01', 0, "
        "1, 0, 0, 1, 0, 1, 'x', 'OPEN', false)",
    )
    check = api.get(f"{path}/deletion-check").json()["data"]
    assert check["decision"] == "BLOCK"
    assert [(each["code"], each["ids"]) for each in check["reasons"]] == [
        ("ACTIVE_SUBSCRIPTIONS", ["s"]),
        ("OPEN_INVOICES", ["i"]),
    ]
    problem(api.delete(f"{path}?confirm=true"), 409, "CUSTOMER_BLOCKED")
    run(api, "UPDATE invoices SET status = 'PAID'", "UPDATE subscriptions SET status = 'CANCELLED'")
    assert api.delete(path).status_code == 204


def test_money_and_keys_warn_and_keys_end_with_the_customer(api: Api) -> None:
    made = customer(api)
    path = f"{CUSTOMERS}/{made['id']}"
    run(
        api,
        "INSERT INTO wallets (tenant_id, id, customer_id, currency, balance) "
        f"VALUES ('acme', 'w', '{made['id']}', 'USD', 5)",
        "INSERT INTO api_keys (tenant_id, id, name, customer_id, environment, status, prefix, secret_sha256) "
        f"VALUES ('acme', 'k', 'k', '{made['id']}', 'live', 'ACTIVE', 'sk', 'x')",
    )
    app = api.made("/api/v1/apps", {"name": "Shop", "customerId": made["id"]})
    check = api.get(f"{path}/deletion-check").json()["data"]
    assert (check["decision"], [each["code"] for each in check["reasons"]]) == (
        "WARN",
        ["WALLET_BALANCE", "ACTIVE_KEYS"],
    )
    problem(api.delete(path), 409, "CONFIRMATION_REQUIRED")
    assert api.delete(f"{path}?confirm=true").status_code == 204
    with session_scope(api.database_url) as session:
        assert session.scalar(text("SELECT status FROM api_keys WHERE id = 'k'")) == "REVOKED"
    assert api.get(f"/api/v1/apps/{app['id']}").json()["data"]["status"] == "ARCHIVED"


def test_every_change_of_a_customer_is_recorded(api: Api) -> None:
    made = customer(api)
    api.patch(f"{CUSTOMERS}/{made['id']}", {"name": "Annie"})
    api.delete(f"{CUSTOMERS}/{made['id']}")
    with session_scope(api.database_url) as session:
        rows = session.execute(
            text("SELECT action, changes FROM audit_log WHERE target_id = :id ORDER BY id"),
            {"id": made["id"]},
        ).all()
    assert [row.action for row in rows] == ["CUSTOMER_CREATED", "CUSTOMER_UPDATED", "CUSTOMER_ARCHIVED"]
    assert rows[1].changes == {"name": {"before": "Ann", "after": "Annie"}}
