"""What a catalog file may say, as a JSON Schema for editors. Put here: the nouns and their fields. Keep out: prices (schema_of_plans.py),
deciding (the readers do: what the schema lets pass may still be refused).

A test holds it against the readers: each noun has exactly the fields its reader knows, enumerations are the readers' own.
"""

from __future__ import annotations

from domain.access import FilterCondition
from domain.catalog import offerings, products, units
from domain.catalog.customers import PLANS, TAX_STATUSES
from domain.catalog.keys import ENVIRONMENTS
from domain.catalog.schema_of_plans import rate_plan
from domain.catalog.schema_parts import (
    Schema,
    amount,
    anything,
    choice,
    day,
    flag,
    instant,
    items,
    key,
    keys,
    text,
    thing,
    whole,
    words,
)
from domain.coupon import CODE, FIXED_AMOUNT, FOREVER, MOST_REDEMPTIONS, ONCE, PERCENTAGE, REPEATING
from domain.money import EXPONENTS, ROUNDING_MODES
from domain.organization import COST_UNITS, RETENTION, THEME_MODES
from domain.people import ACCESSOR_STATUSES, AGENT_TYPES, BUDGET_PERIODS, RATE_LIMITS
from domain.period import MONTHS_IN_CYCLE
from domain.webhook_source import ALGORITHMS, DEFAULT_HEADER

_CURRENCY = choice("ISO 4217.", sorted(EXPONENTS))
_ZONE = text("A name of the IANA time zone database, such as Europe/Madrid.")
_NAME = text("What people see; default: the identifier.")
_ABOUT = text("A sentence about it.")
_METADATA = anything("Whatever you keep beside it.")
_COLOR = words("Such as '#1A2B3C'.", "#[0-9A-Fa-f]{6}")
_LINK = words("A link.", r"https?://\S+")
_COUNTRY = words("ISO 3166, two letters.", "[A-Za-z]{2}")
_ADDRESS = thing(
    "A postal address.",
    {name: text("A part of the address.") for name in ("line1", "line2", "city", "region", "postalCode")}
    | {"country": _COUNTRY},
    also={"state": "region", "countryCode": "country"},
)


