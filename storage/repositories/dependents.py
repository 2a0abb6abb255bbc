"""Who depends on a unit or a product. Put here: the plans, offerings and subscriptions that name one. Keep out: what follows
from it (domain.catalog.deletion).

A plan that names no products is taken to sell every product whose units it prices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from domain.catalog.deletion import SHOWN, Reason
from domain.subscription_states import TERMINAL
from storage.tables.catalog import OfferingRow, RatePlanRow, RatePlanVersionRow
from storage.tables.pricing import RatePlanDraftRow
from storage.tables.subscriptions import SubscriptionRow

Condition = ColumnElement[bool]
Content = InstrumentedAttribute[dict[str, Any]]
Sells = Callable[[Content], Condition]
"""Whether the content of a plan's version or draft sells what is asked about."""
_CONTENT = RatePlanVersionRow.content


class Dependents:
    """What depends on a tenant's catalog as of an instant."""

    def __init__(self, session: Session, tenant_id: str, at: datetime) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._at = at

    def is_priced(self, unit: str) -> bool:
        """Whether any version of any plan prices the unit."""
        return self._session.scalar(self._versions(_prices(unit)(_CONTENT)).limit(1)) is not None

    def of_unit(self, unit: str) -> list[Reason]:
        """Subscriptions that count it, and plans and offerings that name it."""
        return self._reasons(
            f"unit {unit!r}", _prices(unit), OfferingRow.entitlements.contains([{"unit": unit}])
        )

    def of_product(self, product: str, units: Collection[str]) -> list[Reason]:
        """Subscriptions to plans that sell it, such plans, and offerings of them."""

        def sold(content: Content) -> Condition:
            unnamed = func.coalesce(func.jsonb_array_length(content["products"]), 0) == 0
            priced = or_(false(), *(_prices(unit)(content) for unit in units))
            return or_(content.contains({"products": [product]}), and_(unnamed, priced))

        return self._reasons(f"product {product!r}", sold, None)

    def _reasons(self, what: str, sells: Sells, offering: Condition | None) -> list[Reason]:
        count, some = self._live_subscriptions(sells(_CONTENT), offering)
        plans = self._plans(sells)
        offerings = self._offerings(plans, offering)
        return [
            Reason(
                "ACTIVE_SUBSCRIPTIONS",
                f"{count} active subscription(s) stand on {what}; migrate or cancel them first",
                count,
                some,
                blocks=True,
            ),
            Reason(
                "RATE_PLANS",
                f"{len(plans)} rate plan(s) name {what} in their latest version or draft",
                len(plans),
                plans,
            ),
            Reason("OFFERINGS", f"{len(offerings)} offering(s) sell {what}", len(offerings), offerings),
        ]

    def _live_subscriptions(
        self, version: Condition, offering: Condition | None
    ) -> tuple[int, tuple[str, ...]]:
        """How many subscriptions have not ended and pin such a version, or an offering like that, or are to do so soon; the
        first few of them."""
        selling = select(RatePlanVersionRow.plan_id, RatePlanVersionRow.version).where(
            self._of(RatePlanVersionRow), version
        )
        row = SubscriptionRow
        pins = (tuple_(row.plan_id, row.plan_version), tuple_(row.change_plan_id, row.change_plan_version))
        stands = or_(*(pin.in_(selling) for pin in pins))
        if offering is not None:
            granting = select(OfferingRow.id).where(self._of(OfferingRow), offering)
            stands = or_(stands, row.offering_id.in_(granting), row.change_offering_id.in_(granting))
        query = select(SubscriptionRow.id).where(
            self._of(SubscriptionRow),
            SubscriptionRow.status.not_in(TERMINAL),
            or_(SubscriptionRow.ends_at.is_(None), SubscriptionRow.ends_at > self._at),
            stands,
        )
        some = tuple(self._session.scalars(query.order_by(SubscriptionRow.id).limit(SHOWN)))
        if len(some) < SHOWN:
            return len(some), some
        return self._session.scalar(select(func.count()).select_from(query.subquery())) or 0, some

    def _plans(self, sells: Sells) -> tuple[str, ...]:
        """The plans, archived ones aside, whose latest version or draft is like that."""
        latest = (
            select(RatePlanVersionRow.plan_id, func.max(RatePlanVersionRow.version))
            .where(self._of(RatePlanVersionRow))
            .group_by(RatePlanVersionRow.plan_id)
        )
        pair = tuple_(RatePlanVersionRow.plan_id, RatePlanVersionRow.version)
        published = self._versions(and_(sells(_CONTENT), pair.in_(latest)))
        drafted = select(RatePlanDraftRow.plan_id).where(
            self._of(RatePlanDraftRow), sells(RatePlanDraftRow.content)
        )
        query = select(RatePlanRow.id).where(
            self._of(RatePlanRow),
            RatePlanRow.archived_at.is_(None),
            or_(RatePlanRow.id.in_(published), RatePlanRow.id.in_(drafted)),
        )
        return tuple(self._session.scalars(query.order_by(RatePlanRow.id)))

    def _offerings(self, plans: Collection[str], offering: Condition | None) -> tuple[str, ...]:
        """Offerings still on offer of these plans, or like that."""
        further = (OfferingRow.further_plans.contains([plan]) for plan in plans)
        wanted = or_(OfferingRow.plan_id.in_(plans), *further, false() if offering is None else offering)
        query = select(OfferingRow.id).where(self._of(OfferingRow), OfferingRow.status != "ARCHIVED", wanted)
        return tuple(self._session.scalars(query.order_by(OfferingRow.id)))

    def _versions(self, condition: Condition) -> Select[str]:
        return select(RatePlanVersionRow.plan_id).where(self._of(RatePlanVersionRow), condition)

    def _of(self, table: Any) -> Condition:
        mine: Condition = table.tenant_id == self._tenant_id
        return mine


def _prices(unit: str) -> Sells:
    return lambda content: content.contains({"prices": [{"unit": unit}]})
