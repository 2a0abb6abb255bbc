"""Terms frozen for a month. Put here: which periods and items of a contract a month bills, row by row. Keep out: what single terms say
(terms_agreed), fees (terms_of_fees), prices by dimension (terms_by_dimension), storage, frames, charging."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from domain.commitment import Committed, commitment_lines, committed, whole_periods
from domain.money import currency_exponent, prorate
from domain.period import (
    Period,
    Schedule,
    billing_month,
    due_periods,
    month_bounds,
    periods_overlapping,
    zone,
)
from domain.spend_limit import SpendLimit
from domain.subscription import live_part
from domain.terms_agreed import fee_ahead, plan_columns, price_columns
from domain.terms_by_dimension import by_dimension
from domain.terms_of_fees import OF_BASE_FEES, fees_of_period
from domain.usage_limits import UsageLimit, limited

SETUP_FEE_ORDER, BASE_FEE_ORDER = -1, 0
_BEHIND = 10_000
"""Lines of a later stretch of a period stand behind those of an earlier one."""
_FREE_UNITS_PLACES, _PRICE_PLACES = 9, 12
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """A published plan version, ready to be billed. `items`: the columns that are the same for every contract, per line.
    commitments: the spend agreed beforehand, by plan (a bundle has several)."""

    plan: str
    version: int
    currency: str
    items: tuple[Mapping[str, Any], ...]
    units: tuple[str, ...]
    commitments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contract:
    """A subscription as billing needs it, for a stretch of time with one offering and plan version, paid for or on trial.

    earlier_ends: when the subscription's stretches before this one ended; a period may hold several.
    pieces: when the same agreement was in force, this stretch among them; none: in this stretch only.
    earlier_ends: when the subscription's stretches before this one ended; a period may hold several. opens: it is the first that
    is paid for, so that a setup fee is due.
    """

    tenant_id: str
    customer_id: str
    subscription_id: str
    schedule: Schedule
    starts_at: datetime
    ends_at: datetime | None
    offering: str
    billing_mode: str
    billing_entity: str
    rounding: str
    terms: PlanTerms
    earlier_ends: tuple[datetime, ...] = ()
    pieces: tuple[tuple[datetime, datetime | None], ...] = ()
    opens: bool = True
    escrow: str | None = None
    limits: tuple[UsageLimit, ...] = ()
    spend_limit: SpendLimit | None = None


def plan_terms(plan: str, version: int, content: Mapping[str, Any]) -> PlanTerms:
    """A version's content (see RatePlan.content) as rows-to-be: the base fee first, then units as in the plan."""
    shared = {
        "currency": content["currency"],
        "exponent": currency_exponent(content["currency"]),
        "plan": plan,
        "plan_version": version,
        "billing_timing": "ARREARS",
        "cap": None,
        "cap_behavior": None,
        "rollover": False,
        "minimum_spend": None,
        "maximum_spend": None,
        "coupons": [],
        "tax_code": None,
        "tax": None,
        "price_currency": None,
        "fx_rate": None,
        "commitment": None,
        "problem": None,
        **dict.fromkeys(_OF_SOME_LINES),
        **plan_columns(content),
        "fee_ahead": fee_ahead(content),
    }
    prices = [
        line
        for price in content["prices"]
        for line in by_dimension(
            {**shared, **_usage(price)}, price.get("dimensionPricing") or content.get("dimensionPricing")
        )
    ]
    items = [{**line, "line_order": at + 1} for at, line in enumerate(prices)]
    if content["baseFee"] is not None:
        timing = content.get("baseFeeTiming", "ARREARS")
        fee = _fee(content, "BASE_FEE", "base fee", content["baseFee"]) | {"billing_timing": timing}
        items.insert(0, {**shared, **fee, "line_order": BASE_FEE_ORDER})
    if content.get("setupFee") is not None:
        fee = _fee(content, "SETUP_FEE", "setup fee", content["setupFee"])
        items.insert(0, {**shared, **fee, "line_order": SETUP_FEE_ORDER})
    agreed = content.get("commitment")
    items += _commitment_items(shared, content, len(items)) if agreed else []
    units = tuple(price["unit"] for price in content["prices"])
    return PlanTerms(
        plan, version, content["currency"], tuple(items), units, {plan: agreed} if agreed else {}
    )


