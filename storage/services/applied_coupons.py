"""Coupons of an applied catalog. Put here: what may not change, and saving them. Keep out: coupons changed one by one (coupons.py)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.catalog.catalog import Catalog
from domain.catalog.fields import Contradiction, FieldProblem
from domain.coupon import Coupon
from storage.repositories.coupons import CouponRepository, columns_of
from storage.services.coupons import CouponCodeTaken, edit_problem
from storage.tables.money import CouponRow


def redeemed_otherwise(session: Session, asked: Catalog) -> Iterator[FieldProblem]:
    """Changes of coupons that contradict how they were redeemed."""
    repository = CouponRepository(session, asked.tenant.id)
    rows, stored = repository.live(), repository.all()
    for index, (code, coupon) in enumerate(asked.coupons.items()):
        problem = edit_problem(rows[code], stored[code], coupon) if code in rows else None
        if problem is not None:
            name, what = problem
            yield Contradiction(f"coupons[{index}].{name}", what)


def apply_coupons(session: Session, tenant_id: str, coupons: Iterable[Coupon]) -> None:
    """Save new and changed ones. Raises CouponCodeTaken where a code is an archived coupon's."""
    repository, now = CouponRepository(session, tenant_id), session.execute(select(func.now())).scalar_one()
    rows = repository.live()
    for coupon in coupons:
        row = rows.get(coupon.code)
        if row is None:
            row = CouponRow(tenant_id=tenant_id, id=f"cpn_{secrets.token_hex(8)}", created_at=now, revision=0)
        for name, value in columns_of(coupon).items():
            setattr(row, name, value)
        row.revision += 1
        row.updated_at = now
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError as error:
            raise CouponCodeTaken(coupon.code) from error
        repository.limit_to(row.id, coupon.applies_to)
