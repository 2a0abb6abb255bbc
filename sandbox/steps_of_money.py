"""Steps about wallets. Put here: what moves a customer's money. Keep out: bills (steps_of_bills.py). Each calls the service that the
management door calls."""

from __future__ import annotations

from domain.catalog.fields import FieldProblem
from sandbox.world import Body, World
from storage.repositories.paging import PageQuery
from storage.services.wallet_grants import Grants
from storage.services.wallet_holds import Holds
from storage.services.wallet_top_ups import TopUps
from storage.services.wallets import Wallets


def wallet(world: World, tenant: str, body: Body) -> str:
    with world.tx(tenant) as tx:
        row = Wallets(tx).create(body.rest)
        return f"wallet of {row.customer_id}: {row.balance.normalize():f} {row.currency}"


def grant(world: World, tenant: str, body: Body) -> str:
    customer, currency, name = body.take("customer"), body.maybe("currency"), body.maybe("as")
    with world.tx(tenant) as tx:
        found = Wallets(tx).of_customer(customer, currency)
        row = Grants(tx).create(found.id, body.rest)
        if name is not None:
            world.names[name] = row.id
        until = f" until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else ""
        return f"{row.kind} {row.amount.normalize():f} for {customer}{until}"


def revoke_grant(world: World, tenant: str, body: Body) -> str:
    customer, name = body.take("customer"), body.take("grant")
    currency, reason = body.maybe("currency"), body.maybe("reason")
    body.done()
    with world.tx(tenant) as tx:
        found = Wallets(tx).of_customer(customer, currency)
        Grants(tx).revoke(found.id, world.named(name, "grant"), reason)
    return f"grant {name} taken back"


def top_up(world: World, tenant: str, body: Body) -> str:
    customer, currency = body.take("customer"), body.maybe("currency")
    with world.tx(tenant) as tx:
        row = Wallets(tx).top_up(Wallets(tx).of_customer(customer, currency).id, body.rest)
        return f"{row.amount.normalize():f} in for {customer}, balance {row.balance_after.normalize():f}"


def debit(world: World, tenant: str, body: Body) -> str:
    with world.tx(tenant) as tx:
        row = Wallets(tx).debit(body.rest)
        return f"{row.amount.normalize():f} out, balance {row.balance_after.normalize():f}"


def hold(world: World, tenant: str, body: Body) -> str:
    name = body.take("as")
    with world.tx(tenant) as tx:
        row = Holds(tx).create(body.rest)
        world.names[name] = row.id
        return f"{name}: {row.amount.normalize():f} reserved until {row.expires_at:%H:%M:%S} UTC"


def settle_hold(world: World, tenant: str, body: Body) -> str:
    name = body.take("hold")
    with world.tx(tenant) as tx:
        row = Holds(tx).settle(world.named(name, "hold"), body.rest)
        return f"{name}: {row.settled.normalize():f} spent"


def release_hold(world: World, tenant: str, body: Body) -> str:
    name = body.take("hold")
    body.done()
    with world.tx(tenant) as tx:
        Holds(tx).release(world.named(name, "hold"))
    return f"{name}: released"


def confirm_top_up(world: World, tenant: str, body: Body) -> str:
    customer, currency = body.take("customer"), body.maybe("currency")
    body.done()
    with world.tx(tenant) as tx:
        found = Wallets(tx).of_customer(customer, currency)
        asked, _, _ = TopUps(tx).page(found.id, PageQuery())
        waiting = [row for row in asked if row.status == "PENDING"]
        if not waiting:
            raise FieldProblem("customer", f"no refill of {customer} waits for its money")
        row = TopUps(tx).confirm(found.id, waiting[0].id)
        return f"refill of {row.amount.normalize():f} has come"
