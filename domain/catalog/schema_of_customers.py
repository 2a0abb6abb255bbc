"""The JSON Schema of customers, their people, contracts and keys. Keep out: what is sold (schema.py)."""

from __future__ import annotations

from domain.catalog.customers import PLANS, TAX_STATUSES
from domain.catalog.keys import ENVIRONMENTS
from domain.catalog.schema_parts import (
    ABOUT,
    ADDRESS,
    COUNTRY,
    CURRENCY,
    METADATA,
    NAME,
    ZONE,
    Schema,
    amount,
    choice,
    day,
    flag,
    instant,
    items,
    key,
    text,
    thing,
    whole,
    words,
)
from domain.people import ACCESSOR_STATUSES, AGENT_TYPES, BUDGET_PERIODS, RATE_LIMITS
from domain.period import MONTHS_IN_CYCLE
from domain.usage_limits import BEHAVIORS
from domain.webhook_source import ALGORITHMS, DEFAULT_HEADER, PROVIDERS


def customer() -> Schema:
    """Of read_customer."""
    tax = {
        "status": choice("How it is taxed.", TAX_STATUSES, "STANDARD"),
        "taxId": text("Such as a VAT number."),
    }
    taxed = thing("How it is taxed.", tax | {"country": COUNTRY}, also={"type": "status"})
    fields = {
        "id": key("What events carry."),
        "name": NAME,
        "email": text("An e-mail address."),
        "plan": choice("Its tier.", PLANS, "STANDARD"),
        "currency": CURRENCY,
        "timeZone": ZONE,
        "externalId": text("What your own systems call it."),
        "taxStatus": {"anyOf": [taxed, {"enum": list(TAX_STATUSES)}]},
        "address": ADDRESS,
        "billingEntity": key("Who bills it; default: the tenant's default issuer."),
        "metadata": METADATA,
        "paymentDueDays": whole("Days to pay its invoices; default: the tenant's.", 0, 365),
    }
    also = {"defaultCurrency": "currency", "billingEntityId": "billingEntity"}
    return thing("A customer.", fields, ["id"], also)


def team() -> Schema:
    """Of read_team."""
    budget = {
        "amount": amount("What it means to spend."),
        "currency": CURRENCY,
        "period": choice("In which time.", BUDGET_PERIODS, "MONTHLY"),
    }
    fields = {
        "id": key("Never changes."),
        "name": text("Unique within the customer."),
        "customerId": key("Whose."),
        "budget": thing("It warns, and stops nothing.", budget, ["amount"]),
    }
    return thing("A team.", fields, ["id", "name", "customerId"], {"customer": "customerId"})


def app() -> Schema:
    """Of read_accessor, for apps."""
    also = {"customer": "customerId", "team": "teamId"}
    return thing("An app.", _holder(), ["id", "name", "customerId"], also)


def agent() -> Schema:
    """Of read_accessor, for agents."""
    limits = {name: whole("At most.", 1, 10**12) for name in RATE_LIMITS}
    fields = _holder() | {
        "agentType": choice("What drives it.", AGENT_TYPES, "CUSTOM"),
        "capabilities": items("What it can do.", text("A capability.")),
        "rateLimits": thing("How much it may ask for.", limits),
    }
    also = {"customer": "customerId", "team": "teamId"}
    return thing("An agent.", fields, ["id", "name", "customerId"], also)


def subscription() -> Schema:
    """Of read_subscription."""
    fields = {
        "id": key("Never changes."),
        "customer": key("Whose."),
        "offering": key("To what."),
        "startDate": day("The first day, in the customer's time zone."),
        "endDate": day("The first day without it."),
        "billingCycle": choice("How long a period is.", list(MONTHS_IN_CYCLE), "MONTHLY"),
        "billingAnchorDay": whole("Day of the month on which periods begin.", 1, 31),
        "startTrial": flag("Whether it begins with the offering's trial."),
        "trialEndsAt": instant("When its trial ends."),
        "autoConvertPaid": flag("Whether it is paid for after the trial; otherwise it pauses.", True),
        "billingEntityId": key("Who bills it."),
        "billingThreshold": amount("Accrued spend at which an interim invoice is cut."),
        "usageLimits": items("Limits on usage, in place of the plan's.", _usage_limit()),
        "spendLimit": spend_limit(),
    }
    also = {"customerId": "customer", "offeringId": "offering", "billingEntity": "billingEntityId"}
    return thing("A contract.", fields, ["id", "customer", "offering", "startDate"], also)


def _usage_limit() -> Schema:
    fields = {
        "unit": key("The unit."),
        "limit": amount("How much of it in a billing period."),
        "ovBehavior": choice("What becomes of usage beyond it.", list(BEHAVIORS), "BLOCK"),
    }
    return thing("A limit on usage.", fields, ["unit", "limit"], {"metricId": "unit", "metricName": "unit"})


def spend_limit() -> Schema:
    """Of read_spend_limit."""
    fields = {
        "amount": amount("What usage of all units may cost in a billing period, before discounts and tax."),
        "ovBehavior": choice("What becomes of usage beyond it.", list(BEHAVIORS), "BLOCK"),
    }
    return thing("A limit in money.", fields, ["amount"])


def webhook_source() -> Schema:
    """Of read_listed_source."""
    path = words("JSONPath.", r"\$.+")
    fields = {
        "id": key("Never changes."),
        "tenantId": key("The tenant of this file."),
        "name": text("What people see."),
        "description": ABOUT,
        "signatureHeader": text("Where its signature stands.", default=DEFAULT_HEADER),
        "signatureAlgorithm": choice("How it signs.", ALGORITHMS, ALGORITHMS[0]),
        "customerIdPath": path,
        "metricKeyPath": path,
        "quantityPath": {**path, "description": "JSONPath; none counts each webhook as one."},
        "timestampPath": {**path, "description": "JSONPath; none is the time of receipt."},
        "provider": choice("Whose way to sign.", PROVIDERS, PROVIDERS[0]),
        "metricKey": text("The unit, where it is always one; otherwise metricKeyPath finds it."),
        "eventFilter": text("The types let through, comma-separated; none: all."),
        "eventTypePath": {**path, "description": "JSONPath; none is where the provider has it."},
        "eventIdPath": {**path, "description": "JSONPath; none is where the provider has it."},
    }
    return thing("A sender of webhooks.", fields, ["id", "name", "customerIdPath"], {"metricId": "metricKey"})


def api_key() -> Schema:
    """Of read_key."""
    fields = {
        "name": text("It is known by it."),
        "customer": key("Whose; none: the whole tenant's."),
        "environment": choice("LIVE or TEST.", ENVIRONMENTS, "LIVE"),
        "scopes": items("What it opens; none: everything.", text("Such as meter or access.")),
        "ipRanges": items("From where; none: from anywhere.", text("CIDR.")),
        "expiresAt": instant("When it ends."),
    }
    return thing("An API key.", fields, ["name"], {"customerId": "customer"})


def _holder() -> dict[str, Schema]:
    return {
        "id": key("Never changes."),
        "name": text("Unique within the customer."),
        "customerId": key("Whose."),
        "teamId": key("Of which team."),
        "description": ABOUT,
        "status": choice("The keys of suspended ones open nothing.", ACCESSOR_STATUSES, "ACTIVE"),
    }
