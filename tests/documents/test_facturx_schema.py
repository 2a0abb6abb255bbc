"""The e-invoice against the published schema of its profile, and as another reader of such files finds it inside the PDF."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest
from facturx import get_xml_from_pdf, xml_check_xsd
from pypdf import PdfReader

from documents.facturx import facturx_xml
from documents.pdf import invoice_pdf
from documents.xmp import declare_invoice
from domain.invoice_document import InvoiceDocument, TaxTotal
from tests.documents import samples
from tests.documents.test_facturx import reverse_charge

D = Decimal


def part_paid() -> InvoiceDocument:
    made = samples.document()
    return replace(made, paid=D(100), left=made.left - 100)


def with_interim() -> InvoiceDocument:
    """A closing invoice that gives back what an interim one billed."""
    line = samples.LINES[0]
    back = replace(
        line,
        line_id="int_1_0",
        description="Billed already with interim invoice NW-2026-0041",
        amount=-D(100),
        discount=D(0),
        taxable=-D(100),
        tax=-D(19),
        quantity=None,
        unit_price=None,
    )
    made = samples.document((line, back))
    base, tax = line.taxable - 100, line.tax - 19
    return replace(made, taxes=(TaxTotal(line.tax_category, line.tax_rate, base, tax),))


@pytest.mark.parametrize(
    "document",
    [
        samples.document(),
        samples.long_document(),
        samples.credit_note(),
        reverse_charge(),
        part_paid(),
        with_interim(),
        replace(samples.untaxed_document(), seller=samples.SELLER, buyer=samples.BUYER),
    ],
    ids=["plain", "long", "credit note", "reverse charge", "part paid", "interim given back", "untaxed"],
)
def test_the_xml_is_valid_against_the_schema_of_its_profile(document: InvoiceDocument) -> None:
    xml = facturx_xml(document).encode()
    assert xml_check_xsd(xml, flavor="factur-x", level="en16931")


def test_the_schema_test_would_notice() -> None:
    broken = facturx_xml(samples.document()).replace("ram:LineID", "ram:Lineid").encode()
    with pytest.raises(Exception, match="Lineid"):
        xml_check_xsd(broken, flavor="factur-x", level="en16931")


def test_the_pdf_declares_the_invoice_inside_it_as_archival_pages_must() -> None:
    pdf = invoice_pdf(samples.document())
    reader = PdfReader(io.BytesIO(pdf))
    xmp = reader.root_object["/Metadata"].get_object().get_data().decode()  # type: ignore[index, union-attr]
    root = ET.fromstring(xmp[xmp.index("<x:xmpmeta") : xmp.index("</x:xmpmeta>") + len("</x:xmpmeta>")])
    fx = "{urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#}"
    said = {each.tag.removeprefix(fx): each.text for each in root.iter() if each.tag.startswith(fx)}
    assert said == {
        "DocumentFileName": "factur-x.xml",
        "DocumentType": "INVOICE",
        "Version": "1.0",
        "ConformanceLevel": "EN 16931",
    }
    schema = "{http://www.aiim.org/pdfa/ns/schema#}namespaceURI"
    assert fx[1:-1] in [each.text for each in root.iter(schema)], (
        "a property PDF/A does not know is described"
    )
    assert "<pdfaid:part>3</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>" in xmp
    assert reader.trailer["/ID"] and len(reader.pages) == 1


def test_another_reader_finds_the_very_xml_in_the_pdf() -> None:
    document = samples.document()
    name, xml = get_xml_from_pdf(invoice_pdf(document), check_xsd=True)
    assert name == "factur-x.xml" and xml.decode() == facturx_xml(document)


def test_what_is_declared_stands_behind_the_page_and_changes_no_byte_of_it() -> None:
    pdf = invoice_pdf(samples.document())
    first_end = re.search(rb"%%EOF", pdf)
    assert first_end is not None
    assert declare_invoice(pdf[: first_end.end()]) == pdf
    assert b"urn:factur-x" not in invoice_pdf(replace(samples.document(), status="DRAFT"))
