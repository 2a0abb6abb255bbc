"""Coupons. Put here: creating, editing, archiving and redeeming them. Keep out: what they take off (domain.coupon), HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import FieldProblem, Fields
from domain.coupon import Coupon, applies_during, check_redeemable, read_coupon
from domain.errors import Conflict, NotFound
from domain.period import Schedule
from domain.subscription_states import TERMINAL
from storage.repositories.coupons import CouponRepository, columns_of, coupon_of
from storage.repositories.paging import PageQuery, contains, keyset
from storage.services.differences import differences, no_expectation
from storage.services.known_customers import known_customer
from storage.tables.catalog import RatePlanVersionRow
from storage.tables.customers import SubscriptionRow
from storage.tables.money import CouponRedemptionRow, CouponRow
from storage.tenancy import Tx

_DISCOUNT = ("code", "discountType", "discountValue", "currency", "duration", "durationInMonths")


class CouponNotFound(NotFound):
    code = "COUPON_NOT_FOUND"

    def __init__(self, which: str) -> None:
        super().__init__(f"there is no coupon {which}")


class CouponCodeTaken(Conflict):
    code = "COUPON_CODE_TAKEN"

    def __init__(self, code: str) -> None:
        super().__init__(f"code: {code} is another coupon's, perhaps an archived one's; choose another code")


class CouponRedeemed(Conflict):
    """What a coupon takes off stays as it is once somebody has redeemed it, and its limit does not undo redemptions."""

    code = "COUPON_REDEEMED"

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"{field}: {what}")


class CouponExhausted(Conflict):
    code = "COUPON_EXHAUSTED"

    def __init__(self, code: str, limit: int | None) -> None:
        super().__init__(f"coupon {code} was redeemed {limit} times, as often as it may be")


class CouponLimitReached(Conflict):
    code = "COUPON_LIMIT_REACHED"

    def __init__(self, code: str, customer_id: str, limit: int) -> None:
        super().__init__(
            f"customer {customer_id} has redeemed coupon {code} {limit} times, as often as one may"
        )


class CouponAlreadyAttached(Conflict):
    code = "COUPON_ALREADY_ATTACHED"

    def __init__(self, code: str, subscription_id: str) -> None:
        super().__init__(
            f"coupon {code} is attached to subscription {subscription_id} already and still acts"
        )


class SubscriptionOver(Conflict):
    code = "SUBSCRIPTION_OVER"

    def __init__(self, subscription_id: str, status: str) -> None:
        super().__init__(f"subscription {subscription_id} is {status}; no coupon can be attached to it")


class Coupons:
    """One tenant's coupons."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._coupons = CouponRepository(tx.session, tx.tenant_id)

    def create(self, sent: Mapping[str, Any]) -> CouponRow:
        """Raises FieldProblem, CouponCodeTaken."""
        coupon = read_coupon(Fields(sent, ""))
        self._check_offerings(coupon)
        row = CouponRow(
            tenant_id=self._tx.tenant_id,
            id=f"cpn_{secrets.token_hex(8)}",
            created_at=self._tx.at,
            updated_at=self._tx.at,
            **columns_of(coupon),
        )
        try:
            with self._tx.session.begin_nested():
                self._tx.session.add(row)
        except IntegrityError as error:
            raise CouponCodeTaken(coupon.code) from error
        self._coupons.limit_to(row.id, coupon.applies_to)
        self._tx.session.refresh(row)
        self._tx.record("COUPON_CREATED", "coupon", row.id, differences({}, _recorded(coupon)))
        return row

    def get(self, coupon_id: str) -> CouponRow:
        """Archived ones too. Raises CouponNotFound."""
        row = self._coupons.get(coupon_id)
        if row is None:
            raise CouponNotFound(coupon_id)
        return row

    def page(
        self,
        page: PageQuery,
        *,
        code: str | None = None,
        name: str | None = None,
        include_archived: bool = False,
    ) -> tuple[list[CouponRow], int, str | None]:
        """Rows, how many there are, and the next page's cursor. code: exactly; name: a part. Raises FieldProblem."""
        query = select(CouponRow).where(CouponRow.tenant_id == self._tx.tenant_id)
        if code is not None:
            query = query.where(CouponRow.code == code)
        if name is not None:
            query = query.where(contains(CouponRow.name, name))
        if not include_archived:
            query = query.where(CouponRow.archived_at.is_(None))
        columns = {
            "-createdAt": CouponRow.created_at,
            "name": CouponRow.name,
            "code": CouponRow.code,
            "id": CouponRow.id,
        }
        return keyset(self._tx.session, query, columns, page)

    def offerings(self, rows: Sequence[CouponRow]) -> dict[str, tuple[str, ...]]:
        """The offerings each coupon is limited to, by its id."""
        return self._coupons.offerings([row.id for row in rows])

    def redemptions(
        self,
        coupon_id: str,
        page: PageQuery,
        *,
        customer_id: str | None = None,
        subscription_id: str | None = None,
    ) -> tuple[list[CouponRedemptionRow], int, str | None]:
        """A page of the coupon's redemptions, the newest first. Raises CouponNotFound, FieldProblem."""
        self.get(coupon_id)
        query = select(CouponRedemptionRow).where(
            CouponRedemptionRow.tenant_id == self._tx.tenant_id, CouponRedemptionRow.coupon_id == coupon_id
        )
        if customer_id is not None:
            query = query.where(CouponRedemptionRow.customer_id == customer_id)
        if subscription_id is not None:
            query = query.where(CouponRedemptionRow.subscription_id == subscription_id)
        columns = {"-redeemedAt": CouponRedemptionRow.redeemed_at, "id": CouponRedemptionRow.id}
        return keyset(self._tx.session, query, columns, page)

    def edit(
        self,
        coupon_id: str,
        sent: Mapping[str, Any],
        expect: Callable[[str, int], None] = no_expectation,
    ) -> CouponRow:
        """Change the fields sent; null clears one. Raises CouponNotFound, StaleEdit, FieldProblem,
        CouponRedeemed, CouponCodeTaken."""
        row = self._live(coupon_id, expect)
        before = coupon_of(row, self._coupons.offerings([row.id])[row.id])
        after = read_coupon(Fields({**as_sent(before), **sent}, ""))
        self._check_offerings(after)
        problem = edit_problem(row, before, after)
        if problem is not None:
            raise CouponRedeemed(*problem)
        changes = differences(_recorded(before), _recorded(after))
        if not changes:
            return row
        for name, value in columns_of(after).items():
            setattr(row, name, value)
        row.revision += 1
        row.updated_at = self._tx.at
        try:
            with self._tx.session.begin_nested():
                self._tx.session.flush()
        except IntegrityError as error:
            raise CouponCodeTaken(after.code) from error
        self._coupons.limit_to(row.id, after.applies_to)
        self._tx.record("COUPON_UPDATED", "coupon", row.id, changes)
        return row

    def archive(self, coupon_id: str, expect: Callable[[str, int], None] = no_expectation) -> None:
        """Nobody redeems it any more; what was redeemed goes on. Raises CouponNotFound, StaleEdit."""
        row = self._live(coupon_id, expect)
        row.archived_at = row.updated_at = self._tx.at
        row.revision += 1
        self._tx.record("COUPON_ARCHIVED", "coupon", row.id)

    def redeem(self, customer_id: str, sent: Mapping[str, Any]) -> CouponRedemptionRow:
        """Attach a coupon to one of the customer's subscriptions, behind those attached already.

        sent: code, subscriptionId. Limits hold however many try at once. Raises FieldProblem, CouponNotFound, CustomerUnknown,
        SubscriptionOver, CouponNotValid, CouponExhausted, CouponLimitReached, CouponAlreadyAttached.
        """
        fields = Fields(sent, "")
        code, subscription_id = fields.text("code"), fields.key("subscriptionId")
        fields.done()
        subscription = self._subscription(customer_id, subscription_id)
        row = self._coupons.by_code(code)
        if row is None:
            raise CouponNotFound(code)
        coupon = coupon_of(row, self._coupons.offerings([row.id])[row.id])
        check_redeemable(
            coupon, offering=subscription.offering_id, currency=self._currency(subscription), at=self._tx.at
        )
        return self._attach(row, subscription)

    def _attach(self, row: CouponRow, subscription: SubscriptionRow) -> CouponRedemptionRow:
        """The limits, judged under the coupon's lock; whoever finds it used up need not wait for the lock."""
        spent = row.max_redemptions is not None and row.redemption_count >= row.max_redemptions
        counted = None if spent else self._coupons.count_redemption(row.id)
        if counted is None:
            raise CouponExhausted(row.code, row.max_redemptions)
        limit = counted.max_redemptions_per_customer
        if self._coupons.redeemed_by(counted.id, subscription.customer_id) >= limit:
            raise CouponLimitReached(counted.code, subscription.customer_id, limit)
        schedule = Schedule(
            subscription.start_date,
            subscription.billing_cycle,
            subscription.anchor_day,
            subscription.time_zone,
        )
        start, until = applies_during(
            coupon_of(counted, ()), schedule, max(self._tx.at, subscription.starts_at)
        )
        if self._coupons.acts_on(counted.id, subscription.id, start):
            raise CouponAlreadyAttached(counted.code, subscription.id)
        redemption = CouponRedemptionRow(
            tenant_id=self._tx.tenant_id,
            id=f"rdm_{secrets.token_hex(8)}",
            coupon_id=counted.id,
            customer_id=subscription.customer_id,
            subscription_id=subscription.id,
            code=counted.code,
            discount_type=counted.discount_type,
            discount_value=counted.discount_value,
            currency=counted.currency,
            applies_from=start,
            applies_until=until,
            redeemed_at=self._tx.at,
        )
        self._tx.session.add(redemption)
        self._tx.session.flush()
        attached = {"coupon": counted.code, "subscription": subscription.id}
        self._tx.record("COUPON_REDEEMED", "coupon", counted.id, differences({}, attached))
        return redemption

    def _subscription(self, customer_id: str, subscription_id: str) -> SubscriptionRow:
        session, tenant_id = self._tx.session, self._tx.tenant_id
        known_customer(self._tx, customer_id)
        found = session.get(SubscriptionRow, (tenant_id, subscription_id))
        if found is None or found.customer_id != customer_id:
            raise FieldProblem("subscriptionId", f"{subscription_id} is no subscription of {customer_id}")
        if found.status in TERMINAL:
            raise SubscriptionOver(subscription_id, found.status)
        return found

    def _currency(self, subscription: SubscriptionRow) -> str:
        """The currency of the plan version it pins."""
        query = select(RatePlanVersionRow.content["currency"].astext).where(
            RatePlanVersionRow.tenant_id == self._tx.tenant_id,
            RatePlanVersionRow.plan_id == subscription.plan_id,
            RatePlanVersionRow.version == subscription.plan_version,
        )
        return self._tx.session.execute(query).scalar_one()

    def _live(self, coupon_id: str, expect: Callable[[str, int], None]) -> CouponRow:
        row = self._coupons.get(coupon_id, lock=True)
        if row is None or row.archived_at is not None:
            raise CouponNotFound(coupon_id)
        expect(f"coupon {coupon_id}", row.revision)
        return row

    def _check_offerings(self, coupon: Coupon) -> None:
        unknown = self._coupons.unknown_offerings(coupon.applies_to)
        if unknown:
            raise FieldProblem("appliesTo", f"{unknown[0]} is no offering; write the code of one")


