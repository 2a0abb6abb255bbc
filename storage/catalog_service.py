"""Applying a catalog. Put here: what a file would change, and doing it in one transaction. Keep out: reading files, printing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.catalog.catalog import SECTIONS, Catalog
from domain.catalog.consistency import problems_across
from domain.catalog.consistency_of_people import contradictions_of_people, problems_of_people
from domain.catalog.contradictions import contradictions
from domain.catalog.fields import CatalogRefused, FieldProblem
from domain.catalog.plans import RatePlan, content_hash
from domain.quantity import plain
from storage.database import lock_id
from storage.repositories.audit import Audit
from storage.repositories.bundles import Bundles
from storage.repositories.catalog import CatalogRepository
from storage.repositories.coupons import CouponRepository
from storage.repositories.customers import Customers
from storage.repositories.keys import ApiKeys, IssuedKey
from storage.repositories.subscriptions import Subscriptions
from storage.repositories.taxes import TaxRates
from storage.repositories.units import lock_catalog
from storage.sealed import Seal
from storage.services.applied_coupons import apply_coupons, redeemed_otherwise
from storage.services.applied_identifiers import archived_identifiers, not_unique
from storage.services.applied_organization import (
    add_sources,
    change_sources,
    renumbered,
    save_entities,
    save_organization,
    with_organization,
)
from storage.services.applied_people import (
    of_archived_customers,
    save_accessors,
    save_teams,
    with_people,
)
from storage.services.applied_subscriptions import change_agreed, settled, start_subscriptions
from storage.services.applied_taxes import taxed_otherwise
from storage.services.tax_rates import lock_tax_rates

CREATE, CHANGE, UNCHANGED = "create", "change", "unchanged"
T = TypeVar("T")
_PAST = {CREATE: "CREATED", CHANGE: "UPDATED"}


@dataclass(frozen=True, slots=True)
class Change:
    """What applying does to one noun. fields: path to {before, after}, JSON values. note: such as the new version."""

    noun: str
    id: str
    action: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying would do. contents: each asked-for rate plan frozen; versions: the number each of them then has."""

    asked: Catalog
    stored: Catalog | None
    changes: tuple[Change, ...]
    contents: Mapping[str, dict[str, Any]]
    versions: Mapping[str, int]

    def of(self, noun: str, *actions: str) -> list[str]:
        """Identifiers of the noun's changes with these actions."""
        return [change.id for change in self.changes if change.noun == noun and change.action in actions]

    def saved(self, noun: str, asked: Mapping[str, T]) -> list[T]:
        """Those of the asked-for nouns that are new or change."""
        return [asked[key] for key in self.of(noun, CREATE, CHANGE)]


def plan_changes(session: Session, asked: Catalog, at: datetime | None = None) -> Plan:
    """What applying the catalog at the instant (None: now) would change; nothing is written. Raises CatalogRefused with all problems."""
    stored = load_catalog(session, asked.tenant.id)
    known = stored or Catalog(asked.tenant)
    asked = _with_units(settled(asked, stored), known)
    if stored is not None and not asked.names_issuer:
        asked = replace(asked, tenant=replace(asked.tenant, entity=stored.tenant.entity))
    repository = CatalogRepository(session, asked.tenant.id)
    whole = Catalog(
        asked.tenant,
        **{part: {**getattr(known, part), **getattr(asked, part)} for part in SECTIONS.values()},
    )
    published = repository.versions() if stored else {}
    pinned = Subscriptions(session, asked.tenant.id).pinned() if stored else {}
    bundles = Bundles(session, asked.tenant.id)
    priced = {
        key: frozenset(published[pinned[key]].units)
        if key in pinned and not bundles.is_one(subscription.offering)
        else _units_sold(whole, subscription.offering)
        for key, subscription in whole.subscriptions.items()
    }
    problems = list(problems_across(asked, whole, priced))
    problems += problems_of_people(asked, whole)
    problems = [problem for problem in problems if not _is_agreed(problem, asked, known)]
    if stored:
        problems += contradictions(
            asked, stored, {unit for terms in published.values() for unit in terms.units}
        )
        problems += contradictions_of_people(asked, stored)
        problems += renumbered(session, asked, stored)
        problems += of_archived_customers(session, asked, stored)
        problems += archived_identifiers(session, asked, stored)
        problems += redeemed_otherwise(session, asked)
    problems += taxed_otherwise(session, asked, at or session.scalars(select(func.now())).one())
    if problems:
        raise CatalogRefused(problems)
    latest = repository.latest_versions() if stored else {}
    contents = {
        key: latest[key][1] if _same_terms(plan, known.plans.get(key)) else plan.content(whole.units)
        for key, plan in asked.plans.items()
    }
    versions = {key: _version(latest.get(key), content) for key, content in contents.items()}
    changes = tuple(_changes(asked, stored, contents, latest))
    return Plan(asked, stored, changes, contents, versions)


