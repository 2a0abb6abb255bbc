"""The rules of EN 16931 that can be checked on the XML itself. Put here: one rule, one line, under its published number. Keep out:
making the XML (facturx.py)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from xml.etree import ElementTree as ET

_NS = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
_HEAD, _TRADE = "rsm:ExchangedDocument", "rsm:SupplyChainTradeTransaction"
_SELLER = f"{_TRADE}/ram:ApplicableHeaderTradeAgreement/ram:SellerTradeParty"
_BUYER = f"{_TRADE}/ram:ApplicableHeaderTradeAgreement/ram:BuyerTradeParty"
_SETTLED = f"{_TRADE}/ram:ApplicableHeaderTradeSettlement"
_SUMS = f"{_SETTLED}/ram:SpecifiedTradeSettlementHeaderMonetarySummation"
_REQUIRED = (
    ("BR-01", "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID", "the profile"),
    ("BR-02", f"{_HEAD}/ram:ID", "the invoice number"),
    ("BR-03", f"{_HEAD}/ram:IssueDateTime/udt:DateTimeString", "the date of issue"),
    ("BR-04", f"{_HEAD}/ram:TypeCode", "the type of document"),
    ("BR-05", f"{_SETTLED}/ram:InvoiceCurrencyCode", "the currency"),
    ("BR-06", f"{_SELLER}/ram:Name", "the seller's name (legalName of the billing entity)"),
    ("BR-07", f"{_BUYER}/ram:Name", "the buyer's name"),
    ("BR-08", f"{_SELLER}/ram:PostalTradeAddress", "the seller's address (address of the billing entity)"),
    ("BR-09", f"{_SELLER}/ram:PostalTradeAddress/ram:CountryID", "the seller's country (address.country of the billing entity)"),
    ("BR-10", f"{_BUYER}/ram:PostalTradeAddress", "the buyer's address (address of the customer)"),
    ("BR-11", f"{_BUYER}/ram:PostalTradeAddress/ram:CountryID", "the buyer's country (address.country of the customer)"),
    ("BR-12", f"{_SUMS}/ram:LineTotalAmount", "the sum of the lines"),
    ("BR-13", f"{_SUMS}/ram:TaxBasisTotalAmount", "the total without tax"),
    ("BR-14", f"{_SUMS}/ram:GrandTotalAmount", "the total with tax"),
    ("BR-15", f"{_SUMS}/ram:DuePayableAmount", "the amount due"),
    ("BR-16", f"{_TRADE}/ram:IncludedSupplyChainTradeLineItem", "a line"),
    ("BR-CO-18", f"{_SETTLED}/ram:ApplicableTradeTax", "a VAT breakdown"),
)  # fmt: skip
_OF_LINE = (
    ("BR-21", "ram:AssociatedDocumentLineDocument/ram:LineID", "an id"),
    ("BR-22", "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity", "a quantity"),
    ("BR-24", "ram:SpecifiedLineTradeSettlement/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount", "a net amount"),
    ("BR-25", "ram:SpecifiedTradeProduct/ram:Name", "a name"),
    ("BR-26", "ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice/ram:ChargeAmount", "a price"),
    ("BR-CO-04", "ram:SpecifiedLineTradeSettlement/ram:ApplicableTradeTax/ram:CategoryCode", "a VAT category"),
)  # fmt: skip
_CENT = Decimal("0.01")


def broken_rules(invoice: ET.Element) -> list[str]:
    """Every rule the invoice breaks, as "BR-CO-15: what is wrong"; empty: none."""
    missing = [f"{rule}: {what} is missing" for rule, path, what in _REQUIRED if not _given(invoice, path)]
    return missing or [*_lines(invoice), *_sums(invoice), *_taxes(invoice), *_parties(invoice)]


def _given(element: ET.Element, path: str) -> bool:
    found = element.find(path, _NS)
    return found is not None and bool(len(found) or (found.text or "").strip())


def _number(element: ET.Element, path: str) -> Decimal:
    return Decimal(element.findtext(path, namespaces=_NS) or "0")


def _total(invoice: ET.Element, path: str) -> Decimal:
    return sum((Decimal(found.text or "0") for found in invoice.findall(path, _NS)), Decimal(0))


def _lines(invoice: ET.Element) -> Iterator[str]:
    for item in invoice.findall(f"{_TRADE}/ram:IncludedSupplyChainTradeLineItem", _NS):
        name = item.findtext("ram:AssociatedDocumentLineDocument/ram:LineID", "?", _NS)
        for rule, path, what in _OF_LINE:
            if not _given(item, path):
                yield f"{rule}: line {name} has no {what}"
        if not item.find("ram:SpecifiedLineTradeDelivery/ram:BilledQuantity", _NS).get("unitCode"):  # type: ignore[union-attr]
            yield f"BR-23: line {name} has no unit code"
        if (
            _number(item, "ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice/ram:ChargeAmount")
            < 0
        ):
            yield f"BR-27: line {name} has a price below zero"


def _sums(invoice: ET.Element) -> Iterator[str]:
    of_line = "ram:SpecifiedLineTradeSettlement/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"
    sums = {
        name: _number(invoice, f"{_SUMS}/ram:{name}Amount")
        for name in ("LineTotal", "TaxBasisTotal", "TaxTotal", "GrandTotal", "TotalPrepaid", "DuePayable", "AllowanceTotal", "ChargeTotal")
    }  # fmt: skip
    lines = _total(invoice, f"{_TRADE}/ram:IncludedSupplyChainTradeLineItem/{of_line}")
    taxes = _total(invoice, f"{_SETTLED}/ram:ApplicableTradeTax/ram:CalculatedAmount")
    claims = (
        ("BR-CO-10", sums["LineTotal"], lines, "the sum of the lines"),
        ("BR-CO-13", sums["TaxBasisTotal"], sums["LineTotal"] - sums["AllowanceTotal"] + sums["ChargeTotal"], "the total without tax"),
        ("BR-CO-14", sums["TaxTotal"], taxes, "the sum of the taxes"),
        ("BR-CO-15", sums["GrandTotal"], sums["TaxBasisTotal"] + sums["TaxTotal"], "the total with tax"),
        ("BR-CO-16", sums["DuePayable"], sums["GrandTotal"] - sums["TotalPrepaid"], "the amount due"),
    )  # fmt: skip
    for rule, said, right, what in claims:
        if said != right:
            yield f"{rule}: {what} is {said}, but {right} follows from the rest"
    terms = f"{_SETTLED}/ram:SpecifiedTradePaymentTerms"
    is_credit = invoice.findtext(f"{_HEAD}/ram:TypeCode", namespaces=_NS) == "381"
    if sums["DuePayable"] > 0 and not is_credit and not _given(invoice, terms):
        yield "BR-CO-25: an amount is due, but neither a due date nor payment terms are given"


def _taxes(invoice: ET.Element) -> Iterator[str]:
    per_line = f"{_TRADE}/ram:IncludedSupplyChainTradeLineItem/ram:SpecifiedLineTradeSettlement"
    bases: dict[tuple[str, Decimal], Decimal] = {}
    for settled in invoice.findall(per_line, _NS):
        key = _category(settled.find("ram:ApplicableTradeTax", _NS))
        net = _number(settled, "ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount")
        bases[key] = bases.get(key, Decimal(0)) + net
    stated = {}
    for tax in invoice.findall(f"{_SETTLED}/ram:ApplicableTradeTax", _NS):
        key = _category(tax)
        category, rate = key
        stated[key] = base = _number(tax, "ram:BasisAmount")
        amount = _number(tax, "ram:CalculatedAmount")
        if abs(amount - base * rate / 100) >= 1:
            yield f"BR-CO-17: {amount} is not {rate} % of {base}"
        if category in ("E", "AE", "O", "Z") and amount:
            yield f"BR-{category}-09: tax of category {category} must be 0, not {amount}"
        if category in ("E", "AE", "O") and not _given(tax, "ram:ExemptionReason"):
            yield f"BR-{category}-10: category {category} needs a reason"
    for key in sorted(bases.keys() | stated.keys()):
        if abs(bases.get(key, Decimal(0)) - stated.get(key, Decimal(0))) > _CENT:
            yield f"BR-{key[0]}-08: lines of {key[0]} {key[1]} % sum to {bases.get(key, 0)}, the breakdown says {stated.get(key, 0)}"
    if len(stated) > 1 and any(category == "O" for category, _ in stated):
        yield "BR-O-11: what is not subject to VAT cannot stand beside what is"


def _category(tax: ET.Element | None) -> tuple[str, Decimal]:
    assert tax is not None
    return tax.findtext("ram:CategoryCode", "", _NS), _number(tax, "ram:RateApplicablePercent")


def _parties(invoice: ET.Element) -> Iterator[str]:
    used = {
        found.text for found in invoice.findall(f"{_SETTLED}/ram:ApplicableTradeTax/ram:CategoryCode", _NS)
    }
    seller = _given(invoice, f"{_SELLER}/ram:SpecifiedTaxRegistration/ram:ID")
    buyer = _given(invoice, f"{_BUYER}/ram:SpecifiedTaxRegistration/ram:ID")
    identified = seller or any(
        _given(invoice, f"{_SELLER}/{path}") for path in ("ram:ID", "ram:SpecifiedLegalOrganization/ram:ID")
    )
    if not identified:
        yield "BR-CO-26: the seller has no identifier (taxRegistration of the billing entity)"
    for category in sorted(used & {"S", "Z", "E", "AE"}, key=str):
        if not seller:
            yield f"BR-{category}-02: the seller's VAT number, with its country in front, is missing (taxRegistration)"
    if "AE" in used and not (buyer or _given(invoice, f"{_BUYER}/ram:SpecifiedLegalOrganization/ram:ID")):
        yield "BR-AE-02: the buyer's VAT number is missing (taxStatus.taxId of the customer)"
    if "O" in used and (seller or buyer):
        yield "BR-O-02: what is not subject to VAT names no VAT numbers"
