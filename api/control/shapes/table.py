"""Which route answers with which shape. Put here: one entry per noun, and one per route that answers otherwise. Keep out: shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from api.control.shapes import billing, catalog, limits, money, people, taxes

Shape = type[BaseModel]

NOUNS: Mapping[str, Shape] = {
    "/api/v1/agents": people.Agent,
    "/api/v1/alerts": billing.Alert,
    "/api/v1/api-keys": people.ApiKey,
    "/api/v1/apps": people.App,
    "/api/v1/audit-log": people.AuditEntry,
    "/api/v1/bill-runs": money.BillRun,
    "/api/v1/billing-entities": people.BillingEntity,
    "/api/v1/coupons": catalog.Coupon,
    "/api/v1/credit-notes": billing.CreditNoteWithLines,
    "/api/v1/customers": people.Customer,
    "/api/v1/events": billing.EventAct,
    "/api/v1/internal/subscriptions": money.Subscription,
    "/api/v1/internal/tenants": people.Tenant,
    "/api/v1/fx-rates": taxes.FxRate,
    "/api/v1/invoices": money.Invoice,
    "/api/v1/killed-sessions": limits.KilledSession,
    "/api/v1/margin-levels": limits.MarginLevel,
    "/api/v1/metrics": catalog.Metric,
    "/api/v1/offerings": catalog.Offering,
    "/api/v1/operator-keys": people.OperatorKey,
    "/api/v1/organization-settings": people.OrganizationSettings,
    "/api/v1/payment-gateways": money.PaymentGateway,
    "/api/v1/payment-methods": money.PaymentMethod,
    "/api/v1/products": catalog.Product,
    "/api/v1/rate-plans": catalog.PlanRateLimit,
    "/api/v1/rateplans": catalog.RatePlan,
    "/api/v1/replays": billing.WholeFinding,
    "/api/v1/request-limits": limits.RequestLimits,
    "/api/v1/subscriptions": money.Subscription,
    "/api/v1/tax-rates": taxes.TaxRate,
    "/api/v1/teams": people.Team,
    "/api/v1/wallets": money.Wallet,
    "/api/v1/webhook-sources": people.WebhookSource,
    "/v1/wallets/holds": billing.Hold,
    "/internal/v1/subscriptions": money.Subscription,
}
"""Where paths begin, and what their routes answer with, one or a page of them."""

ROUTES: Mapping[str, Shape | type[list[Any]]] = {
    "get /api/v1/audit-log/verify": people.AuditVerdict,
    "get /api/v1/bill-runs/{run}/result": money.DryRun,
    "get /api/v1/coupons/{coupon_id}/redemptions": catalog.Redemption,
    "get /api/v1/credit-notes": billing.CreditNote,
    "get /api/v1/customers/{customer_id}/invoice-preview": billing.Preview,
    "get /api/v1/events/{key}": billing.EventStory,
    "get /api/v1/replays": billing.Finding,
    "get /api/v1/customers/{customer_id}/deletion-check": catalog.DeletionCheck,
    "get /api/v1/invoices/{reference}": money.InvoiceWithLines,
    "get /api/v1/metrics/export": list[catalog.ExportedMetric],
    "get /api/v1/metrics/templates/{product_type}": list[catalog.MetricTemplate],
    "get /api/v1/metrics/{metric_id}/deletion-check": catalog.DeletionCheck,
    "get /api/v1/payment-methods/by-customer/{customer_id}": list[money.PaymentMethod],
    "get /api/v1/products/{product_id}/deletion-check": catalog.DeletionCheck,
    "get /api/v1/products/{product_id}/metrics": catalog.Metric,
    "get /api/v1/rateplans/{plan_id}/diff": catalog.PlanDiff,
    "get /api/v1/rateplans/{plan_id}/versions": list[catalog.RatePlanVersion],
    "get /api/v1/rateplans/{plan_id}/versions/{version}": catalog.RatePlanVersion,
    "get /api/v1/subscriptions/{subscription}/phases": list[money.Phase],
    "get /api/v1/wallets/{wallet_id}/grants": billing.Grant,
    "get /api/v1/wallets/{wallet_id}/grants/{grant_id}": billing.Grant,
    "get /api/v1/wallets/{wallet_id}/summary": billing.WalletSummary,
    "get /api/v1/wallets/{wallet_id}/top-ups": billing.Refill,
    "get /api/v1/wallets/{wallet_id}/ledger": money.WalletTransaction,
    "patch /api/v1/rateplans/{plan_id}/versions/{version}": catalog.RatePlanVersion,
    "post /api/v1/api-keys": people.NewApiKey,
    "post /api/v1/api-keys/{key_id}/rotate": people.NewApiKey,
    "post /api/v1/coupons/redeem-for-customer": catalog.Redemption,
    "post /api/v1/invoices": money.InvoiceWithLines,
    "post /api/v1/invoices/{reference}/collect": money.InvoiceWithLines,
    "post /api/v1/invoices/{reference}/reissue": money.InvoiceWithLines,
    "post /api/v1/metrics/bulk": list[catalog.Metric],
    "post /api/v1/metrics/import": list[catalog.Metric],
    "post /api/v1/operator-keys": people.NewOperatorKey,
    "post /api/v1/operator-keys/{key}/rotate": people.NewOperatorKey,
    "post /api/v1/rateplans/{plan_id}/price": catalog.Calculation,
    "post /api/v1/rateplans/{plan_id}/versions": catalog.RatePlanVersion,
    "post /api/v1/rateplans/{plan_id}/versions/{version}/publish": catalog.RatePlanVersion,
    "post /api/v1/subscriptions/{subscription}/downgrade": money.ChangedSubscription,
    "post /api/v1/subscriptions/{subscription}/migrate-with-proration": money.MigratedSubscription,
    "post /api/v1/subscriptions/{subscription}/preview-change": money.ChangePreview,
    "post /api/v1/subscriptions/{subscription}/retry-payment": money.PaymentAttempt,
    "post /api/v1/subscriptions/{subscription}/upgrade": money.ChangedSubscription,
    "post /api/v1/wallets/{wallet_id}/grants": billing.Grant,
    "post /api/v1/wallets/{wallet_id}/grants/{grant_id}/revoke": billing.Grant,
    "post /api/v1/wallets/{wallet_id}/top-ups/{top_up_id}/confirm": billing.Refill,
    "post /api/v1/wallets/{wallet_id}/top-up": money.BookedTransaction,
    "post /api/v1/webhook-sources": people.NewWebhookSource,
    "post /internal/v1/auth/rotate-signing-key": people.SigningKeys,
    "post /internal/v1/billing-entities/provision-default": people.ProvisionedEntity,
    "post /internal/v1/subscriptions/{subscription}/dunning-update": money.PaymentAttempt,
    "post /v1/wallets/debit": money.BookedTransaction,
    "put /api/v1/rateplans/{plan_id}/versions/{version}": catalog.RatePlanVersion,
}
"""Routes that answer with something else than their noun."""


def shape_of(method: str, path: str) -> tuple[Shape, bool] | None:
    """The shape of the answer's data, and whether it is a list of them; None: nobody has said."""
    found = ROUTES.get(f"{method} {path}")
    if found is None:
        found = NOUNS.get(next((noun for noun in NOUNS if f"{path}/".startswith(f"{noun}/")), ""))
    if get_origin(found) is list:
        return get_args(found)[0], True
    return None if found is None else (found, False)  # type: ignore[return-value]  # what is left is no list
