"""Applying a catalog. Put here: what a file would change, and doing it in one transaction. Keep out: reading files, printing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from domain.catalog.catalog import Catalog
from domain.catalog.consistency import problems_across
from domain.catalog.contradictions import contradictions
from domain.catalog.fields import CatalogRefused
from domain.catalog.plans import content_hash
from storage.database import lock_id
from storage.repositories.audit import Audit
from storage.repositories.catalog import CatalogRepository
from storage.repositories.customers import Customers
from storage.repositories.keys import ApiKeys, IssuedKey
from storage.repositories.subscriptions import Subscriptions

CREATE, CHANGE, UNCHANGED = "create", "change", "unchanged"
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


def plan_changes(session: Session, asked: Catalog) -> Plan:
    """What applying the catalog would change; nothing is written. Raises CatalogRefused with all problems."""
    stored = load_catalog(session, asked.tenant.id)
    known = stored or Catalog(asked.tenant)
    repository = CatalogRepository(session, asked.tenant.id)
    whole = Catalog(
        asked.tenant,
        **{noun: {**getattr(known, noun), **getattr(asked, noun)} for noun in _NOUNS.values()},
    )
    published = repository.versions() if stored else {}
    pinned = Subscriptions(session, asked.tenant.id).pinned() if stored else {}
    priced = {
        key: frozenset(published[pinned[key]].units)
        if key in pinned
        else _units_sold(whole, subscription.offering)
        for key, subscription in whole.subscriptions.items()
    }
    problems = list(problems_across(asked, whole, priced))
    if stored:
        problems += contradictions(
            asked, stored, {unit for terms in published.values() for unit in terms.units}
        )
    if problems:
        raise CatalogRefused(problems)
    contents = {key: plan.content(whole.units) for key, plan in asked.plans.items()}
    latest = repository.latest_versions() if stored else {}
    versions = {key: _version(latest.get(key), content) for key, content in contents.items()}
    changes = tuple(_changes(asked, stored, contents, latest))
    return Plan(asked, stored, changes, contents, versions)


def apply_catalog(
    session: Session, asked: Catalog, *, actor: str = "operator"
) -> tuple[Plan, list[IssuedKey]]:
    """Make the stored catalog as asked for, in the session's transaction; returns what changed and keys just issued.

    What the catalog does not mention stays. Existing subscriptions keep their plan version, new ones pin the latest.
    Raises CatalogRefused; then nothing was written.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": lock_id("aforo:apply")})
    plan = plan_changes(session, asked)
    catalog = CatalogRepository(session, asked.tenant.id)
    if plan.of("tenant", CREATE, CHANGE):
        catalog.save_tenant(asked.tenant)
    catalog.save_units(asked.units[key] for key in plan.of("unit", CREATE, CHANGE))
    catalog.save_products(asked.products[key] for key in plan.of("product", CREATE, CHANGE))
    latest = catalog.latest_versions()
    for key in plan.of("ratePlan", CREATE, CHANGE):
        if key in latest and latest[key][0] == plan.versions[key]:
            catalog.save_plan(asked.plans[key])
        else:
            catalog.publish_plan(asked.plans[key], plan.contents[key], plan.versions[key])
    catalog.save_offerings(asked.offerings[key] for key in plan.of("offering", CREATE, CHANGE))
    Customers(session, asked.tenant.id).save(
        asked.customers[key] for key in plan.of("customer", CREATE, CHANGE)
    )
    _save_subscriptions(session, plan)
    keys = ApiKeys(session, asked.tenant.id)
    issued = [keys.issue(asked.keys[name]) for name in plan.of("key", CREATE)]
    Audit(session, asked.tenant.id, actor).record_all(
        (f"{_upper(change.noun)}_{_PAST[change.action]}", change.noun, change.id, change.fields)
        for change in plan.changes
        if change.action != UNCHANGED
    )
    return plan, issued


def load_catalog(session: Session, tenant_id: str) -> Catalog | None:
    """The tenant's whole stored catalog; None: there is no such tenant."""
    repository = CatalogRepository(session, tenant_id)
    tenant = repository.tenant()
    if tenant is None:
        return None
    return Catalog(
        tenant=tenant,
        units=repository.units(),
        products=repository.products(),
        plans=repository.plans(),
        offerings=repository.offerings(),
        customers=Customers(session, tenant_id).all(),
        subscriptions=Subscriptions(session, tenant_id).all(),
        keys=ApiKeys(session, tenant_id).all(),
    )


_NOUNS = {
    "unit": "units", "product": "products", "ratePlan": "plans", "offering": "offerings", "customer": "customers",
    "subscription": "subscriptions", "key": "keys",
}  # fmt: skip


def _save_subscriptions(session: Session, plan: Plan) -> None:
    tenant_id = plan.asked.tenant.id
    repository = Subscriptions(session, tenant_id)
    time_zones = {key: customer.time_zone for key, customer in Customers(session, tenant_id).all().items()}
    catalog = CatalogRepository(session, tenant_id)
    latest, offerings = catalog.latest_versions(), catalog.offerings()
    new = [plan.asked.subscriptions[key] for key in plan.of("subscription", CREATE)]
    plans = {each.id: offerings[each.offering].plan for each in new}
    repository.start(
        new,
        time_zones=time_zones,
        pins={key: (plan_key, latest[plan_key][0]) for key, plan_key in plans.items()},
        billing_entity=plan.asked.tenant.entity.code,
    )
    for key in plan.of("subscription", CHANGE):
        subscription = plan.asked.subscriptions[key]
        repository.change_end(subscription, time_zones[subscription.customer])


def _units_sold(whole: Catalog, offering: str) -> frozenset[str]:
    sold = whole.offerings.get(offering)
    plan = whole.plans.get(sold.plan) if sold else None
    return frozenset(price.unit for price in plan.prices) if plan else frozenset()


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
    for noun, section in _NOUNS.items():
        before = getattr(stored, section) if stored else {}
        for key, after in getattr(asked, section).items():
            if noun == "ratePlan":
                yield _plan_change(key, asked, stored, contents[key], latest.get(key))
            else:
                old = before.get(key)
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
