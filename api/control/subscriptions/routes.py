"""The routes of subscriptions. Put here: reading the request, shaping the answer. Keep out: rules."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from api.control.bodies import Body
from api.control.calls import Area, Call, Door, Page, PageQuery, managed_router
from api.control.subscriptions.bodies import (
    Cancellation,
    Migration,
    NewSubscription,
    OfferingChange,
    PaymentOutcome,
    Reason,
    Threshold,
    UsageLimits,
)
from api.control.subscriptions.shown import (
    shown,
    shown_attempt,
    shown_migration,
    shown_phases,
    shown_preview,
)
from domain.money import EXPONENTS, unpadded
from domain.plan_change import DOWNGRADE, UPGRADE
from storage.services.dunning import Dunning
from storage.services.plan_changes import PlanChanges
from storage.services.subscriptions import Rows, Subscriptions
from storage.services.wallets import WalletNotFound, Wallets
from storage.tenancy import Tx

TAG = "subscriptions"


def subscription_routes(door: Door) -> APIRouter:
    """/api/v1/subscriptions: agreeing, listing and reading them."""
    router = managed_router("/api/v1/subscriptions", TAG)
    reading = door.read(Area.SUBSCRIPTIONS)

    @router.post("", status_code=201)
    def create(
        body: NewSubscription, call: Annotated[Call, Depends(door.write(Area.SUBSCRIPTIONS))]
    ) -> Response:
        """Agree a subscription; it pins the plan version that is in force when it starts."""
        return call.write(lambda tx: shown(Subscriptions(tx).create(body.sent()), tx), status=201)

    @router.get("")
    def several(
        call: Annotated[Call, Depends(reading)],
        customerId: str | None = None,
        offeringId: str | None = None,
        status: str | None = None,
        billingCycle: str | None = None,
        planId: str | None = None,
    ) -> Response:
        """A page of subscriptions, the oldest first."""
        filters = {
            "customerId": customerId,
            "offeringId": offeringId,
            "status": status,
            "billingCycle": billingCycle,
            "planId": planId,
        }
        return call.listing(lambda tx, query: _page(Subscriptions(tx).listing(query, filters), tx))

    @router.get("/{subscription}")
    def one(subscription: str, call: Annotated[Call, Depends(reading)]) -> Response:
        """A subscription as it stands."""
        return call.read(lambda tx: shown(Subscriptions(tx).get(subscription), tx))

    @router.get("/{subscription}/phases")
    def phases(subscription: str, call: Annotated[Call, Depends(reading)]) -> Response:
        """Everything it went through: states, offerings and plan versions, with reason, actor and instant."""
        return call.read(lambda tx: shown_phases(Subscriptions(tx).phases(subscription)))

    _state_routes(router, door)
    _change_routes(router, door)
    return router


def _state_routes(router: APIRouter, door: Door) -> None:
    changing = door.write(Area.SUBSCRIPTIONS)

    @router.post("/{subscription}/cancel")
    def cancel(
        subscription: str, call: Annotated[Call, Depends(changing)], body: Cancellation | None = None
    ) -> Response:
        """End it now, its keys with it, or at the end of the period."""
        return call.write(lambda tx: shown(Subscriptions(tx).cancel(subscription, _sent(body)), tx))

    @router.put("/{subscription}/usage-limits")
    def limit_usage(
        subscription: str, body: UsageLimits, call: Annotated[Call, Depends(changing)]
    ) -> Response:
        """Replace its limits on usage; an empty list leaves the plan's."""
        return call.write(
            lambda tx: shown(Subscriptions(tx).limit_usage(subscription, body.sent(), call.expect), tx)
        )

    @router.post("/{subscription}/pause")
    def pause(
        subscription: str, call: Annotated[Call, Depends(changing)], body: Reason | None = None
    ) -> Response:
        """No rights and no charge until it is resumed."""
        return call.write(lambda tx: shown(Subscriptions(tx).pause(subscription, _reason(body)), tx))

    @router.post("/{subscription}/resume")
    def resume(
        subscription: str, call: Annotated[Call, Depends(changing)], body: Reason | None = None
    ) -> Response:
        """Go on after a pause, or call off a cancellation agreed for later."""
        return call.write(lambda tx: shown(Subscriptions(tx).resume(subscription, _reason(body)), tx))

    @router.post("/{subscription}/convert-trial")
    def convert_trial(
        subscription: str, call: Annotated[Call, Depends(changing)], body: Reason | None = None
    ) -> Response:
        """End the trial and bill from now on."""
        return call.write(lambda tx: shown(Subscriptions(tx).convert_trial(subscription, _reason(body)), tx))

    @router.put("/{subscription}/billing-threshold")
    def threshold(subscription: str, body: Threshold, call: Annotated[Call, Depends(changing)]) -> Response:
        """Say at which accrued spend an interim invoice is cut; null: never."""
        return call.write(
            lambda tx: shown(Subscriptions(tx).set_threshold(subscription, body.sent(), call.expect), tx)
        )

    @router.post("/{subscription}/retry-payment")
    def retry_payment(
        subscription: str, call: Annotated[Call, Depends(changing)], body: PaymentOutcome | None = None
    ) -> Response:
        """Try again to get paid; ACTIVE once nothing is unpaid, else it stays as it is and says so."""
        return call.write(lambda tx: shown_attempt(Dunning(tx).retry(subscription, _sent(body)), tx))


