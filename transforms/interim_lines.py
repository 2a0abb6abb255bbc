"""What interim invoices billed already, as lines that give it back. Put here: their charge and their taxes. Keep out: which interim
invoices there are (storage.repositories.interim_bills), when one is cut."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from domain.quantity import plain
from transforms.frames import EXACT, QUANTITY, TIER_CHARGES

INTERIM = "INTERIM"
LINE_TYPE = "CREDIT"
IS_INTERIM = pl.col("kind") == INTERIM
_ORDER = 800_000
"""Behind the month's own lines, before adjustments."""
_NOT_ITS_OWN = (
    "aggregation", "event_field", "filters", "rate", "block_size", "block_rate_basis", "min_fee", "per_event_fee", "per_event_min",
    "per_event_max", "tiers", "cap", "cap_behavior", "cap_carries", "minimum_spend", "maximum_spend", "spend_limit", "fee_ahead", "unsupported", "unit",
    "commitment", "problem", "price_currency", "fx_rate", "rollover_cap", "rolls_from_month", "rolls_from_line",
    "dimension_fields", "dimension_value", "free_pool", "escrow", "tax_code", "service_start", "service_end",
)  # fmt: skip
"""What of the usage's term does not hold for what gives it back."""
_NUMBERS = ("rate", "taxable", "tax")
_SAME_TAX = ("rate_id", "name", "jurisdiction", "category", "treatment", "tax_id", "rate", "inclusive")


def interim_lines(terms: pl.DataFrame) -> pl.DataFrame:
    """The terms of INTERIM with their `charge` and what else Rate wants to know of a line."""
    nothing = pl.lit(None, dtype=QUANTITY)
    return terms.filter(IS_INTERIM).with_columns(
        charge=pl.col("flat_amount").cast(EXACT),
        line_type=pl.lit(LINE_TYPE),
        events=pl.lit(0),
        quantity=nothing,
        included=nothing,
        billable=nothing,
        tiers=pl.lit(None, dtype=TIER_CHARGES),
    )


def given_back(
    lines: Sequence[Mapping[str, Any]],
    template: Mapping[str, Any],
    ids: str,
    description: str,
    first: int = 0,
) -> list[dict[str, Any]]:
    """Rows of BILLING_TERMS that give back an interim invoice, one for each way its lines are taxed.

    lines: `line_id, amount, currency, taxes`. template: a due row of the usage it billed. ids: what the lines' ids begin with. first: how many rows the
    period's earlier interim invoices take before them.
    """
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for line in lines:
        alike.setdefault(tuple(_which(each) for each in line["taxes"] or ()), []).append(line)
    return [
        {
            **template,
            **dict.fromkeys(_NOT_ITS_OWN),
            "line_id": f"{ids}_{place}",
            "line_order": _ORDER + first + place,
            "due": True,
            "kind": INTERIM,
            "active_start": template["period_start"],
            "active_end": template["period_end"],
            "currency": group[0]["currency"],
            "billing_mode": "POSTPAID",
            "description": description,
            "model": "FEE",
            "flat_amount": -sum((each["amount"] for each in group), Decimal(0)),
            "included_free": Decimal(0),
            "billing_timing": "ARREARS",
            "rollover": False,
            "coupons": [],
            "tax": _taxes_given_back([tax for each in group for tax in each["taxes"] or ()]),
        }
        for place, group in enumerate(alike.values())
    ]


def _which(tax: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(tax[name] for name in _SAME_TAX)


def _taxes_given_back(taxes: Sequence[Mapping[str, Any]]) -> str | None:
    """What each tax came to, with the opposite sign, as JSON; None: nothing was taxed."""
    summed: dict[tuple[Any, ...], dict[str, Any]] = {}
    for tax in taxes:
        found = summed.setdefault(_which(tax), {**tax, "taxable": Decimal(0), "tax": Decimal(0)})
        for name in ("taxable", "tax"):
            found[name] -= tax[name]
    texts = [
        each | {name: None if each[name] is None else plain(each[name]) for name in _NUMBERS}
        for each in summed.values()
    ]
    return json.dumps(texts, sort_keys=True) if texts else None


def charged_taxes(terms: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """`month, line_id, tax, tax_included, taxes` of the INTERIM terms: the very taxes that were charged, given back."""
    given = terms.filter(IS_INTERIM & pl.col("tax").is_not_null()).select("month", "line_id", "tax")
    for month, line_id, text in given.iter_rows():
        taxes = [
            each | {name: None if each[name] is None else Decimal(each[name]) for name in _NUMBERS}
            for each in json.loads(text)
        ]
        yield {
            "month": month,
            "line_id": line_id,
            "tax": sum((each["tax"] for each in taxes), Decimal(0)),
            "tax_included": sum((each["tax"] for each in taxes if each["inclusive"]), Decimal(0)),
            "taxes": taxes,
            "problem_of_tax": None,
        }
