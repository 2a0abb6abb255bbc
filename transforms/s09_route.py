"""Stage 9, Route: where each line goes. Put here: invoice, wallet, or held. Keep out: sums (Settle), the order in which a wallet
is burned (it is frozen with the balances), numbering."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any

import polars as pl

from transforms.frames import AMOUNT, ROUTED_LINES, TEXT, WALLET_BALANCES
from transforms.table import WALLET_PAYMENTS
from transforms.terms import LINE_KEY, LINE_ORDER

_CUSTOMER = ["month", "tenant_id", "customer_id"]
_ZERO = Decimal(0)
_SHORT: dict[str, Any] = {**dict.fromkeys(_CUSTOMER, TEXT), "reason": TEXT}


def route(
    *, taxed_lines: pl.DataFrame, terms: pl.DataFrame, wallet_balances: pl.DataFrame | None = None
) -> pl.DataFrame:
    """ROUTED_LINES: a customer with any problem has all lines HELD, with all reasons; the others go on an invoice, one per
    customer and currency. Lines of PREPAID and HYBRID subscriptions are paid by the wallet in their currency as far as it
    reaches: WALLET if in full, INVOICE if not. Where it does not reach for PREPAID, the offering's escrow says what follows:
    ALERT leaves the rest on the invoice, BLOCK (the usual) holds the customer. An invoice has one issuer: whose lines in one
    currency have several is held, too. wallet_balances: WALLET_BALANCES; None: all are empty.
    """
    wallets = WALLET_BALANCES.empty() if wallet_balances is None else wallet_balances
    known = taxed_lines.filter(pl.col("problem").is_not_null()).select(*_CUSTOMER, reason="problem")
    problems = pl.concat([known, _of_two_issuers(taxed_lines, terms)])
    modes = terms.filter(pl.col("billing_mode") != "POSTPAID").select(*LINE_KEY, "billing_mode", "escrow")
    payable = taxed_lines.join(problems, on=_CUSTOMER, how="anti")
    payments, short = _paid(payable.join(modes, on=LINE_KEY, how="inner"), payable, wallets)
    reasons = (
        pl.concat([problems, short])
        .group_by(_CUSTOMER)
        .agg(hold_reason=pl.col("reason").unique().sort().str.join("; "))
    )
    held = pl.col("hold_reason").is_not_null()
    in_full = (pl.col("wallet_amount") > 0) & (pl.col("wallet_amount") == pl.col("taxable") + pl.col("tax"))
    lines = (
        taxed_lines.join(reasons, on=_CUSTOMER, how="left", maintain_order="left")
        .join(_invoice_ids(taxed_lines), on=[*_CUSTOMER, "currency"], how="left", maintain_order="left")
        .join(payments, on=LINE_KEY, how="left", maintain_order="left")
        .with_columns(
            invoice_id=pl.when(~held).then("invoice_id"),
            wallet_amount=pl.when(~held).then(pl.col("wallet_amount").fill_null(0)),
            wallet_payments=pl.when(~held).then("wallet_payments"),
        )
        .with_columns(
            destination=pl.when(held)
            .then(pl.lit("HELD"))
            .otherwise(pl.when(in_full).then(pl.lit("WALLET")).otherwise(pl.lit("INVOICE")))
        )
    )
    return ROUTED_LINES.conform(lines)


def _of_two_issuers(lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """(customer, reason) of those whose lines in one currency would be issued by several billing entities."""
    issuers = lines.join(terms.select(*LINE_KEY, "billing_entity"), on=LINE_KEY, how="inner")
    found = issuers.group_by(*_CUSTOMER, "currency").agg(entities=pl.col("billing_entity").unique().sort())
    reason = pl.format(
        "MIXED_BILLING_ENTITIES: lines in {} would be issued by several billing entities ({}); let all subscriptions of the "
        "customer be issued by one",
        "currency",
        pl.col("entities").list.join(", "),
    )
    return found.filter(pl.col("entities").list.len() > 1).select(*_CUSTOMER, reason=reason)


@dataclass
class _Fund:
    """A grant while it is being used up."""

    row: dict[str, Any]
    left: Decimal = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.row["available"]

    @property
    def restricted(self) -> bool:
        return self.row["units"] is not None

    def pays_for(self, line: dict[str, Any]) -> bool:
        """It must still be good when the line's period ends, and for the line's unit."""
        expires_at, units = self.row["expires_at"], self.row["units"]
        in_time = expires_at is None or line["period_end"] is None or expires_at >= line["period_end"]
        return in_time and (units is None or line["unit"] in units)


def _paid(
    lines: pl.DataFrame, all_lines: pl.DataFrame, balances: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(month, line_id, wallet_amount, wallet_payments) of lines a wallet pays something of, and (customer, reason) of those who
    are held because theirs holds too little. lines: of PREPAID and HYBRID subscriptions."""
    who = [*_CUSTOMER, "currency"]
    funds: dict[tuple[Any, ...], list[_Fund]] = {}
    for row in balances.sort("burn_order").iter_rows(named=True):
        funds.setdefault(tuple(row[name] for name in who), []).append(_Fund(row))
    # Negative lines lower what there is to pay, whoever's they are.
    payable = pl.col("taxable") + pl.col("tax")
    totals = {
        (month, tenant, customer, currency): total
        for month, tenant, customer, currency, total in all_lines.group_by(who).agg(payable.sum()).iter_rows()
    }
    paid, short = [], []
    for key, group in lines.with_columns(payable=payable).sort(LINE_ORDER).group_by(who, maintain_order=True):
        due = list(group.filter(pl.col("payable") > 0).iter_rows(named=True))
        taken = _burned(due, funds.get(key, []), max(totals[key], _ZERO))
        paid += [
            (line["month"], line["line_id"], taken[line["line_id"]]) for line in due if taken[line["line_id"]]
        ]
        short += [(*key[:3], reason) for reason in _shortage(due, taken, totals[key])]
    schema: dict[str, Any] = {"month": TEXT, "line_id": TEXT, "wallet_payments": WALLET_PAYMENTS}
    payments = pl.DataFrame(paid, schema=schema, orient="row").with_columns(
        wallet_amount=pl.col("wallet_payments")
        .list.eval(pl.element().struct.field("amount"))
        .list.sum()
        .cast(AMOUNT)
    )
    return payments, pl.DataFrame(short, schema=_SHORT, orient="row")


