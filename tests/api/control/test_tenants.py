"""Tenants and their settings over HTTP, with the field names clients use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.api.control.conftest import Api, problem

TENANTS = "/api/v1/internal/tenants"
PROVISION = "/internal/v1/billing-entities/provision-default"
SETTINGS = "/api/v1/organization-settings"
GLOBEX = {
    "externalId": "crm-1",
    "name": "Globex [EU]",
    "tier": "starter",
    "description": "A customer of ours",
    "metadata": {"source": "crm", "nested": {"a_b": 1.5}},
}


def test_a_tenant_is_made_and_found_by_its_external_id_without_an_envelope(api: Api) -> None:
    made = api.made(TENANTS, GLOBEX, tenant="")
    assert (made["externalId"], made["name"], made["tier"]) == ("crm-1", "Globex [EU]", "starter")
    assert made["metadata"] == {"source": "crm", "nested": {"a_b": "1.5"}}
    found = api.get(f"{TENANTS}?externalId=crm-1", tenant="").json()
    assert list(found) == ["data"]
    assert [(each["id"], each["externalId"], each["name"]) for each in found["data"]] == [
        (made["id"], "crm-1", "Globex [EU]")
    ]
    assert api.get(f"{TENANTS}/{made['id']}", tenant="").json()["data"]["name"] == "Globex [EU]"


def test_the_same_external_id_is_the_same_tenant_also_at_once(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post(TENANTS, GLOBEX, tenant=""), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1


def test_tenants_are_listed_without_the_archived_ones(api: Api) -> None:
    made = api.made(TENANTS, GLOBEX, tenant="")
    assert api.delete(f"{TENANTS}/{made['id']}", tenant="").status_code == 204
    assert api.delete(f"{TENANTS}/{made['id']}", tenant="").status_code == 204
    assert {each["id"] for each in api.get(TENANTS, tenant="").json()["data"]} == {"acme", "rival"}
    problem(api.get(f"{TENANTS}/{made['id']}", tenant=""), 404, "TENANT_NOT_FOUND")
    problem(api.get("/api/v1/customers", tenant=made["id"]), 404, "TENANT_NOT_FOUND")
    again = api.made(TENANTS, GLOBEX, tenant="")
    assert again["id"] != made["id"], "an archived tenant has given its external id up"


def test_a_key_of_an_archived_tenant_opens_nothing_here_either(api: Api) -> None:
    key = api.key("rival", "OWNER")
    assert api.get("/api/v1/customers", tenant="rival", token=key).status_code == 200
    api.delete(f"{TENANTS}/rival", tenant="")
    assert api.get("/api/v1/customers", tenant="rival", token=key).status_code in (401, 404)


def test_tenants_are_for_the_installations_own_token(api: Api) -> None:
    problem(api.get(TENANTS, tenant="", token="wrong"), 401)
    problem(api.get(TENANTS, role="OWNER"), 403)
    problem(api.post(TENANTS, {"name": "x"}, role="OWNER"), 403)


def test_a_tenant_needs_a_name_and_an_id_of_its_own(api: Api) -> None:
    problem(api.post(TENANTS, {"externalId": "x"}, tenant=""), 422, field="name")
    problem(api.post(TENANTS, {"id": "acme", "name": "x"}, tenant=""), 409, "TENANT_EXISTS")
    problem(api.post(TENANTS, {"name": "x", "naem": 1}, tenant=""), 422, field="naem")


def test_the_default_issuer_is_provisioned_once(api: Api) -> None:
    made = api.made(TENANTS, GLOBEX, tenant="")
    body = {
        "tenantId": made["id"],
        "displayName": "Globex SL",
        "baseCurrency": "EUR",
        "countryCode": "ES",
        "address": {
            "line1": "Gran Via 1",
            "city": "Madrid",
            "region": "M",
            "postalCode": "28001",
            "country": "ES",
        },
    }
    entity = api.made(PROVISION, body, tenant="")
    assert (entity["entityId"], entity["tenantId"], entity["isDefault"]) == ("default", made["id"], True)
    assert (entity["displayName"], entity["baseCurrency"]) == ("Globex SL", "EUR")
    assert entity["address"]["city"] == "Madrid"
    assert api.made(PROVISION, {**body, "displayName": "Other"}, tenant="") == entity
    problem(api.post(PROVISION, {**body, "tenantId": "nobody"}, tenant=""), 404, "TENANT_NOT_FOUND")


def test_settings_are_those_usual_until_somebody_changes_them(api: Api) -> None:
    answer = api.get(SETTINGS)
    assert answer.json()["data"] == {
        "profile": {},
        "defaultCurrency": "USD",
        "timeZone": "UTC",
        "billingAnchor": 1,
        "aiProviderRates": [],
        "retentionPolicies": {},
        "theme": {},
        "terms": {},
        "corrections": {},
        "revision": 1,
        "updatedAt": None,
    }
    assert answer.headers["etag"] == '"1"'


def test_settings_change_field_by_field_and_null_takes_back(api: Api) -> None:
    rate = {"provider": "openai", "model": "gpt-4o", "unit": "INPUT_TOKEN", "rate": 0.0000025}
    first = {"profile": {"displayName": "Acme", "website": "https://acme.example"}, "defaultCurrency": "EUR"}
    assert api.patch(SETTINGS, first | {"aiProviderRates": [rate]}).status_code == 200
    changed = api.patch(
        SETTINGS,
        {"profile": {"website": None, "legalName": "Acme Inc."}, "billingAnchor": 15},
        if_match='"2"',
    ).json()["data"]
    assert changed["profile"] == {"displayName": "Acme", "legalName": "Acme Inc."}
    assert changed["aiProviderRates"] == [{**rate, "rate": "0.0000025", "currency": "EUR"}]
    assert (changed["defaultCurrency"], changed["billingAnchor"], changed["revision"]) == ("EUR", 15, 3)
    problem(api.patch(SETTINGS, {"billingAnchor": 1}, if_match='"2"'), 412)
    assert api.patch(SETTINGS, {"billingAnchor": 15}).json()["data"]["revision"] == 3, "nothing changed"
    assert api.get(SETTINGS, tenant="rival").json()["data"]["profile"] == {}


def test_settings_that_make_no_sense_are_refused_by_field(api: Api) -> None:
    for body, field in (
        ({"billingAnchor": 32}, "billingAnchor"),
        ({"defaultCurrency": "EURO"}, "defaultCurrency"),
        ({"theme": {"primaryColor": "red"}}, "theme.primaryColor"),
        ({"retentionPolicies": {"usageEventsDays": 3}}, "retentionPolicies.usageEventsDays"),
        ({"aiProviderRates": [{"provider": "x", "unit": "TOKEN", "rate": 1}]}, "aiProviderRates[0].unit"),
        ({"profile": {"nope": 1}}, "profile.nope"),
        ({"terms": []}, "terms"),
    ):
        problem(api.patch(SETTINGS, body), 422, field=field)