def catalog_schema() -> Schema:
    """JSON Schema, draft 2020-12, of the whole file."""
    sections = {
        "billingEntities": items("Issuers besides the tenant's default one.", billing_entity()),
        "units": items("What is counted.", unit()),
        "products": items("What access is sold to.", product()),
        "ratePlans": items("Prices. Other terms than before are a new version.", rate_plan()),
        "offerings": items("What customers subscribe to.", offering()),
        "coupons": items("Codes that take something off.", coupon()),
        "customers": items("Who is billed.", customer()),
        "teams": items("People of a customer.", team()),
        "apps": items("Applications of a customer.", app()),
        "agents": items("Agents of a customer.", agent()),
        "subscriptions": items("Contracts; a running one keeps its plan version.", subscription()),
        "webhookSources": items("Senders of webhooks; their secrets are in no file.", webhook_source()),
        "keys": items("API keys, known by name; secrets are shown once, when issued.", api_key()),
        "taxRates": items("What jurisdictions take; a tenant without any bills without tax.", tax_rate()),
    }
    tenant_and_settings = {"tenant": tenant(), "organization": organization()}
    whole_file = thing("A catalog for `aforo apply`.", tenant_and_settings | sections, ["tenant"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Aforo catalog", **whole_file}


def tenant() -> Schema:
    """Of read_tenant."""
    fields = {
        "id": key("Who sells."),
        "name": _NAME,
        "currency": {**_CURRENCY, "default": "USD"},
        "timeZone": {**_ZONE, "default": "UTC"},
        "billingEntity": billing_entity(),
    }
    return thing(
        "Who sells; its currency and time zone are its customers' unless they say otherwise.", fields, ["id"]
    )


def organization() -> Schema:
    """Of read_settings."""
    profile = {"displayName": text("A name."), "legalName": text("A name."), "address": _ADDRESS}
    profile |= {"website": _LINK, "logoUrl": _LINK, "supportEmail": text("An e-mail address.")}
    days = {f"{name}Days": whole("Days it is kept.", *bounds) for name, bounds in RETENTION.items()}
    theme = {
        "mode": choice("Light or dark.", THEME_MODES),
        "primaryColor": _COLOR,
        "accentColor": _COLOR,
        "logoUrl": _LINK,
    }
    terms = {"paymentDueDays": whole("Days to pay.", 0, 365), "termsUrl": _LINK, "privacyUrl": _LINK}
    terms["invoiceNote"] = text("Stands on every invoice.")
    rate = {
        "provider": text("Such as openai."),
        "model": text("Default: all of its models."),
        "unit": choice("What is paid for.", COST_UNITS),
        "rate": amount("Per unit."),
        "currency": _CURRENCY,
    }
    fields = {
        "profile": thing("Who it is.", profile),
        "defaultCurrency": _CURRENCY,
        "timeZone": _ZONE,
        "billingAnchor": whole("Day of the month on which periods begin.", 1, 31),
        "aiProviderRates": items(
            "What usage costs the tenant.", thing("A cost.", rate, ["provider", "unit", "rate"])
        ),
        "retentionPolicies": thing("How long things are kept.", days),
        "theme": thing("How pages look.", theme),
        "terms": thing("What customers agree to.", terms),
    }
    return thing("Settings of the tenant.", fields, also={"cogsRates": "aiProviderRates"})


def billing_entity() -> Schema:
    """Of read_entity."""
    branding = {"logoUrl": _LINK, "primaryColor": _COLOR, "footer": text("The small print.")}
    fields = {
        "code": key("Never changes."),
        "displayName": _NAME,
        "legalName": text("As registered."),
        "baseCurrency": _CURRENCY,
        "reportingCurrency": _CURRENCY,
        "timeZone": _ZONE,
        "invoicePrefix": text("What its invoice numbers begin with."),
        "invoiceNumberFormat": text("Such as {prefix}-{year}-{seq:0000}."),
        "roundingMode": choice("How lines are rounded.", list(ROUNDING_MODES), "HALF_EVEN"),
        "taxRegistration": text("Such as a VAT number."),
        "registeredIn": keys("Where it collects tax, such as DE or US-CA; none: everywhere."),
        "address": _ADDRESS,
        "branding": thing("How its invoices look.", branding),
    }
    also = {
        "entityCode": "code",
        "name": "displayName",
        "rounding": "roundingMode",
        "billingTimezone": "timeZone",
    }
    return thing("A legal entity that issues invoices.", fields, ["code"], also)


def unit() -> Schema:
    """Of read_unit."""
    value = {
        "type": ["string", "number", "boolean", "array"],
        "description": "To compare with; a list for IN.",
    }
    condition = {
        "field": text("Of the event."),
        "operator": choice("How to compare.", units.OPERATORS),
        "value": value,
    }
    assert set(condition) == set(FilterCondition.__slots__)
    fields = {
        "key": key("Stable; events may carry it."),
        "name": text("Shown; events may carry it too."),
        "aggregation": choice("How events make a number.", (*units.AGGREGATIONS, *units.ALIASES)),
        "unitLabel": text("Such as token."),
        "eventField": text("The field that is counted; default: quantity."),
        "filterConditions": items("All must hold.", thing("A condition.", condition, list(condition))),
        "allowNegative": flag("Whether corrections may be negative."),
        "productTypes": items("Types it is meant for; none: any.", choice("A type.", products.TYPES)),
        "description": _ABOUT,
        "category": text("To sort by."),
        "required": flag("Whether products of these types should have it."),
        "status": choice("Archived ones count no more.", units.STATUSES, "ACTIVE"),
    }
    also = {"aggregationType": "aggregation", "filters": "filterConditions"}
    return thing("A billable unit.", fields, ["key", "aggregation"], also)


def product() -> Schema:
    """Of read_product."""
    needs = "; ".join(f"{kind} needs {', '.join(names)}" for kind, names in products.REQUIRED_DETAILS.items())
    fields = {
        "key": key("Never changes."),
        "name": _NAME,
        "type": choice("What it is.", products.TYPES),
        "description": _ABOUT,
        "units": keys("The units that meter it."),
        "metadata": anything(f"Its details; {needs}."),
        "audience": text("For whom."),
        "maturityStage": text("Such as beta."),
        "status": choice("Whether it is on offer.", products.STATUSES, "ACTIVE"),
    }
    return thing("A product.", fields, ["key", "type"], {"productType": "type", "metricIds": "units"})


def offering() -> Schema:
    """Of read_offering."""
    escrow = {
        "lowBalanceThreshold": amount("Below it an alert."),
        "behavior": choice("At zero.", offerings.ESCROW_BEHAVIORS, "BLOCK"),
    }
    fields = {
        "code": key("Never changes."),
        "name": _NAME,
        "description": _ABOUT,
        "ratePlan": key("What it costs; of a BUNDLE the first one."),
        "ratePlanIds": keys("All rate plans of a BUNDLE."),
        "type": choice("What it is.", offerings.TYPES, "STANDALONE"),
        "status": choice("Whether it takes subscriptions.", offerings.STATUSES, "ACTIVE"),
        "currency": _CURRENCY,
        "billingMode": choice("When it is paid for.", offerings.BILLING_MODES, "POSTPAID"),
        "trialDays": whole("Days free of charge.", 0, 730),
        "escrowConfig": thing(
            "What happens when a balance runs low.", escrow, also={"behaviour": "behavior"}
        ),
        "fxStrategy": choice("Which exchange rate holds.", offerings.FX_STRATEGIES, "LOCK_AT_SUBSCRIPTION"),
        "entitlements": items("What it lets customers do.", feature()),
    }
    also = dict.fromkeys(("primaryRatePlan", "primaryRatePlanId"), "ratePlan")
    also |= {"key": "code", "ratePlans": "ratePlanIds", "escrow": "escrowConfig", "features": "entitlements"}
    return thing("A package over rate plans.", fields, ["code", "ratePlan"], also)


def feature() -> Schema:
    """Of one entitlement."""
    fields = {
        "feature": key("What canAccess is asked for."),
        "type": choice("Follows from the other fields.", offerings.FEATURE_TYPES),
        "enabled": flag("Whether it is granted.", True),
        "value": text("Of a STATIC feature."),
        "unit": key("What a METERED feature counts."),
        "limit": amount("In a billing period; none: unlimited."),
        "hard": flag("Whether the limit refuses.", True),
        "limitType": choice("The same as hard.", ("HARD", "SOFT")),
        "reset": choice("When the limit starts anew.", ("BILLING_PERIOD",), "BILLING_PERIOD"),
    }
    also = {"key": "feature", "featureKey": "feature", "metricId": "unit", "quota": "limit"}
    return thing("An entitlement.", fields, ["feature"], also)


def coupon() -> Schema:
    """Of read_coupon."""
    fields = {
        "code": words("What customers type.", CODE.pattern),
        "name": text("What people see."),
        "description": _ABOUT,
        "discountType": choice("What it takes off.", (PERCENTAGE, FIXED_AMOUNT)),
        "discountValue": amount("A fraction (0.10 is 10 %), or an amount of the currency."),
        "currency": _CURRENCY,
        "duration": choice("For how long.", (ONCE, REPEATING, FOREVER)),
        "durationInMonths": whole("Of REPEATING.", 1, 60),
        "maxRedemptions": whole("In all.", 1, MOST_REDEMPTIONS),
        "maxRedemptionsPerCustomer": whole("Of one customer.", 1, MOST_REDEMPTIONS),
        "validFrom": instant("Not before."),
        "validUntil": instant("The first instant without it."),
        "appliesTo": keys("Offerings; none: all."),
    }
    return thing("A coupon.", fields, ["code", "name", "discountType", "discountValue", "duration"])


def customer() -> Schema:
    """Of read_customer."""
    tax = {
        "status": choice("How it is taxed.", TAX_STATUSES, "STANDARD"),
        "taxId": text("Such as a VAT number."),
    }
    taxed = thing("How it is taxed.", tax | {"country": _COUNTRY}, also={"type": "status"})
    fields = {
        "id": key("What events carry."),
        "name": _NAME,
        "email": text("An e-mail address."),
        "plan": choice("Its tier.", PLANS, "STANDARD"),
        "currency": _CURRENCY,
        "timeZone": _ZONE,
        "externalId": text("What your own systems call it."),
        "taxStatus": {"anyOf": [taxed, {"enum": list(TAX_STATUSES)}]},
        "address": _ADDRESS,
        "billingEntity": key("Who bills it; default: the tenant's default issuer."),
        "metadata": _METADATA,
    }
    also = {"defaultCurrency": "currency", "billingEntityId": "billingEntity"}
    return thing("A customer.", fields, ["id"], also)


def team() -> Schema:
    """Of read_team."""
    budget = {
        "amount": amount("What it means to spend."),
        "currency": _CURRENCY,
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
    }
    also = {"customerId": "customer", "offeringId": "offering", "billingEntity": "billingEntityId"}
    return thing("A contract.", fields, ["id", "customer", "offering", "startDate"], also)


def webhook_source() -> Schema:
    """Of read_listed_source."""
    path = words("JSONPath.", r"\$.+")
    fields = {
        "id": key("Never changes."),
        "tenantId": key("The tenant of this file."),
        "name": text("What people see."),
        "description": _ABOUT,
        "signatureHeader": text("Where its signature stands.", default=DEFAULT_HEADER),
        "signatureAlgorithm": choice("How it signs.", ALGORITHMS, ALGORITHMS[0]),
        "customerIdPath": path,
        "metricKeyPath": path,
        "quantityPath": {**path, "description": "JSONPath; none counts each webhook as one."},
        "timestampPath": {**path, "description": "JSONPath; none is the time of receipt."},
    }
    return thing("A sender of webhooks.", fields, ["id", "name", "customerIdPath", "metricKeyPath"])


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


def tax_rate() -> Schema:
    """Of read_tax_rate."""
    fields = {
        "id": key("Never changes."),
        "name": text("What invoices call it."),
        "country": _COUNTRY,
        "region": text("Of a part of the country only."),
        "city": text("Of a city of the region only."),
        "taxCategory": text("Of things of this category only; none: of all that have no rate of their own."),
        "ratePercent": amount("19 is 19 %."),
        "rate": amount("The same as a fraction: 0.19."),
        "inclusive": flag("Whether prices contain the tax."),
        "validFrom": day("The first day."),
        "validUntil": day("The first day without it."),
    }
    also = {"state": "region", "countryCode": "country"}
    return thing("A tax rate.", fields, ["id", "name", "country", "validFrom"], also)


def _holder() -> dict[str, Schema]:
    return {
        "id": key("Never changes."),
        "name": text("Unique within the customer."),
        "customerId": key("Whose."),
        "teamId": key("Of which team."),
        "description": _ABOUT,
        "status": choice("The keys of suspended ones open nothing.", ACCESSOR_STATUSES, "ACTIVE"),
    }