def as_sent(coupon: Coupon) -> dict[str, Any]:
    """The coupon as a body that `read_coupon` reads back to the same."""
    return {
        "code": coupon.code,
        "name": coupon.name,
        "description": coupon.description,
        "discountType": coupon.discount_type,
        "discountValue": coupon.discount_value,
        "currency": coupon.currency,
        "duration": coupon.duration,
        "durationInMonths": coupon.duration_in_months,
        "maxRedemptions": coupon.max_redemptions,
        "maxRedemptionsPerCustomer": coupon.max_redemptions_per_customer,
        "validFrom": coupon.valid_from.isoformat() if coupon.valid_from else None,
        "validUntil": coupon.valid_until.isoformat() if coupon.valid_until else None,
        "appliesTo": list(coupon.applies_to),
    }


def edit_problem(row: CouponRow, before: Coupon, after: Coupon) -> tuple[str, str] | None:
    """The field that may not change so, and why; None: all may."""
    old, new = as_sent(before), as_sent(after)
    for name in _DISCOUNT:
        if row.redemption_count and old[name] != new[name]:
            return name, f"coupon {row.code} was redeemed, so this stays; create another coupon instead"
    if after.max_redemptions is not None and after.max_redemptions < row.redemption_count:
        return "maxRedemptions", f"must be at least {row.redemption_count}: so often it was redeemed"
    return None


def _recorded(coupon: Coupon) -> dict[str, Any]:
    return {**as_sent(coupon), "discountValue": format(coupon.discount_value, "f")}