def _change_routes(router: APIRouter, door: Door) -> None:
    changing = door.write(Area.SUBSCRIPTIONS)

    @router.post("/{subscription}/upgrade")
    def upgrade(
        subscription: str, body: OfferingChange, call: Annotated[Call, Depends(changing)]
    ) -> Response:
        """Change to a dearer offering, in place."""
        return call.write(lambda tx: _changed(tx, subscription, body.sent(), UPGRADE))

    @router.post("/{subscription}/downgrade")
    def downgrade(
        subscription: str, body: OfferingChange, call: Annotated[Call, Depends(changing)]
    ) -> Response:
        """Change to a cheaper offering, in place."""
        return call.write(lambda tx: _changed(tx, subscription, body.sent(), DOWNGRADE))

    @router.post("/{subscription}/migrate-with-proration")
    def migrate(subscription: str, body: Migration, call: Annotated[Call, Depends(changing)]) -> Response:
        """Change to any offering at once, also while paused; not while the tenant is being billed."""

        def work(tx: Tx) -> dict[str, Any]:
            row, preview = PlanChanges(tx).migrate(subscription, body.sent())
            return shown_migration(row, preview, _wallet_balance(tx, row.customer_id, preview.currency), tx)

        return call.write(work)

    @router.post("/{subscription}/preview-change")
    def preview(
        subscription: str,
        body: OfferingChange,
        call: Annotated[Call, Depends(door.read(Area.SUBSCRIPTIONS))],
    ) -> Response:
        """What a change would come to: credit, charge, net and next renewal, in money and in one sentence."""
        return call.read(lambda tx: shown_preview(PlanChanges(tx).preview(subscription, body.sent())))


def subscription_upkeep_routes(door: Door) -> APIRouter:
    """/api/v1/internal/subscriptions: what tests and installers ask for."""
    router = managed_router("/api/v1/internal/subscriptions", TAG)

    @router.post("/{subscription}/expire")
    def expire(
        subscription: str,
        call: Annotated[Call, Depends(door.write(Area.SUBSCRIPTIONS))],
        body: Reason | None = None,
    ) -> Response:
        """End it as expired, now."""
        return call.write(lambda tx: shown(Subscriptions(tx).expire(subscription, _reason(body)), tx))

    return router


def dunning_routes(door: Door) -> APIRouter:
    """/internal/v1/subscriptions: what the dunning run reads and reports."""
    router = managed_router("/internal/v1/subscriptions", TAG)

    @router.get("/past-due")
    def past_due(call: Annotated[Call, Depends(door.read(Area.SUBSCRIPTIONS))]) -> Response:
        """Subscriptions whose payment failed, with the next attempt's instant."""
        return call.listing(lambda tx, query: _past_due(tx, query))

    @router.post("/{subscription}/dunning-update")
    def dunning_update(
        subscription: str,
        call: Annotated[Call, Depends(door.write(Area.SUBSCRIPTIONS))],
        body: PaymentOutcome | None = None,
    ) -> Response:
        """How an attempt went: the first failure makes it PAST_DUE, the third SUSPENDED, a success ACTIVE."""
        return call.write(lambda tx: shown_attempt(Dunning(tx).update(subscription, _sent(body)), tx))

    return router


def _page(found: Rows, tx: Tx) -> Page:
    rows, total, following = found
    return Page([shown(row, tx) for row in rows], total, following)


def _past_due(tx: Tx, query: PageQuery) -> Page:
    return _page(Dunning(tx).past_due(query), tx)


def _changed(tx: Tx, subscription: str, sent: dict[str, Any], direction: str) -> dict[str, Any]:
    row, preview = PlanChanges(tx).change(subscription, sent, direction)
    return {**shown(row, tx), "change": shown_preview(preview)}


def _wallet_balance(tx: Tx, customer: str, currency: str) -> Decimal | None:
    try:
        return unpadded(Wallets(tx).of_customer(customer, currency).balance, EXPONENTS[currency])
    except WalletNotFound:
        return None


def _sent(body: Body | None) -> dict[str, Any]:
    return {} if body is None else body.sent()


def _reason(body: Reason | None) -> str | None:
    return None if body is None else body.reason