def free_terms(terms: PlanTerms) -> PlanTerms:
    """The terms on trial: the same lines, metered and visible, at a price of nothing."""
    items = (
        item
        for item in terms.items
        if item["kind"] not in ("SETUP_FEE", "COMMITMENT") and item["dimension_value"] is None
    )
    return replace(terms, items=tuple({**item, **_free(item)} for item in items), commitments={})


def unbillable_terms(terms: PlanTerms, what: str) -> PlanTerms:
    """The terms as part of an agreement that no stage honours yet: they hold their customer, with `what` as the reason."""
    return replace(terms, items=tuple({**item, "unsupported": what} for item in terms.items))


def _free(item: Mapping[str, Any]) -> dict[str, Any]:
    usage = item["kind"] == "USAGE"
    return {
        **{name: None for name in _PRICES if name in item},
        "description": f"{item['description']}, trial",
        "model": "PER_UNIT" if usage else "FEE",
        "rate": Decimal(0) if usage else None,
        "flat_amount": None if usage else Decimal(0),
        "included_free": Decimal(0),
        "rollover": False,
        "billing_timing": "ARREARS",
        "fee_ahead": None,
        "dimension_fields": None,
    }


def terms_of_month(contract: Contract, month: str) -> list[dict[str, Any]]:
    """Rows of BILLING_TERMS: the contract's periods that share time with the month's bill, one row per priced item.

    The bill reaches over the calendar month (UTC) and the periods due with it. Periods of other months are listed too, not
    due, so that an event is left to the month it is billed with. Quantities and prices are Decimals, instants aware UTC.
    """
    due = due_periods(contract.schedule, month)
    calendar = month_bounds(month)
    start = min([calendar.start, *(period.start for period in due)])
    end = max([calendar.end, *(period.end for period in due)])
    rows: list[dict[str, Any]] = []
    for period in periods_overlapping(contract.schedule, start, end):
        live = live_part(period, contract.starts_at, contract.ends_at)
        if live is not None:
            rows += _rows(contract, month, period, live, due=period in due)
    return rows


def line_id(tenant_id: str, subscription_id: str, period_start: datetime, item: str) -> str:
    """The id of a line: the same for the same item of the same period, however often it is billed."""
    said = "\0".join([tenant_id, subscription_id, period_start.isoformat(), item])
    return "ln_" + sha256(said.encode()).hexdigest()[:20]


def _rows(contract: Contract, month: str, period: Period, live: Period, *, due: bool) -> list[dict[str, Any]]:
    earlier = sum(end > period.start for end in contract.earlier_ends)
    of_period = {
        "month": month,
        "tenant_id": contract.tenant_id,
        "customer_id": contract.customer_id,
        "subscription_id": contract.subscription_id,
        "due": due,
        "period_start": period.start,
        "period_end": period.end,
        "active_start": live.start,
        "active_end": live.end,
        "rounding": contract.rounding,
        "billing_entity": contract.billing_entity,
        "billing_mode": contract.billing_mode,
        "offering": contract.offering,
        "escrow": contract.escrow,
        "spend_limit": contract.spend_limit and contract.spend_limit.hard,
    }
    rows = []
    plans = {item["plan"] for item in contract.terms.items}
    stands = {plan: _committed(contract, plan, period, live) for plan in plans}
    for item in _items(contract, period, live, stands, due=due):
        line: dict[str, Any] = {
            "line_id": _line_of(contract, period, item),
            "line_order": item["line_order"] + earlier * _BEHIND,
        }
        if item["dimension_fields"]:
            line["free_pool"] = _line_of(contract, period, {**item, "dimension_value": None})
        if contract.starts_at >= period.start:
            line["fee_ahead"] = None  # No bill came before.
        if earlier:
            line["description"] = f"{item['description']}, {_days(contract, live)}"
        rows.append(
            {
                **item,
                **of_period,
                **stands[item["plan"]],
                **line,
                **_before(contract, period, item),
                **_for_part(item, period, live),
            }
        )
    return rows


