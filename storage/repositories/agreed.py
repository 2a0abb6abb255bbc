"""What frozen terms need besides the plan. Put here: coupons, currency, earlier bills and tax of each row, as they stand now.
Keep out: prices (domain.terms), what the stages make of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.catalog.customers import Customer, TaxStatus
from domain.catalog.details import Address
from domain.commitment import Committed
from domain.coupon import Discount
from domain.exchange import LIVE_RATE, FxTable, no_rate
from domain.money import currency_exponent
from domain.period import zone
from domain.tax import TaxEngine, TaxQuestion, TaxTable
from domain.terms import Contract, fees_of_plan, line_charged_ahead
from storage.repositories.billing_entities import BillingEntities
from storage.repositories.coupons import CouponRepository, discounts_during
from storage.repositories.customers import Customers
from storage.repositories.earlier_bills import EarlierBills, Own, Spent
from storage.repositories.taxes import TaxRates, fx_table
from storage.tables.catalog import OfferingRow

_MICROSECOND = timedelta(microseconds=1)
_PLACES = 12
_SPENDS = ("minimum_spend", "maximum_spend", "spend_limit", "fee_ahead")
_Known = dict[tuple[str, str], dict[datetime, Spent]]
"""By plan and commitment: what earlier periods of the term came to."""


class Agreed:
    """One tenant's, read once; of its customers only these (None: of all). tax_engine: None is the built-in one over the tenant's
    own rates."""

    def __init__(
        self,
        session: Session,
        tenant_id: str,
        customers: Collection[str] | None = None,
        tax_engine: TaxEngine | None = None,
    ) -> None:
        self._session = session
        self.tenant_id = tenant_id
        self._coupons = CouponRepository(session, tenant_id).attached(customers)
        self._customers = Customers(session, tenant_id).all(customers)
        self._taxes = tax_engine or TaxTable(TaxRates(session, tenant_id).all().values())
        self._issuers = BillingEntities(session, tenant_id).all()
        self._bills = EarlierBills(session, tenant_id)
        strategies = select(OfferingRow.id, OfferingRow.fx_strategy).where(OfferingRow.tenant_id == tenant_id)
        self._strategies = dict(session.execute(strategies).tuples().all())
        self._answers: dict[TaxQuestion, str | None] = {}

    @cached_property
    def _rates(self) -> FxTable:
        """Most customers pay in the currency of their plan."""
        return fx_table(self._session, self.tenant_id)

    def completed(self, contract: Contract, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The contract's rows of BILLING_TERMS with all of it."""
        customer = self._customers[contract.customer_id]
        found = []
        known: _Known = {}
        taxes: dict[tuple[datetime, str | None], str | None] = {}
        for row in rows:
            attached = self._coupons.get(row["subscription_id"], ())
            discounts = discounts_during(attached, _charged_at(contract, row))
            row = row | self._in_currency(contract, customer, row, discounts)
            row |= self._spent(contract, row, known)
            row |= self._charged_ahead(contract, row)
            alike = row["period_end"], row["tax_code"]
            if alike not in taxes:
                taxes[alike] = self._tax(customer, contract, row)
            row["tax"] = taxes[alike]
            found.append(row)
        return found

    def _in_currency(
        self, contract: Contract, customer: Customer, row: dict[str, Any], discounts: list[Discount]
    ) -> dict[str, Any]:
        """Prices stay in the plan's currency, with the rate beside them; all other money is in the customer's."""
        own, billed = row["currency"], customer.currency
        if own == billed:
            return {"coupons": [each.as_text() for each in discounts]} if discounts else {}
        day = self._rate_day(contract, row)
        rate = self._rates.on(own, billed, day)
        if rate is None:
            problem = no_rate(customer.id, own, billed, day)
            return {"coupons": [each.as_text() for each in discounts], "problem": problem}
        converted = [
            replace(each, value=_times(each.value, rate), currency=billed) if each.currency == own else each
            for each in discounts
        ]
        return {
            "currency": billed,
            "exponent": currency_exponent(billed),
            "price_currency": own,
            "fx_rate": rate,
            "coupons": [each.as_text() for each in converted],
            **{name: row[name] and _times(row[name], rate) for name in _SPENDS},
            "commitment": row["commitment"] and Committed.from_text(row["commitment"]).times(rate).as_text(),
        }

    def _rate_day(self, contract: Contract, row: dict[str, Any]) -> Any:
        """The day the contract began, or the last day of the period, in the customer's time zone."""
        local = zone(contract.schedule.time_zone)
        if self._strategies[contract.offering] == LIVE_RATE:
            return _last_day(row, local)
        began: datetime = contract.pieces[0][0] if contract.pieces else contract.starts_at
        return began.astimezone(local).date()

    def _spent(self, contract: Contract, row: dict[str, Any], known: _Known) -> dict[str, Any]:
        """What the term's earlier periods were billed. A period that is on no invoice yet holds the customer. known: what was found
        for rows before this one."""
        if row["commitment"] is None:
            return {}
        agreed = Committed.from_text(row["commitment"])
        if not agreed.earlier:
            return {}
        key = (row["plan"], row["commitment"])
        if key not in known:
            own = _own(contract, row["plan"], agreed)
            known[key] = self._bills.of(row["customer_id"], row["subscription_id"], agreed.earlier, own)
        billed = known[key]
        missing = [start for start in agreed.earlier if start not in billed]
        spent = sum((charged for charged, _ in billed.values()), Decimal(0))
        drawn = sum((taken for _, taken in billed.values()), Decimal(0))
        done = {"commitment": replace(agreed, spent=spent, drawn=drawn).as_text()}
        if missing and row["problem"] is None:
            done["problem"] = _not_billed(row["subscription_id"], missing[0])
        return done

    def _charged_ahead(self, contract: Contract, row: dict[str, Any]) -> dict[str, Any]:
        """Of a fee that comes back and that coupons had reduced, what was really charged. On no invoice, it holds the customer."""
        if row["kind"] != "FEE_CREDIT" or not row["coupons"]:
            return {}
        charged = self._bills.charged(row["customer_id"], line_charged_ahead(contract, row))
        if charged is None:
            problem = row["problem"] or _not_charged(row)
            return {"coupons": [], "problem": problem}
        return {"coupons": [], "flat_amount": charged, "price_currency": None, "fx_rate": None}

    def _tax(self, customer: Customer, contract: Contract, row: dict[str, Any]) -> str | None:
        """How the row is taxed, as JSON. The day of tax is the last one of the period, in the customer's time zone."""
        status = customer.tax or TaxStatus()
        issuer = self._issuers.get(contract.billing_entity)
        question = TaxQuestion(
            customer_id=customer.id,
            day=_last_day(row, zone(contract.schedule.time_zone)),
            status=status.status,
            tax_id=status.tax_id,
            place=_place(customer.address, status),
            category=row["tax_code"],
            registered_in=issuer.registered_in if issuer else (),
        )
        if question not in self._answers:
            answer = self._taxes.answer(question)
            self._answers[question] = answer and answer.as_text()
        return self._answers[question]


