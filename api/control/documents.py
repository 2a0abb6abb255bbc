"""Documents as answers. Put here: PDF and XML with their names and types. Keep out: making them (documents), routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Response

from api.control.calls import Call
from documents.facturx import facturx_xml
from documents.pdf import invoice_pdf
from domain.invoice_document import InvoiceDocument
from storage.tenancy import Tx

PDF, XML = "application/pdf", "application/xml"
_Answers = dict[int | str, dict[str, Any]]
BINARY = {"schema": {"type": "string", "format": "binary"}}
PDF_ANSWER: _Answers = {200: {"description": "The document.", "content": {PDF: BINARY}}}
XML_ANSWER: _Answers = {
    200: {"description": "The electronic invoice.", "content": {XML: {"schema": {"type": "string"}}}}
}


def as_pdf(call: Call, work: Callable[[Tx], InvoiceDocument]) -> Response:
    """The page, with the electronic invoice inside where it says enough for one."""
    document = call.look(work)
    return _file(invoice_pdf(document), PDF, f"{document.number}.pdf")


def as_xml(call: Call, work: Callable[[Tx], InvoiceDocument]) -> Response:
    """The electronic invoice. Raises EInvoiceIncomplete."""
    document = call.look(work)
    return _file(facturx_xml(document).encode(), XML, f"{document.number}.xml")


def _file(content: bytes, kind: str, name: str) -> Response:
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    return Response(content, media_type=kind, headers={"Content-Disposition": f'inline; filename="{plain}"'})
