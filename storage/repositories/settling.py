"""A month's bills written, whoever's wallet moves meanwhile. Put here: leaving out the customers that must wait. Keep out: writing bills
(invoices.py), booking what wallets pay (wallet_billing.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from sqlalchemy.orm import Session

from storage.lake import Lake
from storage.repositories.invoices import settle
from storage.repositories.wallet_billing import WalletMoved
from storage.scope import Scope
from transforms.frames import ROUTED_LINES, SETTLEMENTS
from transforms.held_by_gate import NOBODY
from transforms.held_by_gate import held as gate_held

Held = dict[tuple[str, str], str]
"""(tenant, customer) to the reason."""


def settle_all(
    session: Session, settlements: pl.DataFrame, lines: pl.DataFrame, *, scope: Scope, inputs: pl.DataFrame
) -> tuple[list[dict[str, Any]], Held]:
    """`settle` for everybody whose wallet still holds what the bill would take; the others are held, with the reason. Raises what
    `settle` raises otherwise."""
    held: Held = {}
    while True:
        try:
            with session.begin_nested():
                waiting = [who(held)]
                bills, own = settlements.filter(waiting), lines.filter(waiting)
                return settle(session, bills, own, scope=scope, inputs=inputs), held
        except WalletMoved as moved:
            if moved.customer in held:
                raise
            held[moved.customer] = f"{moved.code}: {moved}"


def who(held: Mapping[tuple[str, str], str], *, waits: bool = False) -> pl.Expr:
    """The rows of customers that are not held; waits: of those that are."""
    names = [{"tenant_id": tenant, "customer_id": customer} for tenant, customer in held]
    if not names:
        return pl.lit(not waits)
    found = pl.struct("tenant_id", "customer_id").is_in(names)
    return found if waits else ~found


def reasons(people: pl.DataFrame) -> Held:
    """`tenant_id, customer_id, reason` rows as `Held`."""
    return {(tenant, customer): why for tenant, customer, why in people.iter_rows()}


def held_lines(lines: pl.DataFrame, held: Held) -> pl.DataFrame:
    """ROUTED_LINES with those of the held customers held."""
    people = pl.DataFrame([(*key, why) for key, why in held.items()], schema=NOBODY.schema, orient="row")
    return ROUTED_LINES.conform(gate_held("routed_lines", lines.lazy(), people).collect())


def keep_held(lake: Lake, scope: Scope, lines: pl.DataFrame, held: Held) -> None:
    """Let the lake say so too: the tables after this one, and whoever asks why, read it there. lines: as of `held_lines`."""
    for tenant, customer in held:
        here = Scope(scope.month, (tenant,), (customer,))
        own = lines.filter(who({(tenant, customer): ""}, waits=True))
        lake.replace("routed_lines", own, here)
        lake.replace("settlements", SETTLEMENTS.empty(), here)