def _own(contract: Contract, plan: str, agreed: Committed) -> Own | None:
    """Which lines of the term's earlier periods are the plan's, where the contract has several."""
    items = contract.terms.items
    if all(item["plan"] == plan for item in items):
        return None
    units = {item["unit"] for item in items if item["plan"] == plan and item["unit"] is not None}
    fees = fees_of_plan(contract, plan, agreed.earlier)
    return lambda line, unit: line in fees if unit is None else unit in units


def _charged_at(contract: Contract, row: dict[str, Any]) -> datetime:
    """The start of the period whose coupons act: the row's own; of a fee that comes back, that whose bill charged it."""
    start: datetime = row["period_start"]
    if row["kind"] == "FEE_CREDIT":
        return contract.schedule.at(start - _MICROSECOND).start
    return start


def _place(address: Address | None, status: TaxStatus) -> Address | None:
    """Where the customer is taxed: the country of its tax status, if it names one, and what its address says of that."""
    if status.country is None or (address is not None and address.country == status.country):
        return address
    return Address(country=status.country)


def _last_day(row: dict[str, Any], local: Any) -> Any:
    return (row["period_end"] - _MICROSECOND).astimezone(local).date()


def _times(amount: Decimal, rate: Decimal) -> Decimal:
    return round(amount * rate, _PLACES)


def _not_charged(row: dict[str, Any]) -> str:
    return (
        f"NO_EARLIER_BILL: what subscription {row['subscription_id']} paid ahead for its period from {row['period_start']:%Y-%m-%d} is "
        "not known, because the bill of the period before is on no invoice; bill that month first"
    )


def _not_billed(subscription_id: str, start: datetime) -> str:
    return (
        f"NO_EARLIER_BILL: what subscription {subscription_id} has left of its commitment is not known, because its period "
        f"from {start:%Y-%m-%d} is on no invoice; bill that month first"
    )
