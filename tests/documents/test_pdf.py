"""Pages: the same bytes every time, the electronic invoice inside, every figure on them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from documents.pdf import invoice_pages, invoice_pdf
from documents.wording import money, number, price, words
from domain.invoice_document import InvoiceDocument
from tests.documents import samples


@pytest.mark.parametrize(
    "document",
    [samples.document(), samples.long_document(), samples.untaxed_document(), samples.credit_note()],
)
def test_the_same_document_is_the_same_bytes(document: InvoiceDocument) -> None:
    assert invoice_pdf(document) == invoice_pdf(document)


def test_an_issued_invoice_carries_its_xml_and_a_draft_does_not() -> None:
    assert b"/AFRelationship" in invoice_pdf(samples.document())
    assert b"/AFRelationship" not in invoice_pdf(replace(samples.document(), status="DRAFT"))


def test_a_long_invoice_has_several_pages_and_a_short_one_one() -> None:
    assert len(invoice_pages(samples.document(), ppi=20)) == 1
    assert len(invoice_pages(samples.long_document(), ppi=20)) > 2


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1234.5", "USD", "$1,234.50"),
        ("60000", "JPY", "¥60,000"),
        ("-64", "EUR", "−€64.00"),
        ("1.5", "KWD", "KWD\xa01.500"),
    ],
)
def test_money_has_the_places_of_its_currency(amount: str, currency: str, text: str) -> None:
    assert money(Decimal(amount), currency) == text


def test_prices_and_quantities_keep_every_digit() -> None:
    assert price(Decimal("0.000003000"), "USD") == "$0.000003"
    assert price(Decimal("3.2"), "EUR") == "€3.20"
    assert number(Decimal("4234567.250")) == "4,234,567.25"


def test_what_is_to_be_paid_stands_on_top() -> None:
    found = words(samples.document())
    assert found["headline"] == ["€1,888.49", "due by 18 Nov 2026"]
    assert words(replace(samples.document(), status="VOID"))["final"] == ["Amount due", "€0.00"]


def test_a_percentage_says_of_what_and_bands_stand_under_their_line() -> None:
    (own, *_) = words(samples.document())["groups"]
    lines = {line["what"]: line for line in own["lines"]}
    share = lines["Card payments"]
    assert (share["quantity"], share["price"], share["amount"]) == ("12,000", "3.3 %", "€396.00")
    assert share["details"] == "3.3 % of 12,000"
    assert lines["Input Tokens"]["tiers"][1] == ["1,000,000 – 3,000,000", "2,000,000", "€0.0000025", "€5.00"]