def apply_catalog(
    session: Session,
    asked: Catalog,
    *,
    actor: str = "operator",
    seal: Seal | None = None,
    at: datetime | None = None,
) -> tuple[Plan, list[IssuedKey]]:
    """Make the stored catalog as asked for, in the session's transaction; returns what changed and keys just issued.

    What the catalog does not mention stays. Existing subscriptions keep their plan version, new ones pin the latest.
    seal: keeps the secrets of new webhook sources, which are among the keys. at: None is now. Raises CatalogRefused; then nothing was written.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": lock_id("aforo:apply")})
    lock_catalog(session, asked.tenant.id)
    lock_tax_rates(session, asked.tenant.id)
    plan = plan_changes(session, asked, at)
    try:
        _save_catalog(session, plan)
        issued = _save_customers(session, plan, actor, seal)
    except IntegrityError as error:
        raise not_unique(error) from error
    Audit(session, asked.tenant.id, actor).record_all(
        (f"{_upper(change.noun)}_{_PAST[change.action]}", change.noun, change.id, change.fields)
        for change in plan.changes
        if change.action != UNCHANGED
    )
    return plan, issued


def _save_catalog(session: Session, plan: Plan) -> None:
    """The tenant, its issuers and what it sells."""
    asked, tenant_id = plan.asked, plan.asked.tenant.id
    catalog = CatalogRepository(session, tenant_id)
    if plan.of("tenant", CREATE, CHANGE):
        catalog.save_tenant(asked.tenant)
    if asked.organization is not None and plan.of("organization", CREATE, CHANGE):
        save_organization(session, tenant_id, asked.organization)
    save_entities(session, tenant_id, plan.saved("billingEntity", asked.entities))
    catalog.save_units(plan.saved("unit", asked.units))
    catalog.save_products(plan.saved("product", asked.products))
    latest = catalog.latest_versions()
    for key in plan.of("ratePlan", CREATE, CHANGE):
        if key in latest and latest[key][0] == plan.versions[key]:
            catalog.save_plan(asked.plans[key])
        else:
            catalog.publish_plan(asked.plans[key], plan.contents[key], plan.versions[key])
    catalog.save_offerings(plan.saved("offering", asked.offerings))
    apply_coupons(session, tenant_id, plan.saved("coupon", asked.coupons))
    TaxRates(session, tenant_id).save(plan.saved("taxRate", asked.tax_rates))


def _save_customers(session: Session, plan: Plan, actor: str, seal: Seal | None) -> list[IssuedKey]:
    """Customers, what they hold and what opens the doors; the keys just issued."""
    asked, tenant_id = plan.asked, plan.asked.tenant.id
    Customers(session, tenant_id).save(plan.saved("customer", asked.customers))
    save_teams(session, tenant_id, plan.saved("team", asked.teams))
    save_accessors(session, tenant_id, plan.saved("app", asked.apps))
    save_accessors(session, tenant_id, plan.saved("agent", asked.agents))
    start_subscriptions(session, asked, plan.of("subscription", CREATE), actor=actor)
    change_agreed(session, asked, plan.of("subscription", CHANGE))
    places = {key: f"webhookSources[{place}]" for place, key in enumerate(asked.sources)}
    new, changed = (
        {places[key]: asked.sources[key] for key in plan.of("webhookSource", action)}
        for action in (CREATE, CHANGE)
    )
    issued = add_sources(session, tenant_id, new, seal)
    change_sources(session, tenant_id, changed)
    keys = ApiKeys(session, tenant_id)
    issued += [keys.issue(asked.keys[name]) for name in plan.of("key", CREATE)]
    keys.change(asked.keys[name] for name in plan.of("key", CHANGE))
    return issued


def load_catalog(session: Session, tenant_id: str) -> Catalog | None:
    """The tenant's whole stored catalog; None: there is no such tenant."""
    repository = CatalogRepository(session, tenant_id)
    tenant = repository.tenant()
    if tenant is None:
        return None
    catalog = Catalog(
        tenant=tenant,
        units=repository.units(),
        products=repository.products(),
        plans=repository.plans(),
        offerings=repository.offerings(),
        coupons=CouponRepository(session, tenant_id).all(),
        customers=Customers(session, tenant_id).all(),
        subscriptions=Subscriptions(session, tenant_id).all(),
        keys=ApiKeys(session, tenant_id).all(),
        tax_rates=TaxRates(session, tenant_id).all(),
    )
    return with_people(session, with_organization(session, catalog))


