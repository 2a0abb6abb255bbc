"""What a catalog file may say, as a JSON Schema for editors. Put here: the nouns and their fields. Keep out: prices
(schema_of_plans.py), customers (schema_of_customers.py), deciding (the readers do: what the schema lets pass may still be refused).

A test holds it against the readers: each noun has exactly the fields its reader knows, enumerations are the readers' own.
"""

from __future__ import annotations

from domain.access import FilterCondition
from domain.catalog import offerings, products, units
from domain.catalog.schema_of_customers import (
    agent,
    api_key,
    app,
    customer,
    subscription,
    team,
    webhook_source,
)
from domain.catalog.schema_of_plans import rate_plan
from domain.catalog.schema_parts import (
    ABOUT,
    ADDRESS,
    COLOR,
    COUNTRY,
    CURRENCY,
    DEFINITIONS,
    LINK,
    NAME,
    ZONE,
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
from domain.money import ROUNDING_MODES
from domain.organization import COST_UNITS, CREDITS, RETENTION, THEME_MODES


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
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Aforo catalog",
        **whole_file,
        "$defs": DEFINITIONS,
    }


def tenant() -> Schema:
    """Of read_tenant."""
    fields = {
        "id": key("Who sells."),
        "name": NAME,
        "currency": {**CURRENCY, "default": "USD"},
        "timeZone": {**ZONE, "default": "UTC"},
        "billingEntity": billing_entity(),
    }
    return thing(
        "Who sells; its currency and time zone are its customers' unless they say otherwise.", fields, ["id"]
    )


def organization() -> Schema:
    """Of read_settings."""
    profile = {"displayName": text("A name."), "legalName": text("A name."), "address": ADDRESS}
    profile |= {"website": LINK, "logoUrl": LINK, "supportEmail": text("An e-mail address.")}
    days = {f"{name}Days": whole("Days it is kept.", *bounds) for name, bounds in RETENTION.items()}
    theme = {
        "mode": choice("Light or dark.", THEME_MODES),
        "primaryColor": COLOR,
        "accentColor": COLOR,
        "logoUrl": LINK,
    }
    terms = {"paymentDueDays": whole("Days to pay.", 0, 365), "termsUrl": LINK, "privacyUrl": LINK}
    terms["invoiceGraceDays"] = whole(
        "Days a draft waits for late events before it is issued; default 3.", 0, 60
    )
    terms["autoFinalize"] = {
        "type": "boolean",
        "description": "Issue drafts by themselves after that; default true.",
    }
    terms["invoiceNote"] = text("Stands on every invoice.")
    rate = {
        "provider": text("Such as openai."),
        "model": text("Default: all of its models."),
        "unit": choice("What is paid for.", COST_UNITS),
        "rate": amount("Per unit."),
        "currency": CURRENCY,
    }
    fields = {
        "profile": thing("Who it is.", profile),
        "defaultCurrency": CURRENCY,
        "timeZone": ZONE,
        "billingAnchor": whole("Day of the month on which periods begin.", 1, 31),
        "aiProviderRates": items(
            "What usage costs the tenant.", thing("A cost.", rate, ["provider", "unit", "rate"])
        ),
        "retentionPolicies": thing("How long things are kept.", days),
        "theme": thing("How pages look.", theme),
        "terms": thing("What customers agree to.", terms),
    }
    posted = flag("Post by themselves the differences a billing run finds to issued invoices.")
    kept = choice("Where a credit goes that the next invoice has no room for.", CREDITS, CREDITS[0])
    fields["corrections"] = thing("Of bills already issued.", {"autoApprove": posted, "credits": kept})
    return thing("Settings of the tenant.", fields, also={"cogsRates": "aiProviderRates"})


def billing_entity() -> Schema:
    """Of read_entity."""
    branding = {"logoUrl": LINK, "primaryColor": COLOR, "footer": text("The small print.")}
    fields = {
        "code": key("Never changes."),
        "displayName": NAME,
        "legalName": text("As registered."),
        "baseCurrency": CURRENCY,
        "reportingCurrency": CURRENCY,
        "timeZone": ZONE,
        "invoicePrefix": text("What its invoice numbers begin with."),
        "invoiceNumberFormat": text("Such as {prefix}-{year}-{seq:0000}."),
        "roundingMode": choice("How lines are rounded.", list(ROUNDING_MODES), "HALF_EVEN"),
        "taxRegistration": text("Such as a VAT number."),
        "registeredIn": keys("Where it collects tax, such as DE or US-CA; none: everywhere."),
        "address": ADDRESS,
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
        "description": ABOUT,
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
        "name": NAME,
        "type": choice("What it is.", products.TYPES),
        "description": ABOUT,
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
        "name": NAME,
        "description": ABOUT,
        "ratePlan": key("What it costs; of a BUNDLE the first one."),
        "ratePlanIds": keys("All rate plans of a BUNDLE."),
        "type": choice("What it is.", offerings.TYPES, "STANDALONE"),
        "status": choice("Whether it takes subscriptions.", offerings.STATUSES, "ACTIVE"),
        "currency": CURRENCY,
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
        "description": ABOUT,
        "discountType": choice("What it takes off.", (PERCENTAGE, FIXED_AMOUNT)),
        "discountValue": amount("A fraction (0.10 is 10 %), or an amount of the currency."),
        "currency": CURRENCY,
        "duration": choice("For how long.", (ONCE, REPEATING, FOREVER)),
        "durationInMonths": whole("Of REPEATING.", 1, 60),
        "maxRedemptions": whole("In all.", 1, MOST_REDEMPTIONS),
        "maxRedemptionsPerCustomer": whole("Of one customer.", 1, MOST_REDEMPTIONS),
        "validFrom": instant("Not before."),
        "validUntil": instant("The first instant without it."),
        "appliesTo": keys("Offerings; none: all."),
    }
    return thing("A coupon.", fields, ["code", "name", "discountType", "discountValue", "duration"])


def tax_rate() -> Schema:
    """Of read_tax_rate."""
    fields = {
        "id": key("Never changes."),
        "name": text("What invoices call it."),
        "country": COUNTRY,
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
