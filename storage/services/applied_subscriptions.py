"""Subscriptions of an applied file. Put here: starting them and changing when they end, in the file's transaction. Keep out:
subscriptions agreed one by one (subscriptions.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.catalog.catalog import Catalog
from domain.catalog.fields import CatalogRefused, FieldProblem
from domain.subscription import Subscription, require_postpaid
from domain.usage_limits import require_priced
from storage.repositories.catalog import CatalogRepository
from storage.repositories.customers import Customers
from storage.repositories.subscriptions import Subscriptions
from storage.services.agreeing import agreed, pin, terms_held, whole_terms
from storage.tables.subscriptions import SubscriptionRow
from storage.tables.tenants import BillingEntityRow


def settled(asked: Catalog, stored: Catalog | None) -> Catalog:
    """The file with what its subscriptions leave open as it was settled when they were agreed."""
    if stored is None:
        return asked
    known = stored.subscriptions
    return replace(
        asked,
        subscriptions={
            key: each.agreeing_with(known[key]) if key in known else each
            for key, each in asked.subscriptions.items()
        },
    )


def start_subscriptions(session: Session, asked: Catalog, new: Collection[str], *, actor: str) -> None:
    """Start these subscriptions of the file, at the plan versions in force when they start. Raises CatalogRefused."""
    if not new:
        return
    tenant_id = asked.tenant.id
    customers = Customers(session, tenant_id).all()
    offerings = CatalogRepository(session, tenant_id).offerings()
    issuers = set(session.scalars(select(BillingEntityRow.id).where(BillingEntityRow.tenant_id == tenant_id)))
    repository = Subscriptions(session, tenant_id)
    ended = {key: each for key, each in repository.all().items() if each.ended_at is not None}
    held = {row.id: row for row in repository.rows()}
    places = {key: f"subscriptions[{place}]" for place, key in enumerate(asked.subscriptions)}
    # Many subscriptions of a file share a plan and a day.
    version_of = cache(lambda plan, at: pin(session, tenant_id, plan, at))
    units_of = cache(lambda code, pinned, at: whole_terms(session, tenant_id, code, pinned, at).units)
    starting, problems = [], []
    for key in new:
        each = asked.subscriptions[key]
        customer, offering = customers[each.customer], offerings[each.offering]
        issuer = each.billing_entity or customer.billing_entity or asked.tenant.entity.code
        time_zone = customer.time_zone
        version = version_of(offering.plan, each.starts_at(time_zone))
        units = units_of(each.offering, (offering.plan, version), each.starts_at(time_zone))
        try:
            require_postpaid(each.billing_threshold, offering.billing_mode, places[key])
            require_priced(each.usage_limits, units, f"{places[key]}.usageLimits")
            if issuer not in issuers:
                raise FieldProblem(
                    f"{places[key]}.billingEntityId", f"{issuer!r} is no billing entity of this tenant"
                )
            starting.append(
                agreed(
                    each,
                    plan=offering.plan,
                    version=version,
                    trial_days=offering.trial_days,
                    time_zone=time_zone,
                    billing_entity=issuer,
                    not_before=_taken_until(session, each, units, ended, held),
                    path=places[key],
                )
            )
        except FieldProblem as problem:
            problems.append(problem)
    if problems:
        raise CatalogRefused(problems)
    repository.start(starting, at=session.scalars(select(func.now())).one(), actor=actor)


def change_agreed(session: Session, asked: Catalog, changed: Collection[str]) -> None:
    """Let these subscriptions end, and interim invoices of them be cut, when the file says, with the limits it gives them. Raises
    CatalogRefused."""
    if not changed:
        return
    repository = Subscriptions(session, asked.tenant.id)
    rows = {row.id: row for row in repository.rows()}
    offerings = CatalogRepository(session, asked.tenant.id).offerings()
    places = {key: f"subscriptions[{place}]" for place, key in enumerate(asked.subscriptions)}
    for key in changed:
        each, row = asked.subscriptions[key], rows[key]
        try:
            require_postpaid(each.billing_threshold, offerings[row.offering_id].billing_mode, places[key])
            require_priced(each.usage_limits, terms_held(session, row).units, f"{places[key]}.usageLimits")
        except FieldProblem as problem:
            raise CatalogRefused([problem]) from None
        repository.change_agreed(each, row.time_zone)


def _taken_until(
    session: Session,
    new: Subscription,
    units: Collection[str],
    ended: Mapping[str, Subscription],
    held: Mapping[str, SubscriptionRow],
) -> datetime | None:
    """When the customer's ended subscriptions that priced these units ended at the latest: usage until then is theirs."""
    ends = [
        each.ended_at
        for key, each in ended.items()
        if each.customer == new.customer
        and each.ended_at is not None
        and set(units) & set(terms_held(session, held[key]).units)
    ]
    return max(ends, default=None)