_NOUNS = {
    "billingEntity" if section == "billingEntities" else section[:-1]: part
    for section, part in SECTIONS.items()
}
_PLACE = re.compile(r"(\w+)\[(\d+)\]")


def _with_units(asked: Catalog, known: Catalog) -> Catalog:
    """Its plans with each unit by its key: they may be written with the unit's name."""
    units = {**known.units, **asked.units}
    words = {unit.name.lower(): key for key, unit in units.items()} | {key.lower(): key for key in units}
    return replace(asked, plans={key: plan.with_units(words) for key, plan in asked.plans.items()})


def _is_agreed(problem: FieldProblem, asked: Catalog, known: Catalog) -> bool:
    """Whether it is about a noun that stays as it is: what other doors let in, a file may repeat."""
    place = _PLACE.match(problem.path)
    if place is None:
        return False
    part = SECTIONS[place[1]]
    key, noun = list(getattr(asked, part).items())[int(place[2])]
    return part != "subscriptions" and getattr(known, part).get(key) == noun


def _same_terms(plan: RatePlan, stored: RatePlan | None) -> bool:
    """Whether it charges as the stored one does; a unit's new name alone makes no new version."""
    return stored is not None and replace(plan, description=None) == replace(stored, description=None)


def _units_sold(whole: Catalog, offering: str) -> frozenset[str]:
    sold = whole.offerings.get(offering)
    plans = (whole.plans.get(plan) for plan in sold.plans) if sold else ()
    return frozenset(price.unit for plan in plans if plan for price in plan.prices)


def _version(latest: tuple[int, dict[str, Any]] | None, content: dict[str, Any]) -> int:
    if latest is None:
        return 1
    number, before = latest
    return number if content_hash(before) == content_hash(content) else number + 1


def _changes(
    asked: Catalog,
    stored: Catalog | None,
    contents: Mapping[str, dict[str, Any]],
    latest: Mapping[str, tuple[int, dict[str, Any]]],
) -> Iterator[Change]:
    yield _change("tenant", asked.tenant.id, _plain(stored.tenant) if stored else None, _plain(asked.tenant))
    if asked.organization is not None:
        settings = stored.organization if stored else None
        before = None if settings is None else _plain(settings)
        yield _change("organization", asked.tenant.id, before, _plain(asked.organization))
    for noun, part in _NOUNS.items():
        known = getattr(stored, part) if stored else {}
        for key, after in getattr(asked, part).items():
            if noun == "ratePlan":
                yield _plan_change(key, asked, stored, contents[key], latest.get(key))
            else:
                old = known.get(key)
                yield _change(noun, key, None if old is None else _plain(old), _plain(after))


def _plan_change(
    key: str,
    asked: Catalog,
    stored: Catalog | None,
    content: dict[str, Any],
    latest: tuple[int, dict[str, Any]] | None,
) -> Change:
    after = {"description": asked.plans[key].description, **content}
    if latest is None or stored is None:
        return replace(_change("ratePlan", key, None, after), note="version 1")
    before = {"description": stored.plans[key].description, **latest[1]}
    version = _version(latest, content)
    note = (
        f"version {version}; existing subscriptions stay on theirs"
        if version != latest[0]
        else f"version {version}"
    )
    return replace(_change("ratePlan", key, before, after), note=note)


def _change(noun: str, key: str, before: dict[str, Any] | None, after: dict[str, Any]) -> Change:
    if before is None:
        return Change(noun, key, CREATE, {"": {"before": None, "after": after}})
    old, new = dict(_flat(before)), dict(_flat(after))
    fields = {
        path: {"before": old.get(path), "after": new.get(path)}
        for path in {**old, **new}
        if old.get(path) != new.get(path)
    }
    return Change(noun, key, CHANGE if fields else UNCHANGED, fields)


def _plain(noun: Any) -> dict[str, Any]:
    """A noun as JSON values."""
    described: dict[str, Any] = json.loads(json.dumps(asdict(noun), default=_as_text))
    if described.get("units"):
        described["units"] = sorted(described["units"])
    return described


def _as_text(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Leaves with their paths: ("prices[0].rate", "0.002")."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{index}]")
    else:
        yield path, value


def _upper(noun: str) -> str:
    return "".join("_" + letter if letter.isupper() else letter.upper() for letter in noun)
