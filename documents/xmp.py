"""What a PDF says of itself to machines. Put here: declaring the e-invoice inside in the XMP metadata, as Factur-X asks for. Keep out:
laying pages out (pdf.py), the e-invoice (facturx.py).

The compiler writes archival metadata but knows nothing of Factur-X, so its metadata object is written once more behind the end of the
file, as PDF's incremental updates do: nothing else moves, and the same page is the same bytes.
"""

from __future__ import annotations

import re

from domain.errors import PermanentFailure

FILE_NAME = "factur-x.xml"
CONFORMANCE = "EN 16931"
_NAMESPACE = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_SAID = {
    "DocumentFileName": (FILE_NAME, "The name of the embedded XML document"),
    "DocumentType": ("INVOICE", "The type of the hybrid document in capital letters, e.g. INVOICE or ORDER"),
    "Version": ("1.0", "The actual version of the standard applying to the embedded XML document"),
    "ConformanceLevel": (CONFORMANCE, "The conformance level of the embedded XML document"),
}
_SCHEMAS_END = b"</rdf:Bag></pdfaExtension:schemas>"
_METADATA = re.compile(
    rb"(?P<number>\d+) 0 obj\n<</Length \d+/Type/Metadata/Subtype/XML>>\nstream\n(?P<xmp>.*?)\nendstream\nendobj",
    re.S,
)
_TRAILER = re.compile(rb"trailer\n<<(?P<said>.*?)>>\nstartxref\n(?P<table>\d+)\n%%EOF\s*$", re.S)


class MetadataNotUnderstood(PermanentFailure):
    """The page compiler writes its metadata otherwise than it used to."""

    code = "PDF_METADATA_NOT_UNDERSTOOD"

    def __init__(self) -> None:
        super().__init__(
            "the PDF has no plain XMP metadata to add the e-invoice to; pin the compiler's version"
        )


def declare_invoice(pdf: bytes) -> bytes:
    """The PDF with an e-invoice attached, saying so. Raises MetadataNotUnderstood."""
    found, trailer = _METADATA.search(pdf), _TRAILER.search(pdf)
    if found is None or trailer is None or b"</rdf:RDF>" not in found["xmp"]:
        raise MetadataNotUnderstood
    xmp = _extended(found["xmp"])
    at = len(pdf) + 1
    number = found["number"]
    written = b"%s 0 obj\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n%s\nendstream\nendobj\n" % (
        number,
        len(xmp),
        xmp,
    )
    table = b"xref\n%s 1\n%010d 00000 n\r\n" % (number, at)
    end = b"trailer\n<<%s/Prev %s>>\nstartxref\n%d\n%%%%EOF\n" % (
        trailer["said"],
        trailer["table"],
        at + len(written),
    )
    return pdf + b"\n" + written + table + end


def _extended(xmp: bytes) -> bytes:
    """The metadata with the four properties, and, since PDF/A knows only its own, with what they mean."""
    schema = _schema().encode()
    if _SCHEMAS_END in xmp:
        xmp = xmp.replace(_SCHEMAS_END, schema + _SCHEMAS_END, 1)
        described = b""
    else:
        described = b"<pdfaExtension:schemas><rdf:Bag>" + schema + _SCHEMAS_END
    said = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (value, _) in _SAID.items()).encode()
    names = (
        f'xmlns:fx="{_NAMESPACE}" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/" '
        'xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#"'
    ).encode()
    block = (
        b'<rdf:Description rdf:about="" ' + names + b">" + described + said + b"</rdf:Description></rdf:RDF>"
    )
    return xmp.replace(b"</rdf:RDF>", block, 1)


def _schema() -> str:
    properties = "".join(
        '<rdf:li rdf:parseType="Resource">'
        f"<pdfaProperty:name>{name}</pdfaProperty:name><pdfaProperty:valueType>Text</pdfaProperty:valueType>"
        f"<pdfaProperty:category>external</pdfaProperty:category><pdfaProperty:description>{about}</pdfaProperty:description>"
        "</rdf:li>"
        for name, (_, about) in _SAID.items()
    )
    return (
        '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
        f"<pdfaSchema:namespaceURI>{_NAMESPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{properties}</rdf:Seq></pdfaSchema:property></rdf:li>"
    )
