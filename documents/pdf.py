"""Documents as PDF. Put here: running the template, archival and with the e-invoice inside. Keep out: layout (invoice.typ), wording."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import typst

from documents.facturx import EInvoiceIncomplete, facturx_xml
from documents.wording import words
from documents.xmp import declare_invoice
from domain.errors import PermanentFailure
from domain.invoice_document import InvoiceDocument

_TEMPLATE = Path(__file__).parent / "invoice.typ"


class PageNotMade(PermanentFailure):
    """The template could not be laid out."""

    code = "PDF_NOT_MADE"

    def __init__(self, number: str, why: str) -> None:
        super().__init__(f"document {number}: its page could not be laid out: {why}")


def invoice_pdf(document: InvoiceDocument) -> bytes:
    """PDF/A-3 with the electronic invoice attached and declared; a draft has none. The same document gives the same bytes.

    Raises PageNotMade, MetadataNotUnderstood.
    """
    embedded = _embedded(document)
    made = bytes(_made(document, "pdf", embedded)[0])
    return made if embedded is None else declare_invoice(made)


def invoice_pages(document: InvoiceDocument, ppi: float = 110) -> list[bytes]:
    """Each page as a PNG."""
    return _made(document, "png", None, ppi=ppi)


def _embedded(document: InvoiceDocument) -> str | None:
    """A draft or void invoice is no invoice yet or any more; one that says too little goes out as a page only."""
    if document.status in ("DRAFT", "VOID"):
        return None
    try:
        return facturx_xml(document)
    except EInvoiceIncomplete:
        return None


def _made(
    document: InvoiceDocument, kind: Literal["pdf", "png"], embedded: str | None, ppi: float = 110
) -> list[bytes]:
    data = words(document) | {"embedded": embedded}
    inputs = {"data": json.dumps(data, ensure_ascii=False)}
    why = ""
    for system_fonts, standard in _ATTEMPTS:
        fonts, standards = _fonts(system_fonts), standard if kind == "pdf" else []
        try:
            made = typst.compile(
                _TEMPLATE, format=kind, ppi=ppi, sys_inputs=inputs, font_paths=fonts, pdf_standards=standards
            )
        except typst.TypstError as error:
            why = error.message
            continue
        return list(made) if isinstance(made, list) else [made]
    raise PageNotMade(document.number, why)


_ATTEMPTS: tuple[tuple[bool, Any], ...] = ((False, "a-3b"), (True, "a-3b"), (True, []))
"""Whether the machine's own fonts are used, and the standard. Archival pages refuse what no font can show: names in scripts the
compiler has no font for then take the machine's, and failing that the page is an ordinary PDF."""


@cache
def _fonts(system: bool) -> typst.Fonts:
    """The fonts inside the compiler, so that the page looks the same on every machine; system: the machine's too."""
    return typst.Fonts(include_system_fonts=system, include_embedded_fonts=True)
