"""Exported catalogs: applied again they change nothing, applied elsewhere they make the same catalog."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from domain.catalog.catalog import SECTIONS, read_catalog
from domain.catalog.fields import CatalogRefused
from storage.catalog_export import Export, WhichTenant, export_catalog
from storage.catalog_file import dump_document, load_document
from storage.catalog_service import apply_catalog, plan_changes
from storage.database import make_engine, session_scope
from storage.repositories.customers import Customers
from storage.repositories.keys import IssuedKey
from storage.sealed import Seal
from storage.tables.customers import SubscriptionRow
from tests import harness
from tests.storage.everything import EVERYTHING
from tests.storage.worlds import ACME, acme, applied

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
SEAL = Seal(bytes(32))


@pytest.fixture
def elsewhere(database_server: harness.Databases) -> Iterator[Engine]:
    """Another fresh database."""
    with database_server.fresh() as url:
        engine = make_engine(url)
        yield engine
        engine.dispose()


def apply_to(engine: Engine, document: Any) -> list[IssuedKey]:
    with session_scope(engine) as session:
        return apply_catalog(session, read_catalog(document), seal=SEAL)[1]


def exported(engine: Engine, tenant: str | None = None) -> Export:
    with session_scope(engine) as session:
        return export_catalog(session, tenant)


def written(export: Export) -> str:
    versions = {key: f"version {number}" for key, number in export.versions.items()}
    return dump_document(export.document, {"ratePlans": versions})


def reread(export: Export, folder: Path) -> Any:
    file = folder / "exported.yaml"
    file.write_text(written(export), encoding="utf-8")
    return load_document(file)


def actions(engine: Engine, document: Any) -> dict[str, str]:
    with session_scope(engine) as session:
        changes = plan_changes(session, read_catalog(document)).changes
    return {f"{each.noun} {each.id}": each.action for each in changes if each.action != "unchanged"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_exported_and_applied_elsewhere_exports_to_the_same_bytes(
    file: Path, engine: Engine, elsewhere: Engine, tmp_path: Path
) -> None:
    apply_to(engine, load_document(file))
    first = reread(exported(engine), tmp_path)
    assert actions(engine, first) == {}
    apply_to(elsewhere, first)
    assert written(exported(elsewhere)) == written(exported(engine))


def test_every_noun_with_every_field_survives_the_way_through_a_file(
    engine: Engine, elsewhere: Engine, tmp_path: Path
) -> None:
    apply_to(engine, EVERYTHING)
    assert actions(engine, EVERYTHING) == {}
    export = exported(engine)
    assert {"tenant", "organization", *SECTIONS} == set(export.document)
    assert actions(engine, reread(export, tmp_path)) == {}
    apply_to(elsewhere, reread(export, tmp_path))
    assert actions(elsewhere, EVERYTHING) == {}
    assert written(exported(elsewhere)) == written(export)


def test_what_is_read_from_an_export_is_what_was_asked_for(engine: Engine, tmp_path: Path) -> None:
    apply_to(engine, EVERYTHING)
    asked, back = read_catalog(EVERYTHING), read_catalog(reread(exported(engine), tmp_path))
    for part in (
        "units",
        "products",
        "offerings",
        "coupons",
        "customers",
        "teams",
        "apps",
        "agents",
        "sources",
        "keys",
    ):
        assert getattr(back, part) == getattr(asked, part), part
    assert (back.tenant, back.organization, back.entities) == (
        asked.tenant,
        asked.organization,
        asked.entities,
    )


def test_a_new_webhook_source_shows_its_secret_once(engine: Engine) -> None:
    secrets = {key.id: key.secret for key in apply_to(engine, EVERYTHING)}
    assert secrets["stripe"].startswith("whsec_")
    assert apply_to(engine, EVERYTHING) == []
    assert secrets["stripe"] not in written(exported(engine))


def test_a_subscription_on_an_older_version_stays_on_it(engine: Engine, tmp_path: Path) -> None:
    apply_to(engine, ACME)
    dearer = acme()
    dearer["ratePlans"][0]["metrics"][0]["rate"] = "0.002"
    apply_to(engine, dearer)
    export = exported(engine)
    assert export.versions == {"pro": 2}
    assert "# version 2\n- key: pro" in written(export)
    apply_to(engine, reread(export, tmp_path))
    with session_scope(engine) as session:
        assert {row.plan_version for row in session.query(SubscriptionRow)} == {1}


def test_a_renamed_unit_makes_no_new_version_of_the_plans_that_price_it(
    engine: Engine, tmp_path: Path
) -> None:
    apply_to(engine, ACME)
    apply_to(
        engine,
        {"tenant": ACME["tenant"], "units": [{"key": "bytes", "name": "Octets", "aggregation": "SUM"}]},
    )
    assert actions(engine, reread(exported(engine), tmp_path)) == {}


def test_what_is_over_or_archived_stays_out_unless_something_needs_it(engine: Engine) -> None:
    document = acme()
    document["units"].append({"key": "old", "aggregation": "SUM"})
    document["customers"].append({"id": "gone"})
    document["ratePlans"].append({"key": "past", "baseFee": 1})
    apply_to(engine, document)
    with session_scope(engine) as session:
        archive = "UPDATE {} SET archived_at = now(){} WHERE id = '{}'"
        session.execute(text(archive.format("units", ", status = 'ARCHIVED'", "old")))
        session.execute(text(archive.format("units", ", status = 'ARCHIVED'", "bytes")))
        session.execute(text(archive.format("customers", ", status = 'ARCHIVED'", "gone")))
        session.execute(text(archive.format("rate_plans", "", "past")))
        session.execute(text("UPDATE api_keys SET status = 'REVOKED', revoked_at = now() WHERE name = 'ann'"))
    found = exported(engine).document
    assert [unit["key"] for unit in found["units"]] == ["bytes", "calls"]
    assert found["units"][0]["status"] == "ARCHIVED"
    assert [each["id"] for each in found["customers"]] == ["ann", "bob"]
    assert [each["key"] for each in found["ratePlans"]] == ["pro"]
    assert [each["name"] for each in found["keys"]] == ["main"]
    assert actions(engine, found) == {}


def test_an_export_is_of_one_tenant(engine: Engine) -> None:
    with pytest.raises(WhichTenant, match="none yet"):
        exported(engine)
    apply_to(engine, ACME)
    assert exported(engine).document["tenant"]["id"] == "acme"
    apply_to(engine, {"tenant": {"id": "globex"}})
    with pytest.raises(WhichTenant, match="acme, globex"):
        exported(engine)
    with pytest.raises(WhichTenant, match="'nobody' is no tenant"):
        exported(engine, "nobody")
    assert set(exported(engine, "globex").document) == {"tenant"}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("teams", {"id": "t", "name": "T", "customerId": "nobody"}, "teams[0].customerId"),
    ("teams", {"id": "t", "name": "core", "customerId": "ann"}, "teams[0].name"),
    ("teams", {"id": "team_a", "name": "Core", "customerId": "bob"}, "teams[0].customerId"),
    ("apps", {"id": "a", "name": "A", "customerId": "ann", "teamId": "team_b"}, "apps[0].teamId"),
    ("apps", {"id": "helper", "name": "A", "customerId": "ann"}, "apps[0].id"),
    ("agents", {"id": "h", "name": "HELPER", "customerId": "ann"}, "agents[0].name"),
    ("billingEntities", {"code": "fr", "invoicePrefix": "ES"}, "billingEntities[0].invoicePrefix"),
    ("billingEntities", {"code": "es"}, "billingEntities[0].code"),
    ("billingEntities", {"code": "us", "baseCurrency": "EUR"}, "billingEntities[0].baseCurrency"),
    ("ratePlans", {"key": "p", "baseFee": 1, "productIds": ["nope"]}, "ratePlans[0].productIds[0]"),
]


@pytest.mark.parametrize(("section", "item", "field"), REFUSED)
def test_what_does_not_fit_is_refused_by_field(
    session: Session, section: str, item: dict[str, Any], field: str
) -> None:
    apply_catalog(session, read_catalog(EVERYTHING), seal=SEAL)
    with pytest.raises(CatalogRefused) as caught:
        plan_changes(session, read_catalog({"tenant": EVERYTHING["tenant"], section: [item]}))
    assert field in {problem.path for problem in caught.value.problems}


def test_the_identifier_of_an_archived_team_is_not_used_again(session: Session) -> None:
    apply_catalog(session, read_catalog(EVERYTHING), seal=SEAL)
    session.execute(text("UPDATE teams SET archived_at = now() WHERE id = 'team_b'"))
    with pytest.raises(CatalogRefused, match="was archived"):
        plan_changes(session, read_catalog(EVERYTHING))


def test_two_customers_with_one_external_id_are_refused_by_name(session: Session) -> None:
    twice = acme(customers=[{"id": "ann", "externalId": "1"}, {"id": "bob", "externalId": "1"}])
    with pytest.raises(CatalogRefused, match=r"customers\.externalId"), session.begin_nested():
        applied(session, twice)


def test_settings_in_another_currency_than_the_tenant_are_refused() -> None:
    document = deepcopy(EVERYTHING)
    document["organization"]["defaultCurrency"] = "USD"
    with pytest.raises(CatalogRefused, match=r"organization\.defaultCurrency"):
        read_catalog(document)


def test_a_subscription_is_billed_by_its_customers_issuer(session: Session) -> None:
    apply_catalog(session, read_catalog(EVERYTHING), seal=SEAL)
    issuers = {row.id: row.billing_entity_id for row in session.query(SubscriptionRow)}
    assert issuers == {"sub_ann": "us", "sub_bob": "us", "more_bob": "es"}
    assert Customers(session, "acme").all()["ann"].billing_entity == "us"


def test_a_file_that_names_no_issuer_keeps_the_one_there_is(session: Session) -> None:
    apply_catalog(session, read_catalog(EVERYTHING), seal=SEAL)
    tenant = {name: value for name, value in EVERYTHING["tenant"].items() if name != "billingEntity"}
    changes = plan_changes(session, read_catalog({"tenant": tenant})).changes
    assert [change.action for change in changes] == ["unchanged"]
