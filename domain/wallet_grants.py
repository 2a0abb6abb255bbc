"""What is in a wallet. Put here: reading grants, and the order in which they are burned. Keep out: storage, the ledger's accounts
(wallet.py).

A grant is an amount of money, or of units, that came in at once, with its own effect and end. Wallets are burned as a waterfall:
promotional money, then bonus units (usage of their unit only), then cash; of a kind what expires first; then by priority.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.catalog.fields import FieldProblem, Fields, required, shown
from domain.instant import EPOCH, NotAnInstant, to_micros_since_epoch
from domain.wallet import CASH, PROMO, UNITS

PROMOTIONAL, BONUS_UNITS = "PROMOTIONAL", "BONUS_UNITS"
KINDS = (PROMOTIONAL, BONUS_UNITS, CASH)
"""In the order of burning."""
ACCOUNT_OF = {PROMOTIONAL: PROMO, BONUS_UNITS: UNITS, CASH: CASH}
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class NewGrant:
    """A grant to be made. amount: money of the wallet's currency, for BONUS_UNITS units of `unit`. effective_at: None is now."""

    kind: str
    amount: Decimal
    unit: str | None
    effective_at: datetime | None
    expires_at: datetime | None
    priority: int
    units: tuple[str, ...]
    products: tuple[str, ...]
    description: str | None
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Fund:
    """A grant as the waterfall sees it. available: at least 0. units: what alone it may pay for; None: anything.
    place: when it came in, among the wallet's grants."""

    grant_id: str
    kind: str
    available: Decimal
    expires_at: datetime | None = None
    priority: int = 0
    place: int = 0
    units: frozenset[str] | None = None

    def pays_for(self, unit: str | None) -> bool:
        """Whether it is good for usage of the unit; None: for something that is no usage of any one unit."""
        return self.units is None or unit in self.units


def waterfall(funds: Iterable[Fund]) -> list[Fund]:
    """In the order of burning: by kind, then what expires first, then the lower priority number, then what came first."""
    return sorted(
        funds,
        key=lambda fund: (
            KINDS.index(fund.kind), fund.expires_at or _NEVER, fund.priority, fund.place, fund.grant_id,
        ),
    )  # fmt: skip


def burn(funds: Sequence[Fund], amount: Decimal, unit: str | None = None) -> dict[str, Decimal]:
    """How much each grant gives towards the amount, by id, in the order of burning; together less than it if they hold less.

    Bonus units are no money and give nothing.
    """
    given: dict[str, Decimal] = {}
    left = amount
    for fund in waterfall(funds):
        if fund.kind == BONUS_UNITS or not fund.pays_for(unit):
            continue
        part = min(left, fund.available)
        if part > 0:
            given[fund.grant_id] = part
            left -= part
    return given


def read_grant(fields: Fields) -> NewGrant:
    """Raises FieldProblem."""
    kind = fields.choice("type", KINDS, None, "kind")
    bonus = kind == BONUS_UNITS
    amount = required(
        fields, "amount", fields.quantity("amount", "quantity") if bonus else fields.price("amount")
    )
    if not amount:
        raise FieldProblem(fields.at("amount"), "must be above 0")
    grant = NewGrant(
        kind=kind,
        amount=amount,
        unit=_unit(fields, bonus=bonus),
        effective_at=_instant(fields, "effectiveAt"),
        expires_at=_instant(fields, "expiresAt"),
        priority=fields.whole("priority", 0, 1000) or 0,
        units=fields.keys("units"),
        products=fields.keys("products"),
        description=fields.maybe_text("description"),
        idempotency_key=fields.maybe_text("idempotencyKey", "idempotency_key"),
    )
    fields.done()
    if bonus and (grant.units or grant.products):
        raise FieldProblem(fields.at("units"), "bonus units are of one unit already; leave it out")
    return grant


def check_span(path: str, effective_at: datetime, expires_at: datetime | None) -> None:
    """Raises FieldProblem."""
    if expires_at is not None and expires_at <= effective_at:
        raise FieldProblem(path, f"{expires_at.isoformat()} is not after it takes effect")


def units_of(
    units: Collection[str], products: Collection[str], sold: dict[str, Collection[str]]
) -> frozenset[str] | None:
    """What a grant restricted to these units and products is good for; sold: the units of each product. None: anything."""
    if not units and not products:
        return None
    return frozenset(units) | {unit for product in products for unit in sold.get(product, ())}


def _unit(fields: Fields, *, bonus: bool) -> str | None:
    if not bonus and fields.has("unit", "metricName"):
        raise FieldProblem(
            fields.at("unit"), "goes with BONUS_UNITS; to restrict money to units, send `units`"
        )
    return fields.key("unit", "metricName") if bonus else None


def _instant(fields: Fields, name: str) -> datetime | None:
    text = fields.maybe_text(name)
    if text is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=to_micros_since_epoch(text))
    except NotAnInstant as error:
        raise FieldProblem(fields.at(name), f"{shown(text)} {error}") from None
