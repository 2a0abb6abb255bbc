"""Sets of units. Put here: making them from templates, writing them out, reading them in. Keep out: one unit's rules (units.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.catalog.fields import CatalogRefused, FieldProblem, shown
from domain.catalog.products import TYPES
from domain.catalog.templates import OF_TYPE, Template, starters
from domain.catalog.units import ARCHIVED, Unit, unit_document
from storage.repositories.units import UnitExists, lock_catalog, unit_of
from storage.services.units import Units, read_new
from storage.tables.catalog import UnitRow
from storage.tenancy import Tx

MOST = 1000
"""Units of one import."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: the new units, and the keys of those that were there already."""

    units: tuple[UnitRow, ...]
    skipped: tuple[str, ...]


def templates_of(product_type: str) -> tuple[Template, ...]:
    """The templates of a type of product, in any case. Raises FieldProblem."""
    found = OF_TYPE.get(product_type.upper())
    if found is None:
        raise FieldProblem(
            "productType", f"{shown(product_type)} is not known; use one of {', '.join(TYPES)}"
        )
    return found


class UnitSets:
    """One tenant's units, many at once: all of them, or none."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._units = Units(tx)

    def seed(self, product_type: str, names: Sequence[str] | None = None) -> list[UnitRow]:
        """The units of these templates (None: all of the type's), made where they are missing, restored where they are
        archived; what is there already stays as it is. In the order asked for. Raises FieldProblem."""
        wanted = _chosen(templates_of(product_type), names)
        lock_catalog(self._tx.session, self._tx.tenant_id)
        made = self._made(wanted)
        return [self._units.restore(row) if row.status == ARCHIVED else row for row in made]

    def for_new_product(self, product_type: str) -> list[UnitRow]:
        """What a new product of the type begins with, made where it is missing. Archived ones stay archived and are left out."""
        lock_catalog(self._tx.session, self._tx.tenant_id)
        return [row for row in self._made(starters(product_type)) if row.status != ARCHIVED]

    def export(self) -> list[dict[str, Any]]:
        """Every unit that is not archived, as `bring_in` reads it."""
        return [unit_document(unit_of(row)) for row in self._units.rows.live()]

    def bring_in(self, items: Sequence[object], *, skip_duplicates: bool = False) -> Imported:
        """Create units. What goes by a key or name that is taken is left out (skip_duplicates), or refuses them all.

        Raises CatalogRefused (with every wrong field), UnitExists (naming the duplicates); then nothing was created.
        """
        if not 1 <= len(items) <= MOST:
            raise FieldProblem("metrics", f"has {len(items)} units; send 1 to {MOST}")
        units = _read_all(items)
        lock_catalog(self._tx.session, self._tx.tenant_id)
        taken = self._units.rows.by_word([word for unit in units for word in unit.words])
        duplicates = [unit for unit in units if any(word in taken for word in unit.words)]
        if duplicates and not skip_duplicates:
            listed = ", ".join(repr(unit.key) for unit in duplicates[:20])
            more = f" and {len(duplicates) - 20} more" if len(duplicates) > 20 else ""
            raise UnitExists(
                f"metrics: {listed}{more} exist by key or name; send skipDuplicates, or other ones"
            )
        made = tuple(self._units.add(unit) for unit in units if unit not in duplicates)
        return Imported(made, tuple(unit.key for unit in duplicates))

    def _made(self, templates: Sequence[Template]) -> list[UnitRow]:
        """The unit of each template: the one made from it before, one that goes by its name or key, or a new one."""
        before = self._units.rows.by_template([each.name for each in templates])
        named = self._units.rows.by_word([word for each in templates for word in (each.name, each.key)])
        return [
            before.get(each.name)
            or named.get(each.name)
            or named.get(each.key)
            or self._units.add(each.unit(), template=each.name)
            for each in templates
        ]


def _chosen(templates: Sequence[Template], names: Sequence[str] | None) -> list[Template]:
    if names is None:
        return list(templates)
    if not names:
        raise FieldProblem("templateNames", "is empty; name some templates, or leave it out for all of them")
    by_name = {each.name.lower(): each for each in templates}
    for index, name in enumerate(names):
        if name.strip().lower() not in by_name:
            known = ", ".join(each.name for each in templates)
            raise FieldProblem(
                f"templateNames[{index}]", f"{shown(name)} is no template; use some of {known}"
            )
    return list({name.strip().lower(): by_name[name.strip().lower()] for name in names}.values())


def _read_all(items: Iterable[object]) -> list[Unit]:
    units: list[Unit] = []
    problems: list[FieldProblem] = []
    seen: dict[str, int] = {}
    for index, item in enumerate(items):
        path = f"metrics[{index}]"
        try:
            if not isinstance(item, Mapping):
                raise FieldProblem(path, f"{shown(item)} is not an object; write fields and values")
            unit = read_new(item, path)
            twice = [word for word in sorted(unit.words) if word in seen]
            if twice:
                raise FieldProblem(
                    f"{path}.key", f"{twice[0]!r} already means metrics[{seen[twice[0]]}]; write it once"
                )
        except FieldProblem as problem:
            problems.append(problem)
        else:
            seen |= dict.fromkeys(unit.words, index)
            units.append(unit)
    if problems:
        raise CatalogRefused(problems)
    return units