def _committed(contract: Contract, plan: str, period: Period, live: Period) -> dict[str, Any]:
    """How the commitment of one of the contract's plans stands, met by that plan's lines alone."""
    agreed = contract.terms.commitments.get(plan)
    if agreed is None:
        return {"commitment": None}
    if not whole_periods(agreed, contract.schedule):
        what = f"a commitment of {agreed['termMonths']} months in a {contract.schedule.cycle} billing cycle"
        return {"commitment": None, "unsupported": what}
    pieces = contract.pieces or ((contract.starts_at, contract.ends_at),)
    return {"commitment": committed(agreed, contract.schedule, period, live, pieces).as_text()}


def _has_line(model: str, stands: Mapping[str, Any], contract: Contract, period: Period) -> bool:
    """Whether the period has this line of the commitment. Where a pause splits the period, a monthly commitment has its lines in each
    stretch, for its part; one over a term is settled once, in the first."""
    if stands["commitment"] is None:
        return False
    agreed = Committed.from_text(stands["commitment"])
    split = any(
        start < contract.starts_at and (end or start) > period.start for start, end in contract.pieces
    )
    return agreed.asks_for(model) and (agreed.type == "MONTHLY" or not split)


def _items(
    contract: Contract, period: Period, live: Period, stands: Mapping[str, Mapping[str, Any]], *, due: bool
) -> Iterator[Mapping[str, Any]]:
    """The plan's items as they stand on the bill of a period; of another month's, only what usage needs to know."""
    for item in contract.terms.items:
        if item["kind"] == "USAGE":
            yield limited(item, contract.limits)
        elif item["kind"] == "COMMITMENT":
            if due and _has_line(item["model"], stands[item["plan"]], contract, period):
                yield item
        elif due:
            times = {"starts_at": contract.starts_at, "ends_at": contract.ends_at, "opens": contract.opens}
            lines = fees_of_period(item, contract.schedule, period, live, **times)  # type: ignore[arg-type]
            yield from ({**item, **line} for line in lines)
        elif item["kind"] == "BASE_FEE":
            yield item


def _line_of(contract: Contract, period: Period, item: Mapping[str, Any]) -> str:
    """The id of an item's line in a period. The first stretch of a period keeps the line's plain id, so that a change leaves what
    is billed before it alone."""
    name = _name_of(contract, item)
    if any(end > period.start for end in contract.earlier_ends):
        name = f"{name}@{contract.starts_at.isoformat()}"
    return line_id(contract.tenant_id, contract.subscription_id, period.start, name)


def _name_of(contract: Contract, item: Mapping[str, Any]) -> str:
    """What tells an item from the others of its contract."""
    name = item["kind"] if item["unit"] is None else f"{item['kind']}:{item['unit']}"
    if item["kind"] == "COMMITMENT":
        name = f"{name}:{item['model']}"
    if item["unit"] is None and item["plan"] != contract.terms.plan:
        name = f"{name}+{item['plan']}"
    if item["dimension_value"] is not None:
        name = f"{name}={item['dimension_value']}"
    return name


def fees_of_plan(contract: Contract, plan: str, starts: Iterable[datetime]) -> frozenset[str]:
    """The ids that lines of no unit may have which the plan, one of the contract's, bills for the periods that start then."""
    fees = [item for item in contract.terms.items if item["plan"] == plan and item["unit"] is None]
    named = {
        _name_of(contract, {**item, "kind": kind})
        for item in fees
        for kind in ({item["kind"], *OF_BASE_FEES} if item["kind"] == "BASE_FEE" else {item["kind"]})
    }
    later = [f"@{start.isoformat()}" for start, _ in contract.pieces]
    return frozenset(
        line_id(contract.tenant_id, contract.subscription_id, start, f"{name}{stretch}")
        for start in starts
        for name in named
        for stretch in ["", *later]
    )


def line_charged_ahead(contract: Contract, row: Mapping[str, Any]) -> str:
    """The id of the line that charged, with the bill of the period before, the fee that this FEE_CREDIT gives back."""
    before = contract.schedule.at(row["period_start"] - _MICROSECOND)
    return _line_of(contract, before, {**row, "kind": "ADVANCE_FEE"})


