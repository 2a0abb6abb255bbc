"""Tax rates. Put here: adding, ending and removing them. Keep out: which one holds (domain.tax), HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from domain.catalog.fields import Fields
from domain.catalog.tax_rates import clash, read_tax_rate, written_tax_rate
from domain.errors import Conflict, NotFound
from domain.tax import TaxRate
from storage.database import lock_id
from storage.repositories.paging import PageQuery, contains, keyset
from storage.repositories.taxes import TaxRates, tax_rate_of, tax_rate_values
from storage.services.differences import differences, no_expectation
from storage.services.sent import keeps_id, merged
from storage.tables.taxes import TaxRateRow
from storage.tenancy import Tx

ALIASES = {"rate": "ratePercent", "countryCode": "country", "state": "region"}
OPEN = ("name", "validUntil")
"""What may change of a rate that bills already rest on."""


class TaxRateNotFound(NotFound):
    """No such rate in this tenant; another tenant's looks the same."""

    code = "TAX_RATE_NOT_FOUND"

    def __init__(self, rate_id: str) -> None:
        super().__init__(f"tax rate {rate_id!r} does not exist")


class TaxRateExists(Conflict):
    """The id is taken."""

    code = "TAX_RATE_EXISTS"

    def __init__(self, rate_id: str) -> None:
        super().__init__(f"id: there is a tax rate {rate_id!r} already; choose another id, or leave it out")


class TaxRateTaken(Conflict):
    """The same tax of the same jurisdiction would be levied twice."""

    code = "TAX_RATE_TAKEN"

    def __init__(self, rate: TaxRate, other: TaxRate) -> None:
        super().__init__(
            f"tax rate {other.id} is {other.name} of {other.jurisdiction} too, from {other.valid_from} on: both would be "
            f"levied from {max(rate.valid_from, other.valid_from)} on; end it with validUntil first, or give this one a name "
            "of its own"
        )


class TaxRateInForce(Conflict):
    """Bills rest on a rate from its first day on."""

    code = "TAX_RATE_IN_FORCE"

    def __init__(self, rate_id: str, what: str) -> None:
        super().__init__(f"tax rate {rate_id}: {what}")


class TaxRateService:
    """One tenant's tax rates."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._rates = TaxRates(tx.session, tx.tenant_id)

    def create(self, sent: Mapping[str, Any]) -> TaxRateRow:
        """Raises FieldProblem, TaxRateExists, TaxRateTaken."""
        body = dict(sent)
        body["id"] = body.get("id") or f"txr_{secrets.token_hex(8)}"
        rate = read_tax_rate(Fields(body, ""))
        lock_tax_rates(self._tx.session, self._tx.tenant_id)
        known = self._rates.all()
        if rate.id in known:
            raise TaxRateExists(rate.id)
        self._check(rate, known)
        values = tax_rate_values(rate)
        row = TaxRateRow(
            tenant_id=self._tx.tenant_id, id=rate.id, created_at=self._tx.at, updated_at=self._tx.at, **values
        )
        self._tx.session.add(row)
        self._tx.session.flush()
        self._tx.session.refresh(row)
        self._tx.record("TAX_RATE_CREATED", "taxRate", row.id, differences({}, written_tax_rate(rate)))
        return row

    def get(self, rate_id: str) -> TaxRateRow:
        """Raises TaxRateNotFound."""
        row = self._rates.get(rate_id)
        if row is None:
            raise TaxRateNotFound(rate_id)
        return row

    def page(
        self, page: PageQuery, *, country: str | None = None, name: str | None = None
    ) -> tuple[list[TaxRateRow], int, str | None]:
        """Rows, how many there are, and the next page's cursor. name: a part. Raises FieldProblem."""
        query = select(TaxRateRow).where(TaxRateRow.tenant_id == self._tx.tenant_id)
        if country is not None:
            query = query.where(TaxRateRow.country == country.upper())
        if name is not None:
            query = query.where(contains(TaxRateRow.name, name))
        columns = {
            "-createdAt": TaxRateRow.created_at,
            "name": TaxRateRow.name,
            "country": TaxRateRow.country,
            "id": TaxRateRow.id,
        }
        return keyset(self._tx.session, query, columns, page)

    def edit(
        self, rate_id: str, sent: Mapping[str, Any], expect: Callable[[str, int], None] = no_expectation
    ) -> TaxRateRow:
        """Change the fields sent; null clears one. Raises TaxRateNotFound, StaleEdit, FieldProblem, TaxRateInForce,
        TaxRateTaken."""
        lock_tax_rates(self._tx.session, self._tx.tenant_id)
        row = self.get(rate_id)
        expect(f"tax rate {rate_id}", row.revision)
        before = tax_rate_of(row)
        keeps_id(sent, rate_id, "id")
        told = {"jurisdiction", "rate"} if "ratePercent" in sent else {"jurisdiction"}
        body = {name: each for name, each in sent.items() if name not in told}
        after = read_tax_rate(Fields(merged(written_tax_rate(before), body, ALIASES), ""))
        changed = differences(written_tax_rate(before), written_tax_rate(after))
        problem = change_problem(before, after, self._tx.at)
        if problem is not None:
            raise TaxRateInForce(rate_id, problem)
        self._check(after, self._rates.all())
        if not changed:
            return row
        for name, value in tax_rate_values(after).items():
            setattr(row, name, value)
        row.revision += 1
        row.updated_at = self._tx.at
        self._tx.session.flush()
        self._tx.session.refresh(row)
        self._tx.record("TAX_RATE_UPDATED", "taxRate", rate_id, changed)
        return row

    def delete(self, rate_id: str, expect: Callable[[str, int], None] = no_expectation) -> None:
        """A rate whose first day is still to come. Raises TaxRateNotFound, StaleEdit, TaxRateInForce."""
        lock_tax_rates(self._tx.session, self._tx.tenant_id)
        row = self.get(rate_id)
        expect(f"tax rate {rate_id}", row.revision)
        if _in_force(row.valid_from, self._tx.at):
            raise TaxRateInForce(rate_id, f"cannot be removed, {_RELIED_ON}")
        self._tx.session.delete(row)
        self._tx.record("TAX_RATE_DELETED", "taxRate", rate_id)

    def _check(self, rate: TaxRate, known: Mapping[str, TaxRate]) -> None:
        for other in known.values():
            if clash(rate, other):
                raise TaxRateTaken(rate, other)


_RELIED_ON = "it is in force and bills rest on it; end it with validUntil and add another"


def change_problem(before: TaxRate, after: TaxRate, at: datetime) -> str | None:
    """Why a rate cannot become another at the instant: what bills rest on has begun. None: it can."""
    old, new = written_tax_rate(before), written_tax_rate(after)
    fixed = [name for name in old | new if name not in OPEN and old.get(name) != new.get(name)]
    return f"{fixed[0]} cannot change, {_RELIED_ON}" if fixed and _in_force(before.valid_from, at) else None


def _in_force(valid_from: date, at: datetime) -> bool:
    return valid_from <= at.astimezone(UTC).date()


def lock_tax_rates(session: Session, tenant_id: str) -> None:
    """Let nobody else change the tenant's tax rates until the transaction ends: two at once must not levy one tax twice."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(:id)"), {"id": lock_id(f"aforo:tax-rates:{tenant_id}")}
    )
