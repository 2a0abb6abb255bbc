"""What must hold across issuers, teams, apps and agents of a catalog, and what of them may not change. Put here: references and
names. Keep out: one noun's fields, prices and subscriptions (consistency.py, contradictions.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from domain.catalog.catalog import Catalog
from domain.catalog.fields import Contradiction, FieldProblem
from domain.people import Accessor, Team

_HOLDERS = {"teams": "team", "apps": "app", "agents": "agent"}


def problems_of_people(asked: Catalog, whole: Catalog) -> Iterator[FieldProblem]:
    """Problems of what is asked for within the whole catalog (what is stored with the asked-for on top)."""
    yield from _prefixes(asked, whole)
    issuers = {*whole.entities, whole.tenant.entity.code}
    for index, customer in enumerate(asked.customers.values()):
        if customer.billing_entity is not None and customer.billing_entity not in issuers:
            what = f"{customer.billing_entity!r} is no billing entity of this tenant; create it, or correct the name"
            yield FieldProblem(f"customers[{index}].billingEntity", what)
    for section in _HOLDERS:
        for index, holder in enumerate(getattr(asked, section).values()):
            if holder.customer not in whole.customers:
                what = f"{holder.customer!r} is no customer of this tenant; add it, or correct the name"
                yield FieldProblem(f"{section}[{index}].customerId", what)
        yield from _names(section, getattr(asked, section), getattr(whole, section))
    for section, others in (("apps", whole.agents), ("agents", whole.apps)):
        for index, accessor in enumerate(getattr(asked, section).values()):
            yield from _membership(f"{section}[{index}]", accessor, whole, others)


def contradictions_of_people(asked: Catalog, stored: Catalog) -> Iterator[Contradiction]:
    """Changes that would move things to another customer, or an issuer's books to another currency."""
    for section in _HOLDERS:
        before = getattr(stored, section)
        for index, (key, holder) in enumerate(getattr(asked, section).items()):
            if key in before and before[key].customer != holder.customer:
                what = f"cannot change from {before[key].customer} to {holder.customer}: create another one there"
                yield Contradiction(f"{section}[{index}].customerId", what)
    for index, (code, entity) in enumerate(asked.entities.items()):
        old = stored.entities.get(code)
        if old is not None and old.base_currency != entity.base_currency:
            what = (
                f"cannot change from {old.base_currency} to {entity.base_currency}: its books are kept in it"
            )
            yield Contradiction(f"billingEntities[{index}].baseCurrency", what)
        if code == stored.tenant.entity.code:
            what = f"{code!r} is the default issuer; another one takes its place only by tenant.billingEntity"
            yield Contradiction(f"billingEntities[{index}].code", what)


def _prefixes(asked: Catalog, whole: Catalog) -> Iterator[FieldProblem]:
    """Two issuers must not give two invoices the same number."""
    issuers = {**whole.entities, whole.tenant.entity.code: whole.tenant.entity}
    for index, entity in enumerate(asked.entities.values()):
        others = [
            code
            for code, other in issuers.items()
            if other.invoice_prefix == entity.invoice_prefix and code != entity.code
        ]
        if others:
            what = f"{entity.invoice_prefix!r} already starts the numbers of {min(others)!r}; choose another"
            yield FieldProblem(f"billingEntities[{index}].invoicePrefix", what)


def _names(
    section: str, asked: Mapping[str, Team | Accessor], whole: Mapping[str, Team | Accessor]
) -> Iterator[FieldProblem]:
    """Of one customer, no two of a kind share a name, whatever the case."""
    named: dict[tuple[str, str], set[str]] = {}
    for holder in whole.values():
        named.setdefault((holder.customer, holder.name.lower()), set()).add(holder.id)
    for index, holder in enumerate(asked.values()):
        others = named[holder.customer, holder.name.lower()] - {holder.id}
        if others:
            what = (
                f"{holder.name!r} is already the name of {_HOLDERS[section]} {min(others)!r} of this customer"
            )
            yield FieldProblem(f"{section}[{index}].name", f"{what}; choose another")


def _membership(
    path: str, accessor: Accessor, whole: Catalog, others: Mapping[str, Accessor]
) -> Iterator[FieldProblem]:
    if accessor.id in others:
        what = f"{accessor.id!r} already is an {others[accessor.id].type.lower()}; choose another id"
        yield FieldProblem(f"{path}.id", what)
    team = whole.teams.get(accessor.team) if accessor.team is not None else None
    if accessor.team is not None and (team is None or team.customer != accessor.customer):
        what = f"{accessor.team!r} is no team of customer {accessor.customer!r}; create it first"
        yield FieldProblem(f"{path}.teamId", what)
