"""Tax rates and exchange rates over HTTP."""

from __future__ import annotations

from sqlalchemy import text

from storage.database import session_scope
from tests.api.control.conftest import Api, problem
from tests.api.control.test_invoice_life import one_off

TAX, FX = "/api/v1/tax-rates", "/api/v1/fx-rates"
VAT = {"name": "VAT", "country": "de", "ratePercent": 19, "validFrom": "2020-01-01"}
RATE = {"from": "USD", "to": "EUR", "day": "2026-01-31", "rate": "0.9213"}


def test_a_tax_rate_is_answered_in_percent_and_as_a_fraction(api: Api) -> None:
    made = api.made(TAX, VAT)
    assert made["id"].startswith("txr_")
    assert (made["ratePercent"], made["rate"], made["country"], made["jurisdiction"]) == (
        "19",
        "0.19",
        "DE",
        "DE",
    )
    assert api.get(f"{TAX}/{made['id']}").json()["data"] == made
    assert [each["id"] for each in api.get(f"{TAX}?country=DE").json()["data"]] == [made["id"]]
    assert api.get(TAX, tenant="rival").json()["data"] == []
    problem(api.get(f"{TAX}/{made['id']}", tenant="rival"), 404, "TAX_RATE_NOT_FOUND")


def test_the_same_tax_is_not_levied_twice_at_once(api: Api) -> None:
    api.made(TAX, VAT)
    problem(api.post(TAX, VAT | {"validFrom": "2025-01-01"}), 409, "TAX_RATE_TAKEN")
    api.made(TAX, VAT | {"taxCategory": "books"})
    api.made(TAX, VAT | {"name": "Levy"})


def test_a_rate_in_force_can_be_ended_and_renamed_but_not_changed(api: Api) -> None:
    one = f"{TAX}/{api.made(TAX, VAT)['id']}"
    problem(api.patch(one, {"ratePercent": 20}), 409, "TAX_RATE_IN_FORCE")
    problem(api.delete(one), 409, "TAX_RATE_IN_FORCE")
    ended = api.patch(one, {"validUntil": "2027-01-01", "name": "Old VAT"}, if_match='"1"').json()["data"]
    assert (ended["validUntil"], ended["name"], ended["revision"]) == ("2027-01-01", "Old VAT", 2)
    problem(api.patch(one, {"name": "x"}, if_match='"1"'), 412)
    api.made(TAX, VAT | {"name": "Old VAT", "ratePercent": 20, "validFrom": "2027-01-01"})


def test_a_rate_to_come_can_be_changed_and_removed(api: Api) -> None:
    one = f"{TAX}/{api.made(TAX, VAT | {'validFrom': '2999-01-01'})['id']}"
    assert api.patch(one, {"rate": "0.205"}).json()["data"]["ratePercent"] == "20.5"
    assert api.delete(one).status_code == 204
    problem(api.get(one), 404)


def test_what_cannot_be_a_tax_rate_is_refused_by_field(api: Api) -> None:
    problem(api.post(TAX, VAT | {"country": "Germany"}), 422, field="country")
    problem(api.post(TAX, VAT | {"ratePercent": -1}), 422, field="ratePercent")
    problem(api.post(TAX, {"name": "VAT"}), 422)


def test_a_tax_rate_is_changed_under_any_of_its_fields_names(api: Api) -> None:
    to_come = VAT | {"validFrom": "2999-01-01", "region": "BY"}
    one = f"{TAX}/{api.made(TAX, to_come)['id']}"
    told = api.patch(one, {"state": "BE", "rate": "0.2"}).json()["data"]
    assert (told["region"], told["ratePercent"]) == ("BE", "20")
    assert api.patch(one, told).json()["data"]["revision"] == told["revision"], (
        "an answer sent back changes nothing"
    )
    taken = problem(api.post(TAX, to_come | {"id": told["id"], "name": "Other"}), 409, "TAX_RATE_EXISTS")
    assert told["id"] in taken["detail"]


def test_a_day_gone_by_gets_no_rate_where_issued_invoices_rest_on_the_one_that_holds(api: Api) -> None:
    api.made(FX, RATE | {"day": "2026-01-05", "rate": "0.9"})
    api.made(FX, RATE | {"day": "2026-01-07", "rate": "0.95"})
    invoice = one_off(api)
    with session_scope(api.database_url) as session:
        session.execute(
            text("UPDATE invoice_lines SET price_currency = 'USD', currency = 'EUR', fx_rate = 0.95")
        )
    refused = problem(api.post(FX, RATE | {"day": "2026-01-10"}), 409, "FX_RATE_RELIED_ON")
    assert "the rate of 2026-01-07 holds" in refused["detail"]
    api.made(FX, RATE | {"day": "2026-01-06"})
    api.made(FX, RATE | {"day": "2026-01-02"})
    api.made(FX, RATE | {"day": "2999-01-02"})
    api.made(f"/api/v1/invoices/{invoice['id']}/void", {"reason": "x"})
    api.made(FX, RATE | {"day": "2026-01-10"})


def test_a_day_has_one_exchange_rate_for_good(api: Api) -> None:
    made = api.made(FX, RATE)
    assert (made["from"], made["to"], made["day"], made["rate"]) == ("USD", "EUR", "2026-01-31", "0.9213")
    problem(api.post(FX, RATE | {"rate": 1}), 409, "FX_RATE_TAKEN")
    problem(api.delete(f"{FX}/{made['id']}"), 409, "FX_RATE_IN_FORCE")
    api.made(FX, RATE | {"from": "EUR", "to": "USD", "rate": "1.0854"})
    assert len(api.get(f"{FX}?from=USD").json()["data"]) == 1
    problem(api.post(FX, RATE | {"to": "USD"}), 422, field="to")
    problem(api.post(FX, RATE | {"rate": 0}), 422, field="rate")
