"""Subscriptions as answers. Put here: which fields an answer has. Keep out: routes, rules."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from api.control.answers import camel
from domain.dunning import next_attempt_at
from domain.money import unpadded
from domain.plan_change import Preview
from storage.services.dunning import Attempt
from storage.services.subscriptions import has_ended, schedule_of
from storage.tables.subscriptions import SubscriptionPhaseRow, SubscriptionRow
from storage.tenancy import Tx


def shown(row: SubscriptionRow, tx: Tx) -> dict[str, Any]:
    """The subscription. currentPeriodStart and -End: of the billing period that holds the present; null once it has ended."""
    period = None if has_ended(row, tx.at) else schedule_of(row).at(max(tx.at, row.starts_at))
    return camel(
        {
            "id": row.id,
            "customer_id": row.customer_id,
            "offering_id": row.offering_id,
            "status": row.status,
            "billing_cycle": row.billing_cycle,
            "billing_anchor_day": row.anchor_day,
            "billing_entity_id": row.billing_entity_id,
            "rate_plan_id": row.plan_id,
            "plan_version": row.plan_version,
            "plan_version_id": f"{row.plan_id}:{row.plan_version}",
            "start_date": row.start_date,
            "end_date": row.end_date,
            "starts_at": row.starts_at,
            "ends_at": row.ends_at,
            "time_zone": row.time_zone,
            "trial_ends_at": row.trial_ends_at,
            "auto_convert_paid": row.auto_convert,
            "billing_threshold": None if row.billing_threshold is None else unpadded(row.billing_threshold),
            "current_period_start": period and period.start,
            "current_period_end": period and period.end,
            "usage_limits": row.usage_limits,
            "spend_limit": row.spend_limit,
            "cancel_at": row.cancel_at,
            "cancel_reason": row.cancel_reason,
            "scheduled_change": _scheduled(row),
            "dunning_attempt": row.dunning_attempt,
            "next_payment_attempt_at": next_attempt_at(row.payment_failed_at, row.dunning_attempt),
            "revision": row.revision,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


def shown_phase(row: SubscriptionPhaseRow, ends_at: Any) -> dict[str, Any]:
    """One phase; endsAt null: it is the present one."""
    return camel(
        {
            "number": row.number,
            "state": row.state,
            "offering_id": row.offering_id,
            "rate_plan_id": row.plan_id,
            "plan_version": row.plan_version,
            "reason": row.reason,
            "actor": row.actor,
            "starts_at": row.starts_at,
            "ends_at": ends_at,
            "recorded_at": row.recorded_at,
        }
    )


def shown_phases(rows: list[SubscriptionPhaseRow]) -> list[dict[str, Any]]:
    """All of one subscription, in order."""
    ends = [*(row.starts_at for row in rows[1:]), None]
    return [shown_phase(row, end) for row, end in zip(rows, ends, strict=True)]


def shown_preview(preview: Preview) -> dict[str, Any]:
    """Money as exact decimals, and in minor units (cents)."""
    amounts = {
        "credit": preview.credit,
        "charge": preview.charge,
        "net_due_today": preview.net,
        "next_renewal_amount": preview.renewal_amount,
    }
    cents = {f"{name}_cents": preview.minor(amount) for name, amount in amounts.items()}
    return camel(
        {
            "change_type": preview.change_type,
            "currency": preview.currency,
            **amounts,
            **cents,
            "effective_at": preview.effective_at,
            "next_renewal_date": preview.renewal_date,
            "summary": preview.summary,
        }
    )


def shown_migration(
    row: SubscriptionRow, preview: Preview, balance: Decimal | None, tx: Tx
) -> dict[str, Any]:
    """calendarRefund: what the old fee's unused part exceeds the new fee's remaining part by, at least 0. balance: in the customer's wallet, null without one. The bill of the
    period says the same in two lines; fees and usage are billed in arrears, so nothing else was paid ahead."""
    refund = max(-preview.net, preview.net * 0)
    return {
        "sourceSubscriptionId": row.id,
        "targetSubscriptionId": row.id,
        "calendarRefundUsd": format(refund, "f") if preview.currency == "USD" else None,
        "calendarRefund": camel({"amount": refund, "currency": preview.currency}),
        "walletRefund": camel({"wallet_balance": balance}),
        "usageRefunds": [],
        "preview": shown_preview(preview),
        **shown(row, tx),
    }


def shown_attempt(attempt: Attempt, tx: Tx) -> dict[str, Any]:
    """The subscription, and how the payment attempt went."""
    return {**shown(attempt.row, tx), "outcome": attempt.outcome, "message": attempt.message}


def _scheduled(row: SubscriptionRow) -> dict[str, Any] | None:
    if row.change_at is None:
        return None
    return {"offering_id": row.change_offering_id, "at": row.change_at, "reason": row.change_reason}