def _burned(
    lines: list[dict[str, Any]], funds: list[_Fund], total: Decimal
) -> dict[str, list[dict[str, Any]]]:
    """Which grant pays what of each line, by line_id: grants in their order, and none beyond the invoice's total."""
    taken: dict[str, list[dict[str, Any]]] = {line["line_id"]: [] for line in lines}
    open_ = {line["line_id"]: line["payable"] for line in lines}
    for fund in funds:
        # What only an unrestricted grant can pay comes first, so that restricted grants are not left without use.
        for line in lines if fund.restricted else sorted(lines, key=lambda line: _others(line, funds)):
            part = min(fund.left, open_[line["line_id"]], total)
            if part > 0 and fund.pays_for(line):
                taken[line["line_id"]].append({"grant_id": fund.row["grant_id"], "amount": part})
                fund.left -= part
                open_[line["line_id"]] -= part
                total -= part
    return taken


def _others(line: dict[str, Any], funds: Iterable[_Fund]) -> int:
    return sum(fund.restricted and fund.left > 0 and fund.pays_for(line) for fund in funds)


def _shortage(
    lines: list[dict[str, Any]], taken: dict[str, list[dict[str, Any]]], total: Decimal
) -> Iterable[str]:
    """Why the customer must wait: PREPAID that blocks without funds, and is not paid in full."""
    left = total - sum((part["amount"] for parts in taken.values() for part in parts), _ZERO)
    blocking = [line for line in lines if line["billing_mode"] == "PREPAID" and line["escrow"] != "ALERT"]
    open_ = sum(
        (
            line["payable"] - sum((part["amount"] for part in taken[line["line_id"]]), _ZERO)
            for line in blocking
        ),
        _ZERO,
    )
    missing = min(open_, left)
    if missing > 0:
        yield (
            f"PREPAID_FUNDS_SHORT: the wallet lacks {missing.normalize():f} {lines[0]['currency']} for prepaid subscription "
            f"{blocking[0]['subscription_id']}; top it up and bill again"
        )


def _invoice_ids(lines: pl.DataFrame) -> pl.DataFrame:
    """(month, tenant_id, customer_id, currency, invoice_id): the id follows from the other four, so a rerun
    keeps it."""
    invoices = lines.select(*_CUSTOMER, "currency").drop_nulls().unique(maintain_order=True)
    ids = [
        "inv_" + sha256("\0".join([tenant, customer, month, currency]).encode()).hexdigest()[:20]
        for month, tenant, customer, currency in invoices.iter_rows()
    ]
    return invoices.with_columns(pl.Series("invoice_id", ids, dtype=TEXT))
