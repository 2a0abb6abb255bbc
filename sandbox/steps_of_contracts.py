"""Steps about what is agreed with customers. Put here: catalogs, subscriptions, coupons, customers, settings. Keep out: money
(steps_of_money.py), bills (steps_of_bills.py). Each calls the service that the management door calls."""

from __future__ import annotations

from collections.abc import Callable

from domain.catalog.catalog import read_catalog
from sandbox.world import Body, World
from storage.catalog_service import UNCHANGED, apply_catalog
from storage.database import session_scope
from storage.services.coupons import Coupons
from storage.services.customers import Customers
from storage.services.fx_rates import FxRates
from storage.services.organization import Organization
from storage.services.plan_changes import PlanChanges
from storage.services.rate_plans import RatePlans
from storage.services.subscriptions import Subscriptions


def apply(world: World, tenant: str, body: Body) -> str:
    document = {"tenant": world.tenants[tenant]["tenant"], **body.rest}
    with session_scope(world.ground.database) as session:
        plan, _ = apply_catalog(session, read_catalog(document), at=world.at)
    changed = [f"{each.noun} {each.id}" for each in plan.changes if each.action != UNCHANGED]
    return ", ".join(changed) or "nothing changes"


def publish_prices(world: World, tenant: str, body: Body) -> str:
    plan = body.take("plan")
    with world.tx(tenant) as tx:
        view = RatePlans(tx).edit(plan, body.rest)
    return f"{plan}: version {view.version}; running subscriptions stay on theirs"


def subscribe(world: World, tenant: str, body: Body) -> str:
    with world.tx(tenant) as tx:
        row = Subscriptions(tx).create(body.rest)
        return f"{row.id}: {row.customer_id} subscribes to {row.offering_id}, {row.status}"


def change_plan(world: World, tenant: str, body: Body) -> str:
    subscription = body.take("subscription")
    with world.tx(tenant) as tx:
        row, preview = PlanChanges(tx).change(subscription, body.rest)
        when = f"from {preview.effective_at:%Y-%m-%d %H:%M} UTC"
        return f"{row.id}: {preview.change_type.lower()} {when}"


def cancel(world: World, tenant: str, body: Body) -> str:
    subscription = body.take("subscription")
    with world.tx(tenant) as tx:
        row = Subscriptions(tx).cancel(subscription, body.rest)
        ends = f", ends {row.cancel_at:%Y-%m-%d %H:%M} UTC" if row.cancel_at else ""
        return f"{row.id}: {row.status}{ends}"


def moving(verb: str) -> Callable[[World, str, Body], str]:
    """A step that lets a subscription change its state."""

    def move(world: World, tenant: str, body: Body) -> str:
        subscription, reason = body.take("subscription"), body.maybe("reason")
        body.done()
        with world.tx(tenant) as tx:
            row = getattr(Subscriptions(tx), verb)(subscription, reason)
            return f"{row.id}: {row.status}"

    return move


def coupon(world: World, tenant: str, body: Body) -> str:
    with world.tx(tenant) as tx:
        return f"coupon {Coupons(tx).create(body.rest).code}"


def redeem(world: World, tenant: str, body: Body) -> str:
    subscription, code = body.take("subscription"), body.take("code")
    body.done()
    with world.tx(tenant) as tx:
        customer = Subscriptions(tx).get(subscription).customer_id
        row = Coupons(tx).redeem(customer, {"code": code, "subscriptionId": subscription})
        until = f" until {row.applies_until:%Y-%m-%d}" if row.applies_until else ""
        return f"{code} on {subscription} from {row.applies_from:%Y-%m-%d}{until}"


def customer(world: World, tenant: str, body: Body) -> str:
    customer_id = body.take("customer")
    with world.tx(tenant) as tx:
        Customers(tx).edit(customer_id, body.rest)
    return f"{customer_id} edited"


def settings(world: World, tenant: str, body: Body) -> str:
    with world.tx(tenant) as tx:
        Organization(tx).edit(body.rest)
    return "settings changed"


def fx_rate(world: World, tenant: str, body: Body) -> str:
    with world.tx(tenant) as tx:
        row = FxRates(tx).create(body.rest)
        return f"1 {row.from_currency} = {row.rate.normalize():f} {row.to_currency} on {row.day}"
