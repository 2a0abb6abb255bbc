"""The electronic invoice: Cross Industry Invoice XML in the EN 16931 profile of Factur-X. Put here: which figure goes into which
business term. Keep out: the rules it must meet (einvoice_rules.py), the page."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from xml.etree import ElementTree as ET

from documents.einvoice_rules import broken_rules
from domain.errors import PermanentFailure
from domain.invoice_document import (
    CREDIT_NOTE,
    EXEMPT,
    NOT_SUBJECT,
    REVERSE_CHARGE,
    DocumentLine,
    InvoiceDocument,
    Party,
    TaxTotal,
)
from domain.money import currency_exponent

GUIDELINE = "urn:cen.eu:en16931:2017"
NAMESPACES = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
}
_EXEMPTIONS = {
    REVERSE_CHARGE: ("Reverse charge", "VATEX-EU-AE"),
    EXEMPT: ("Exempt from tax", None),
    NOT_SUBJECT: ("Not subject to VAT", "VATEX-EU-O"),
}
_VAT_NUMBER = re.compile(r"[A-Z]{2}[A-Z0-9+*.]{2,}")
for _prefix, _uri in NAMESPACES.items():
    ET.register_namespace(_prefix, _uri)


class EInvoiceIncomplete(PermanentFailure):
    """What the document says is not enough for an electronic invoice."""

    code = "E_INVOICE_INCOMPLETE"

    def __init__(self, number: str, problems: list[str]) -> None:
        super().__init__(f"document {number} cannot be an electronic invoice: {'; '.join(problems)}")
        self.problems = problems


def facturx_xml(document: InvoiceDocument) -> str:
    """The document as XML text. The same document gives the same text. Raises EInvoiceIncomplete with every broken rule."""
    if currency_exponent(document.currency) > 2:
        raise EInvoiceIncomplete(
            document.number, [f"{document.currency} has more than the two decimal places EN 16931 allows"]
        )
    root = ET.Element(_tag("rsm:CrossIndustryInvoice"))
    context = _add(root, "rsm:ExchangedDocumentContext")
    _add(_add(context, "ram:GuidelineSpecifiedDocumentContextParameter"), "ram:ID", GUIDELINE)
    _head(_add(root, "rsm:ExchangedDocument"), document)
    trade = _add(root, "rsm:SupplyChainTradeTransaction")
    for place, line in enumerate(document.lines, 1):
        _line(_add(trade, "ram:IncludedSupplyChainTradeLineItem"), place, line, document)
    _agreement(_add(trade, "ram:ApplicableHeaderTradeAgreement"), document)
    _add(trade, "ram:ApplicableHeaderTradeDelivery")
    _settlement(_add(trade, "ram:ApplicableHeaderTradeSettlement"), document)
    problems = broken_rules(root)
    if problems:
        raise EInvoiceIncomplete(document.number, problems)
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _tag(name: str) -> str:
    prefix, local = name.split(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, _tag(name), attributes)
    child.text = text
    return child


def _maybe(parent: ET.Element, name: str, text: str | None) -> None:
    if text:
        _add(parent, name, text)


def _date(parent: ET.Element, name: str, when: date, kind: str = "udt") -> None:
    _add(_add(parent, name), f"{kind}:DateTimeString", when.strftime("%Y%m%d"), format="102")


def _money(amount: Decimal) -> str:
    return format(amount.quantize(Decimal("0.01")), "f")


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _head(head: ET.Element, document: InvoiceDocument) -> None:
    _add(head, "ram:ID", document.number)
    _add(head, "ram:TypeCode", "381" if document.kind == CREDIT_NOTE else "380")
    _date(head, "ram:IssueDateTime", document.issued_on)
    for text in (document.reason, document.note):
        if text:
            _add(_add(head, "ram:IncludedNote"), "ram:Content", text)


def _line(item: ET.Element, place: int, line: DocumentLine, document: InvoiceDocument) -> None:
    _add(_add(item, "ram:AssociatedDocumentLineDocument"), "ram:LineID", str(place))
    product = _add(item, "ram:SpecifiedTradeProduct")
    _add(product, "ram:SellerAssignedID", line.line_id)
    _add(product, "ram:Name", line.description)
    quantity, price, allowance = _priced(line, document.currency)
    agreed = _add(_add(item, "ram:SpecifiedLineTradeAgreement"), "ram:NetPriceProductTradePrice")
    _add(agreed, "ram:ChargeAmount", _plain(price))
    _add(_add(item, "ram:SpecifiedLineTradeDelivery"), "ram:BilledQuantity", _plain(quantity), unitCode="C62")
    settled = _add(item, "ram:SpecifiedLineTradeSettlement")
    tax = _add(settled, "ram:ApplicableTradeTax")
    _add(tax, "ram:TypeCode", "VAT")
    _add(tax, "ram:CategoryCode", line.tax_category)
    if line.tax_category != NOT_SUBJECT:
        _add(tax, "ram:RateApplicablePercent", _plain(line.tax_rate))
    _period(settled, line.first_day, line.last_day)
    if allowance:
        given = _add(settled, "ram:SpecifiedTradeAllowanceCharge")
        _add(_add(given, "ram:ChargeIndicator"), "udt:Indicator", "false")
        _add(given, "ram:ActualAmount", _money(allowance))
        _add(given, "ram:Reason", "Discount")
    summed = _add(settled, "ram:SpecifiedTradeSettlementLineMonetarySummation")
    _add(summed, "ram:LineTotalAmount", _money(line.taxable))


def _priced(line: DocumentLine, currency: str) -> tuple[Decimal, Decimal, Decimal]:
    """Quantity, price without tax and discount. The quantity is the line's where one price explains it, else 1 (−1 for a credit):
    tiers, minimums and prices with tax inside have no single price."""
    tax_on_top = line.amount - line.discount == line.taxable
    net, allowance = (line.amount, line.discount) if tax_on_top else (line.taxable, Decimal(0))
    if tax_on_top and line.quantity and line.unit_price is not None and line.unit_price >= 0:
        exact = line.quantity * line.unit_price
        if exact.quantize(Decimal(1).scaleb(-currency_exponent(currency))) == line.amount:
            return line.quantity, line.unit_price, allowance
    return (Decimal(1), net, allowance) if net >= 0 else (Decimal(-1), -net, allowance)


def _period(parent: ET.Element, first: date | None, last: date | None) -> None:
    if first and last:
        period = _add(parent, "ram:BillingSpecifiedPeriod")
        _date(period, "ram:StartDateTime", first)
        _date(period, "ram:EndDateTime", last)


def _agreement(agreement: ET.Element, document: InvoiceDocument) -> None:
    untaxed = any(line.tax_category == NOT_SUBJECT for line in document.lines)
    _maybe(agreement, "ram:BuyerReference", document.buyer.reference)
    _party(_add(agreement, "ram:SellerTradeParty"), document.seller, untaxed=untaxed)
    _party(_add(agreement, "ram:BuyerTradeParty"), document.buyer, untaxed=untaxed)


def _party(element: ET.Element, party: Party, *, untaxed: bool) -> None:
    # Where nothing is subject to VAT, no VAT identifier may be named; the number then identifies the organization.
    is_vat = bool(party.tax_id and _VAT_NUMBER.fullmatch(party.tax_id.replace(" ", ""))) and not untaxed
    _maybe(element, "ram:ID", party.reference)
    _add(element, "ram:Name", party.name)
    organization = party.tax_id if party.tax_id and not is_vat else None
    if organization or party.trading_name:
        legal = _add(element, "ram:SpecifiedLegalOrganization")
        _maybe(legal, "ram:ID", organization)
        _maybe(legal, "ram:TradingBusinessName", party.trading_name)
    if party.address:
        address = _add(element, "ram:PostalTradeAddress")
        _maybe(address, "ram:PostcodeCode", party.address.postal_code)
        _maybe(address, "ram:LineOne", party.address.line1)
        _maybe(address, "ram:LineTwo", party.address.line2)
        _maybe(address, "ram:CityName", party.address.city)
        _maybe(address, "ram:CountryID", party.address.country)
        _maybe(address, "ram:CountrySubDivisionName", party.address.region)
    if party.email:
        _add(_add(element, "ram:URIUniversalCommunication"), "ram:URIID", party.email, schemeID="EM")
    if is_vat:
        assert party.tax_id is not None
        number = party.tax_id.replace(" ", "")
        _add(_add(element, "ram:SpecifiedTaxRegistration"), "ram:ID", number, schemeID="VA")


def _settlement(settlement: ET.Element, document: InvoiceDocument) -> None:
    _add(settlement, "ram:PaymentReference", document.number)
    _add(settlement, "ram:InvoiceCurrencyCode", document.currency)
    for tax in document.taxes:
        _breakdown(_add(settlement, "ram:ApplicableTradeTax"), tax)
    _period(settlement, document.first_day, document.last_day)
    if document.due_on or document.due_days is not None:
        terms = _add(settlement, "ram:SpecifiedTradePaymentTerms")
        if document.due_days is not None:
            _add(terms, "ram:Description", f"Payable within {document.due_days} days")
        if document.due_on:
            _date(terms, "ram:DueDateDateTime", document.due_on)
    _summation(_add(settlement, "ram:SpecifiedTradeSettlementHeaderMonetarySummation"), document)
    if document.refers_to:
        earlier = _add(settlement, "ram:InvoiceReferencedDocument")
        _add(earlier, "ram:IssuerAssignedID", document.refers_to)
        if document.refers_to_date:
            _date(earlier, "ram:FormattedIssueDateTime", document.refers_to_date, "qdt")


def _breakdown(element: ET.Element, tax: TaxTotal) -> None:
    reason, code = _EXEMPTIONS.get(tax.category, (None, None))
    _add(element, "ram:CalculatedAmount", _money(tax.tax))
    _add(element, "ram:TypeCode", "VAT")
    _maybe(element, "ram:ExemptionReason", reason)
    _add(element, "ram:BasisAmount", _money(tax.base))
    _add(element, "ram:CategoryCode", tax.category)
    _maybe(element, "ram:ExemptionReasonCode", code)
    if tax.category != NOT_SUBJECT:
        _add(element, "ram:RateApplicablePercent", _plain(tax.rate))


def _summation(element: ET.Element, document: InvoiceDocument) -> None:
    net = sum((line.taxable for line in document.lines), Decimal(0))
    credit = document.kind == CREDIT_NOTE
    prepaid = Decimal(0) if credit else document.wallet + document.paid + document.credited
    _add(element, "ram:LineTotalAmount", _money(net))
    _add(element, "ram:TaxBasisTotalAmount", _money(net))
    _add(element, "ram:TaxTotalAmount", _money(document.tax), currencyID=document.currency)
    _add(element, "ram:GrandTotalAmount", _money(document.total))
    if prepaid:
        _add(element, "ram:TotalPrepaidAmount", _money(prepaid))
    _add(element, "ram:DuePayableAmount", _money(document.total if credit else document.left))
