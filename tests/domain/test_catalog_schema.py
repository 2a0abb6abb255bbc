"""The JSON Schema of catalog files says what the readers say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from domain.catalog import schema, schema_of_customers, schema_of_plans
from domain.catalog.catalog import SECTIONS, read_catalog
from domain.catalog.customers import Tenant, read_customer, read_tenant
from domain.catalog.fields import CatalogRefused, FieldProblem, Fields
from domain.catalog.issuers import read_entity
from domain.catalog.keys import read_key
from domain.catalog.offerings import read_offering
from domain.catalog.plan_reading import read_plan
from domain.catalog.plan_terms import read_commitment, read_rate_limit
from domain.catalog.products import read_product
from domain.catalog.tax_rates import read_tax_rate
from domain.catalog.units import read_unit
from domain.coupon import read_coupon
from domain.organization import Defaults, read_settings
from domain.people import AGENT, APP, read_accessor, read_team
from domain.subscription import read_subscription
from domain.webhook_source import read_listed_source
from storage.catalog_file import load_document
from tests.storage.everything import EVERYTHING
from tools import catalog_schema

EXAMPLES = Path(__file__).parents[2] / "examples"
ALWAYS_REFUSED = {"tax", "taxCode", "coupons", "discounts"}
"""Names that readers know only in order to refuse them."""
OF_SUBSCRIPTIONS = {"minimumSpend", "maximumSpend", "commitment"}
HOLDER = {"id": "a", "name": "A", "customerId": "c"}
PATHS = {"customerIdPath": "$.a", "metricKeyPath": "$.b"}
COUPON = {"code": "A", "name": "A", "discountType": "PERCENTAGE", "discountValue": 1, "duration": "ONCE"}


def nested(read: Callable[[Fields], Any], name: str) -> Callable[[Fields], Any]:
    """A reader of an object within a noun."""
    return lambda fields: read(Fields({name: fields._sent}, ""))


READERS: Mapping[str, tuple[dict[str, Any], Callable[[Fields], Any], dict[str, Any]]] = {
    "tenant": (schema.tenant(), read_tenant, {"id": "a"}),
    "organization": (schema.organization(), lambda f: read_settings(f, Defaults("USD", "UTC")), {}),
    "billingEntities": (schema.billing_entity(), lambda f: read_entity(f, "USD", "UTC"), {"code": "a"}),
    "units": (schema.unit(), read_unit, {"key": "a", "aggregation": "SUM"}),
    "products": (schema.product(), read_product, {"key": "a", "type": "AI_AGENT"}),
    "ratePlans": (schema_of_plans.rate_plan(), lambda f: read_plan(f, "USD"), {"key": "a", "baseFee": 1}),
    "offerings": (schema.offering(), lambda f: read_offering(f, "USD"), {"code": "a", "ratePlan": "b"}),
    "coupons": (schema.coupon(), read_coupon, COUPON),
    "customers": (schema_of_customers.customer(), lambda f: read_customer(f, Tenant("a", "A")), {"id": "a"}),
    "teams": (schema_of_customers.team(), read_team, HOLDER),
    "apps": (schema_of_customers.app(), lambda f: read_accessor(f, APP), HOLDER),
    "agents": (schema_of_customers.agent(), lambda f: read_accessor(f, AGENT), HOLDER),
    "subscriptions": (
        schema_of_customers.subscription(), read_subscription, {"id": "a", "customer": "b", "offering": "c", "startDate": "2024-01-01"},
    ),
    "webhookSources": (
        schema_of_customers.webhook_source(), lambda f: read_listed_source(f, "t"), {"id": "a", "name": "A", **PATHS},
    ),
    "keys": (schema_of_customers.api_key(), read_key, {"name": "a"}),
    "taxRates": (
        schema.tax_rate(), read_tax_rate, {"id": "a", "name": "A", "country": "DE", "rate": 0, "validFrom": "2024-01-01"},
    ),
    "a commitment": (
        schema_of_plans.commitment(), nested(read_commitment, "commitment"), {"type": "MONTHLY", "amount": 1},
    ),
    "a rate limit": (schema_of_plans.rate_limit(), nested(read_rate_limit, "rateLimit"), {"requests": 1}),
}  # fmt: skip


def validator() -> Draft202012Validator:
    return Draft202012Validator(catalog_schema.catalog_schema())


def as_an_editor_reads(file: Path) -> Any:
    return json.loads(json.dumps(load_document(file), default=float))


@pytest.mark.parametrize("noun", READERS)
def test_the_schema_knows_exactly_the_fields_the_reader_knows(noun: str) -> None:
    written, read, least = READERS[noun]
    with pytest.raises(FieldProblem, match="known here") as caught:
        read(Fields({**least, "no-such-field": 1}, ""))
    known = set(re.sub(r".*known are ", "", str(caught.value)).split(", "))
    refused = ALWAYS_REFUSED | (OF_SUBSCRIPTIONS if noun == "subscriptions" else set())
    assert set(written["properties"]) == known - refused


@pytest.mark.parametrize("noun", READERS)
def test_the_schema_asks_for_no_more_than_the_reader(noun: str) -> None:
    written, read, least = READERS[noun]
    Draft202012Validator(written).validate(least)
    read(Fields(least, ""))


def test_the_schema_knows_every_section() -> None:
    assert set(catalog_schema.catalog_schema()["properties"]) == {"tenant", "organization", *SECTIONS}
    with pytest.raises(CatalogRefused, match="nonsense: is not a field known here"):
        read_catalog({"tenant": {"id": "a"}, "nonsense": []})


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(catalog_schema.catalog_schema())


def test_the_published_schema_is_the_one_of_the_code() -> None:
    assert catalog_schema.FILE.read_text(encoding="utf-8") == catalog_schema.render(), (
        "run `python -m tools.catalog_schema`"
    )


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_names_the_schema_and_keeps_to_it(file: Path) -> None:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../docs/catalog.schema.json"
    assert [error.message for error in validator().iter_errors(as_an_editor_reads(file))] == []


def test_a_file_with_every_noun_keeps_to_the_schema() -> None:
    assert [error.message for error in validator().iter_errors(EVERYTHING)] == []
    assert {"tenant", "organization", *SECTIONS} == set(EVERYTHING)


@pytest.mark.parametrize(
    "wrong",
    [
        {"units": [{"key": "a", "aggregation": "MEDIAN"}]},
        {"ratePlans": [{"key": "a", "metrics": [{"unit": "u", "rate": "much"}]}]},
        {"ratePlans": [{"key": "a", "metrics": [{"unit": "u", "rat": 1}]}]},
        {"subscriptions": [{"id": "a", "customer": "b", "offering": "c", "startDate": "tomorrow"}]},
        {"offerings": [{"code": "a"}]},
    ],
)
def test_what_is_misspelt_is_marked(wrong: dict[str, Any]) -> None:
    assert list(validator().iter_errors({"tenant": {"id": "a"}, **wrong})) != []
