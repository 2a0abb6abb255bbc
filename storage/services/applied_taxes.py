"""Tax rates of an applied catalog. Put here: what may not change, and saving them. Keep out: rates changed one by one
(tax_rates.py)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy.orm import Session

from domain.catalog.catalog import Catalog
from domain.catalog.fields import Contradiction, FieldProblem
from domain.catalog.tax_rates import clash
from storage.repositories.taxes import TaxRates
from storage.services.tax_rates import change_problem


def taxed_otherwise(session: Session, asked: Catalog, at: datetime) -> Iterator[FieldProblem]:
    """Rates that are in force at the instant and would change, and taxes that would be levied twice."""
    stored = TaxRates(session, asked.tenant.id).all()
    whole = {**stored, **asked.tax_rates}
    for index, (key, rate) in enumerate(asked.tax_rates.items()):
        problem = change_problem(stored[key], rate, at) if key in stored else None
        if problem is not None:
            yield Contradiction(f"taxRates[{index}]", problem)
        twice = [other.id for other in whole.values() if clash(rate, other)]
        if twice:
            what = f"is the same tax as {twice[0]}, at the same time; give it a name of its own, or end one of them"
            yield FieldProblem(f"taxRates[{index}].name", what)
