"""Electronic invoices: what the samples say comes out whole, and every broken rule is named."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from documents.einvoice_rules import broken_rules
from documents.facturx import EInvoiceIncomplete, facturx_xml
from domain.invoice_document import REVERSE_CHARGE, InvoiceDocument, TaxTotal
from tests.documents import samples

D = Decimal
_LINE = samples.LINES[0]
REVERSED = replace(_LINE, tax=D(0), tax_category=REVERSE_CHARGE, tax_rate=D(0))


def reverse_charge() -> InvoiceDocument:
    made = samples.document((REVERSED,))
    return replace(made, taxes=(TaxTotal(REVERSE_CHARGE, D(0), D("399.00"), D(0)),))


@pytest.mark.parametrize(
    "document", [samples.document(), samples.long_document(), samples.credit_note(), reverse_charge()]
)
def test_a_whole_document_breaks_no_rule(document: InvoiceDocument) -> None:
    assert broken_rules(ET.fromstring(facturx_xml(document))) == []


def test_what_is_not_subject_to_vat_names_no_vat_number() -> None:
    plain = replace(samples.untaxed_document(), seller=samples.SELLER, buyer=samples.BUYER)
    assert 'schemeID="VA"' not in facturx_xml(plain)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"total": D("1417.26")}, "BR-CO-15"),
        ({"left": D("1")}, "BR-CO-16"),
        ({"tax": D("1")}, "BR-CO-14"),
        ({"due_on": None, "due_days": None}, "BR-CO-25"),
        ({"seller": replace(samples.SELLER, tax_id=None)}, "BR-CO-26"),
        ({"seller": replace(samples.SELLER, tax_id="12-345")}, "BR-S-02"),
        ({"buyer": replace(samples.BUYER, address=None)}, "BR-10"),
        ({"lines": ()}, "BR-16"),
        ({"taxes": ()}, "BR-CO-18"),
        ({"taxes": (TaxTotal("S", D(19), D("1195.81"), D("221.44")),)}, "BR-S-08"),
        ({"currency": "KWD"}, "two decimal places"),
    ],
)
def test_a_broken_rule_is_named(changes: dict[str, object], rule: str) -> None:
    with pytest.raises(EInvoiceIncomplete, match=rule):
        facturx_xml(replace(samples.document(), **changes))  # type: ignore[arg-type]


def test_a_reverse_charge_needs_the_buyers_number() -> None:
    with pytest.raises(EInvoiceIncomplete, match="BR-AE-02"):
        facturx_xml(replace(reverse_charge(), buyer=replace(samples.BUYER, tax_id=None)))


def test_quantity_and_price_explain_the_amount_wherever_one_price_does() -> None:
    xml = facturx_xml(samples.document())
    assert ">200</ram:BilledQuantity>" in xml and ">3.2</ram:ChargeAmount>" in xml
    assert ">4234567</ram:BilledQuantity>" not in xml, "tiers have no one price"
