"""Units, products and templates: written out, they read back the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.access import FilterCondition
from domain.catalog.catalog import Catalog, read_catalog
from domain.catalog.consistency import problems_across
from domain.catalog.deletion import ALLOW, BLOCK, WARN, Reason, judged
from domain.catalog.fields import CatalogRefused, Fields
from domain.catalog.products import TYPES, Product, product_document, read_product
from domain.catalog.templates import KEYS, OF_TYPE, STARTERS
from domain.catalog.units import Unit, key_of, read_unit, unit_document

UNIT = Unit(
    key="slow",
    name="Slow Calls",
    aggregation="UNIQUE",
    unit_label="calls",
    event_field="user",
    filters=(FilterCondition("a", "IN", "1,2"),),
    allow_negative=True,
    product_types=("API",),
    description="d",
    category="c",
    required=True,
)
PRODUCT = Product(
    "p", "P 1.0", "API", "d", ("slow",), '{"api_version": "1", "base_path": "/"}', "all", "BETA", "DRAFT"
)
TENANT = {"id": "acme", "name": "Acme"}


def test_a_unit_reads_back_as_it_was_written() -> None:
    assert read_unit(Fields(unit_document(UNIT), "")) == UNIT


def test_a_product_reads_back_as_it_was_written() -> None:
    assert read_product(Fields(product_document(PRODUCT), "")) == PRODUCT


@pytest.mark.parametrize("product_type", TYPES)
def test_templates_make_units_that_can_be_read(product_type: str) -> None:
    for template in OF_TYPE[product_type]:
        unit = template.unit()
        assert read_unit(Fields(unit_document(unit), "")) == unit
        assert product_type in unit.product_types


def test_no_two_templates_claim_a_word() -> None:
    templates = {template for kind in OF_TYPE.values() for template in kind}
    words = [word for template in templates for word in template.unit().words]
    assert len(words) == len(set(words))
    assert all(len(keys) == len(set(keys)) for keys in KEYS.values())
    assert KEYS.keys() == STARTERS.keys() == set(TYPES)


@pytest.mark.parametrize(
    ("name", "key"), [("API Calls", "api_calls"), ("  GB-Hours (EU) ", "gb_hours_eu"), ("容量", None)]
)
def test_a_key_is_made_of_the_letters_of_a_name(name: str, key: str | None) -> None:
    assert key_of(name) == key


def test_a_list_of_values_is_kept_as_text() -> None:
    condition = {"field": "code", "operator": "IN", "value": [400, Decimal("4.5"), True]}
    unit = read_unit(Fields({"key": "k", "aggregation": "COUNT", "filterConditions": [condition]}, ""))
    assert unit.filters[0].value == "400,4.5,true"


def test_a_file_cannot_give_two_products_the_same_name() -> None:
    products: list[dict[str, Any]] = [
        {"key": key, "name": name, "type": "AI_AGENT"} for key, name in (("a", "X"), ("b", "x"))
    ]
    asked = read_catalog({"tenant": TENANT, "products": products})
    whole = Catalog(asked.tenant, products=asked.products)
    assert [problem.path for problem in problems_across(asked, whole, {})] == [
        "products[0].name",
        "products[1].name",
    ]


def test_an_api_must_say_where_it_lives() -> None:
    with pytest.raises(CatalogRefused) as caught:
        read_catalog({"tenant": TENANT, "products": [{"key": "a", "type": "API"}]})
    assert [problem.path for problem in caught.value.problems] == ["products[0].metadata.base_path"]


def test_what_blocks_outweighs_what_warns() -> None:
    warning, blocking = Reason("PLANS", "w", 1, ("p",)), Reason("SUBSCRIPTIONS", "b", 1, ("s",), blocks=True)
    nothing = Reason("OFFERINGS", "n", 0, ())
    assert judged(["x"], [nothing]).decision == ALLOW
    assert judged(["x"], [warning, nothing]).decision == WARN
    assert judged(["x"], [warning, blocking]).decision == BLOCK


def test_a_confirmation_holds_for_what_was_seen_and_nothing_else() -> None:
    reasons = [Reason("PLANS", "w", 1, ("p",))]
    token = judged(["unit", "a"], reasons).confirm_token
    assert token == judged(["unit", "a"], reasons).confirm_token
    assert token != judged(["unit", "b"], reasons).confirm_token
    assert token != judged(["unit", "a"], [Reason("PLANS", "w", 2, ("p", "q"))]).confirm_token
