"""Coupons and their redemptions. Put here: loading, counting and saving them. Keep out: who may redeem (services), what they take off."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from domain.coupon import Coupon, Discount
from domain.money import unpadded
from storage.repositories.among import among
from storage.tables.catalog import OfferingRow
from storage.tables.money import CouponOfferingRow, CouponRedemptionRow, CouponRow
from storage.tables.subscriptions import SubscriptionRow


class CouponRepository:
    """One tenant's coupons."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def get(self, coupon_id: str, *, lock: bool = False) -> CouponRow | None:
        """By id. lock: nobody else redeems or edits it until the transaction ends."""
        query = select(CouponRow).where(CouponRow.tenant_id == self._tenant_id, CouponRow.id == coupon_id)
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        return self._session.scalar(query)

    def by_code(self, code: str) -> CouponRow | None:
        """By code, unless archived."""
        query = select(CouponRow).where(CouponRow.tenant_id == self._tenant_id, CouponRow.code == code)
        return self._session.scalar(query.where(CouponRow.archived_at.is_(None)))

    def live(self) -> dict[str, CouponRow]:
        """All that are not archived, by code."""
        query = select(CouponRow).where(
            CouponRow.tenant_id == self._tenant_id, CouponRow.archived_at.is_(None)
        )
        return {row.code: row for row in self._session.scalars(query.order_by(CouponRow.code))}

    def all(self) -> dict[str, Coupon]:
        """All that are not archived, by code, as the rules know them."""
        rows = self.live()
        offerings = self.offerings([row.id for row in rows.values()])
        return {code: coupon_of(row, offerings[row.id]) for code, row in rows.items()}

    def offerings(self, coupon_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The offerings each coupon is limited to, sorted."""
        query = select(CouponOfferingRow.coupon_id, CouponOfferingRow.offering_id).where(
            CouponOfferingRow.tenant_id == self._tenant_id, CouponOfferingRow.coupon_id.in_(coupon_ids)
        )
        found: dict[str, tuple[str, ...]] = dict.fromkeys(coupon_ids, ())
        for coupon_id, offering_id in self._session.execute(query.order_by(CouponOfferingRow.offering_id)):
            found[coupon_id] += (offering_id,)
        return found

    def unknown_offerings(self, codes: Collection[str]) -> list[str]:
        """Those of the codes that name no offering."""
        query = select(OfferingRow.id).where(
            OfferingRow.tenant_id == self._tenant_id, OfferingRow.id.in_(codes)
        )
        known = set(self._session.scalars(query))
        return [code for code in codes if code not in known]

    def limit_to(self, coupon_id: str, offerings: Iterable[str]) -> None:
        """Let the coupon apply to these offerings only; to all if there are none."""
        self._session.execute(
            delete(CouponOfferingRow).where(
                CouponOfferingRow.tenant_id == self._tenant_id, CouponOfferingRow.coupon_id == coupon_id
            )
        )
        rows = [
            {"tenant_id": self._tenant_id, "coupon_id": coupon_id, "offering_id": code} for code in offerings
        ]
        if rows:
            self._session.execute(insert(CouponOfferingRow), rows)

    def count_redemption(self, coupon_id: str) -> CouponRow | None:
        """Count one more redemption, if the limit allows it; the row then stays locked. None: archived or used up."""
        query = (
            update(CouponRow)
            .where(
                CouponRow.tenant_id == self._tenant_id,
                CouponRow.id == coupon_id,
                CouponRow.archived_at.is_(None),
                or_(
                    CouponRow.max_redemptions.is_(None),
                    CouponRow.redemption_count < CouponRow.max_redemptions,
                ),
            )
            .values(redemption_count=CouponRow.redemption_count + 1)
            .returning(CouponRow)
        )
        return self._session.scalar(query, execution_options={"populate_existing": True})

    def redeemed_by(self, coupon_id: str, customer_id: str) -> int:
        """How often the customer has redeemed it."""
        query = select(func.count()).select_from(CouponRedemptionRow)
        return self._session.execute(
            query.where(
                CouponRedemptionRow.tenant_id == self._tenant_id,
                CouponRedemptionRow.coupon_id == coupon_id,
                CouponRedemptionRow.customer_id == customer_id,
            )
        ).scalar_one()

    def acts_on(self, coupon_id: str, subscription_id: str, period_start: datetime) -> bool:
        """Whether the coupon is attached to the subscription already, and acts on the period that starts then or a later one."""
        query = select(CouponRedemptionRow.id).where(
            CouponRedemptionRow.tenant_id == self._tenant_id,
            CouponRedemptionRow.coupon_id == coupon_id,
            CouponRedemptionRow.subscription_id == subscription_id,
            or_(
                CouponRedemptionRow.applies_until.is_(None), CouponRedemptionRow.applies_until > period_start
            ),
        )
        return self._session.scalar(query.limit(1)) is not None

    def attached(self, customers: Collection[str] | None = None) -> dict[str, list[CouponRedemptionRow]]:
        """The redemptions of each subscription of the customers (None: of all), in order of attachment."""
        query = select(CouponRedemptionRow).where(CouponRedemptionRow.tenant_id == self._tenant_id)
        if customers is not None:
            subscription = SubscriptionRow
            theirs = select(subscription.id).where(
                subscription.tenant_id == self._tenant_id, among(subscription.customer_id, customers)
            )
            query = query.where(CouponRedemptionRow.subscription_id.in_(theirs))
        found: dict[str, list[CouponRedemptionRow]] = {}
        for row in self._session.scalars(query.order_by(CouponRedemptionRow.seq)):
            found.setdefault(row.subscription_id, []).append(row)
        return found


def discounts_during(redemptions: Iterable[CouponRedemptionRow], period_start: datetime) -> list[Discount]:
    """What the coupons take off the period that starts then, in order of attachment."""
    return [
        Discount(row.code, row.discount_type, unpadded(row.discount_value), row.currency)
        for row in redemptions
        if row.applies_from <= period_start
        and (row.applies_until is None or period_start < row.applies_until)
    ]


def coupon_of(row: CouponRow, applies_to: tuple[str, ...]) -> Coupon:
    """A row as the rules know it."""
    return Coupon(
        code=row.code,
        name=row.name,
        description=row.description,
        discount_type=row.discount_type,
        discount_value=unpadded(row.discount_value),
        currency=row.currency,
        duration=row.duration,
        duration_in_months=row.duration_in_months,
        max_redemptions=row.max_redemptions,
        max_redemptions_per_customer=row.max_redemptions_per_customer,
        valid_from=row.valid_from and row.valid_from.astimezone(UTC),
        valid_until=row.valid_until and row.valid_until.astimezone(UTC),
        applies_to=applies_to,
    )


def columns_of(coupon: Coupon) -> dict[str, object]:
    """The rule's fields as columns of the row."""
    return {
        "code": coupon.code,
        "name": coupon.name,
        "description": coupon.description,
        "discount_type": coupon.discount_type,
        "discount_value": coupon.discount_value,
        "currency": coupon.currency,
        "duration": coupon.duration,
        "duration_in_months": coupon.duration_in_months,
        "max_redemptions": coupon.max_redemptions,
        "max_redemptions_per_customer": coupon.max_redemptions_per_customer,
        "valid_from": coupon.valid_from,
        "valid_until": coupon.valid_until,
    }