def _before(contract: Contract, period: Period, item: Mapping[str, Any]) -> dict[str, Any]:
    """Where the free units come from that carry over: the same contract's period before. A change lets them lapse."""
    if not item["rollover"] or contract.starts_at >= period.start:
        return {}
    before = contract.schedule.at(period.start - _MICROSECOND)
    return {
        "rolls_from_month": billing_month(period.start, contract.schedule.time_zone),
        "rolls_from_line": _line_of(contract, before, item),
    }


def _days(contract: Contract, live: Period) -> str:
    """Which days of the period a later stretch is, in the customer's time zone."""
    local = zone(contract.schedule.time_zone)
    first, last = (at.astimezone(local).date() for at in (live.start, live.end - _MICROSECOND))
    return f"{first} to {last}"


def _for_part(item: Mapping[str, Any], period: Period, live: Period) -> dict[str, Any]:
    """What differs where the contract is live for a part of the period: free units and the minimum fee are those of the
    part, by elapsed time; tiers begin anew. Fees are reduced where they are charged."""
    if live == period:
        return {}
    part, whole = live.end - live.start, period.end - period.start
    minimum, cap = item.get("min_fee"), item["cap"]
    return {
        "included_free": prorate(item["included_free"], part, whole, _FREE_UNITS_PLACES),
        "cap": None if cap is None else prorate(cap, part, whole, _FREE_UNITS_PLACES),
        **({} if minimum is None else {"min_fee": prorate(minimum, part, whole, _PRICE_PLACES)}),
    }


def _fee(content: Mapping[str, Any], kind: str, what: str, amount: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "description": f"{_plan_name(content['name'])}: {what}",
        "model": "FEE",
        "flat_amount": Decimal(amount),
        "included_free": Decimal(0),
        **dict.fromkeys(_USAGE_ONLY),
    }


def _commitment_items(
    shared: Mapping[str, Any], content: Mapping[str, Any], behind: int
) -> list[dict[str, Any]]:
    """A line for each thing a commitment may add or take; Commit says how much."""
    return [
        {
            **shared,
            **_fee(content, "COMMITMENT", says, "0"),
            "model": kind,
            "line_order": behind + 1 + place,
        }
        for place, (kind, says) in enumerate(commitment_lines(content["commitment"]))
    ]


def _plan_name(name: str) -> str:
    return name if name.lower().endswith("plan") else f"{name} plan"


_OF_SOME_LINES = (
    "rollover_cap", "rolls_from_month", "rolls_from_line", "dimension_fields", "dimension_value", "free_pool",
    "service_start", "service_end", "cap_carries",
)  # fmt: skip
_USAGE_ONLY = (
    "unit", "aggregation", "event_field", "filters", "rate", "block_size", "block_rate_basis", "min_fee",
    "per_event_fee", "per_event_min", "per_event_max", "tiers",
)  # fmt: skip


def _usage(price: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": "USAGE",
        "description": price["unitName"],
        "unit": price["unit"],
        **price_columns(price),
        "aggregation": price["aggregation"],
        "event_field": price["eventField"],
        "filters": json.dumps(price["filters"], sort_keys=True) if price["filters"] else None,
        "model": price["model"],
        "rate": _decimal(price["rate"]),
        "flat_amount": _decimal(price["flatAmount"]),
        "included_free": Decimal(price["includedFree"]),
        "block_size": _decimal(price["blockSize"]),
        "block_rate_basis": price["blockRateBasis"],
        "min_fee": _decimal(price["minFee"]),
        "per_event_fee": _decimal(price["perEventFee"]),
        "per_event_min": _decimal(price["perEventMin"]),
        "per_event_max": _decimal(price["perEventMax"]),
        "tiers": [
            {
                "up_to": _decimal(tier["upTo"]),
                "unit_price": Decimal(tier["unitPrice"]),
                "flat_fee": Decimal(tier["flatFee"]),
            }
            for tier in price["tiers"]
        ]
        or None,
    }


_PRICES = (
    "block_size", "block_rate_basis", "min_fee", "per_event_fee", "per_event_min", "per_event_max", "tiers", "cap",
    "cap_behavior", "minimum_spend", "maximum_spend", "unsupported", "rollover_cap",
)  # fmt: skip
"""What a trial is spared, besides rate and fee."""


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
