"""Credit notes. Put here: reading one, and what of an amount is charge, discount and tax of which line. Keep out: numbers, storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.catalog.fields import FieldProblem, Fields, required
from domain.errors import Conflict
from domain.money import allocate, round_money, unpadded

REASONS = (
    "PRORATION", "BILLING_ERROR", "DUPLICATE", "GOODWILL", "ORDER_CHANGE", "REFUND", "SERVICE_ISSUE", "OTHER",
)  # fmt: skip
STATUSES = ("DRAFT", "ISSUED", "APPLIED", "VOID")


class MoreThanIsCreditable(Conflict):
    """A credit note would take off more than was billed."""

    code = "MORE_THAN_IS_CREDITABLE"

    def __init__(self, what: str, amount: Decimal, left: Decimal) -> None:
        super().__init__(
            f"amount: {amount} is more than the {unpadded(max(left, Decimal(0)), 2)} that may still be credited on {what}"
        )


@dataclass(frozen=True, slots=True)
class CreditRequest:
    """A credit note to be made. amount: with tax, of the whole invoice; lines: with tax, line by line. Either of the two."""

    invoice: str
    reason: str
    description: str | None
    amount: Decimal | None
    lines: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Creditable:
    """A line and what was credited of it already. charge: without tax, before discount. The line comes to charge − discount + tax."""

    line_id: str
    charge: Decimal
    discount: Decimal
    tax: Decimal
    credited: Decimal = Decimal(0)
    credited_discount: Decimal = Decimal(0)
    credited_tax: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        return self.charge - self.discount + self.tax

    @property
    def left(self) -> Decimal:
        return self.total - self.credited


@dataclass(frozen=True, slots=True)
class Share:
    """What is taken off a line: total = charge − discount + tax."""

    line_id: str
    charge: Decimal
    discount: Decimal
    tax: Decimal

    @property
    def total(self) -> Decimal:
        return self.charge - self.discount + self.tax


def read_credit_request(fields: Fields) -> CreditRequest:
    """Raises FieldProblem."""
    lines: dict[str, Decimal] = {}
    for path, item in fields.items("lines"):
        inner = Fields(item, path)
        line_id = inner.text("lineId")
        lines[line_id] = _amount(inner)
        inner.done()
    amount = _amount(fields) if fields.has("amount") else None
    if (amount is None) == (not lines):
        raise FieldProblem(fields.at("amount"), "say either an amount or lines, each with its amount")
    found = CreditRequest(
        invoice=fields.text("invoiceId"),
        reason=fields.choice("reason", REASONS),
        description=fields.maybe_text("description"),
        amount=amount,
        lines=lines,
    )
    fields.done()
    return found


def shares(
    lines: Sequence[Creditable],
    request: CreditRequest,
    left: Decimal,
    exponent: int,
    rounding: str = "HALF_EVEN",
) -> list[Share]:
    """What the request takes off each line, in whole minor units; they add up to what it asks for. left: what may still be credited
    of the invoice. Raises MoreThanIsCreditable, FieldProblem."""
    for path, amount in [
        ("amount", request.amount),
        *((f"lines.{name}", found) for name, found in request.lines.items()),
    ]:
        if amount is not None and amount != round_money(amount, exponent):
            raise FieldProblem(path, f"{amount} has more than {exponent} decimal places")
    wanted = request.amount if request.amount is not None else sum(request.lines.values(), Decimal(0))
    if wanted > left:
        raise MoreThanIsCreditable("the invoice", wanted, left)
    asked = dict(request.lines) if request.lines else _spread(lines, wanted, left, exponent)
    by_id = {line.line_id: line for line in lines}
    for line_id, amount in request.lines.items():
        if line_id not in by_id:
            raise FieldProblem(
                "lines", f"{line_id!r} is not a line of the invoice; its lines are {', '.join(by_id)}"
            )
        if amount > by_id[line_id].left:
            raise MoreThanIsCreditable(f"line {line_id}", amount, by_id[line_id].left)
    return [_share(by_id[name], amount, exponent, rounding) for name, amount in asked.items() if amount]


def gross_of(
    net: Decimal, line_net: Decimal, line_total: Decimal, left: Decimal, exponent: int, rounding: str
) -> tuple[Decimal, Decimal]:
    """(with tax, before tax) of what can be credited of `net`, a price before tax that is added, on a line of these figures of which
    `left` may still be credited with tax. All of `net`, or as much of it as is left."""
    if line_net <= 0 or line_total <= 0 or left <= 0:
        return Decimal(0), Decimal(0)
    gross = round_money(net * line_total / line_net, exponent, rounding)
    if gross <= left:
        return gross, net
    return left, min(net, round_money(left * line_net / line_total, exponent, rounding))


def _spread(lines: Sequence[Creditable], wanted: Decimal, left: Decimal, exponent: int) -> dict[str, Decimal]:
    """An amount over the lines as they stand to each other. The last of an invoice takes what is left of each, credits too."""
    if wanted == left == sum((line.left for line in lines), Decimal(0)):
        return {line.line_id: line.left for line in lines}
    weights = [max(line.left, Decimal(0)) for line in lines]
    if sum(weights) < wanted:
        raise MoreThanIsCreditable("the lines", wanted, sum(weights, Decimal(0)))
    return dict(zip([line.line_id for line in lines], allocate(wanted, weights, exponent), strict=True))


def _share(line: Creditable, amount: Decimal, exponent: int, rounding: str) -> Share:
    """Tax and discount follow what is credited in all, so that crediting a line bit by bit returns exactly its tax and discount."""
    done = line.credited + amount

    def part(of: Decimal, returned: Decimal) -> Decimal:
        if done == line.total:
            return of - returned
        return round_money(of * done / line.total, exponent, rounding) - returned

    tax = (
        min(max(part(line.tax, line.credited_tax), Decimal(0)), amount)
        if amount > 0
        else part(line.tax, line.credited_tax)
    )
    discount = part(line.discount, line.credited_discount)
    return Share(line.line_id, amount - tax + discount, discount, tax)


def _amount(fields: Fields) -> Decimal:
    amount = required(fields, "amount", fields.price("amount"))
    if amount == 0:
        raise FieldProblem(fields.at("amount"), "must be above 0")
    return amount
