"""Tax. Put here: what a tax engine is asked and answers, the engine that looks rates up in a table, and the tax rates come to.
Keep out: where rates are stored, frames, how a rate is written (domain.catalog.tax_rates)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

from domain.catalog.details import Address
from domain.money import round_fraction
from domain.quantity import plain

STANDARD, EXEMPT, REVERSE_CHARGE, NOT_REGISTERED = "STANDARD", "EXEMPT", "REVERSE_CHARGE", "NOT_REGISTERED"
NO_TAX_ANSWER = "NO_TAX_ANSWER"
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class TaxRate:
    """What a jurisdiction takes. rate: a fraction, 0.19 is 19 %. region, city None: all of the country, of the region.
    category None: everything that has no rate of its own there. In force on [valid_from, valid_until), local days.
    inclusive: prices contain the tax."""

    id: str
    name: str
    country: str
    rate: Decimal
    valid_from: date
    region: str | None = None
    city: str | None = None
    category: str | None = None
    inclusive: bool = False
    valid_until: date | None = None

    @property
    def jurisdiction(self) -> str:
        """Such as DE, US-CA or US-CA-Oakland."""
        return "-".join(part for part in (self.country, self.region, self.city) if part)


@dataclass(frozen=True, slots=True)
class TaxQuestion:
    """What is sold to whom, when and by whom. status: STANDARD, EXEMPT or REVERSE_CHARGE. place: where the customer is.
    registered_in: jurisdictions (DE, US-CA) whose tax the issuer collects; none named: all."""

    customer_id: str
    day: date
    status: str = STANDARD
    tax_id: str | None = None
    place: Address | None = None
    category: str | None = None
    registered_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaxAnswer:
    """How a line is taxed, as it is frozen into the terms. problem: why that is not known; it holds the customer."""

    treatment: str = STANDARD
    rates: tuple[TaxRate, ...] = ()
    problem: str | None = None
    category: str | None = None
    jurisdiction: str | None = None
    tax_id: str | None = None

    def as_text(self) -> str:
        """Canonical JSON."""
        said = {
            "treatment": self.treatment,
            "problem": self.problem,
            "category": self.category,
            "jurisdiction": self.jurisdiction,
            "taxId": self.tax_id,
            "rates": [_rate_said(rate) for rate in self.rates],
        }
        return json.dumps({name: each for name, each in said.items() if each}, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> TaxAnswer:
        """What `as_text` wrote."""
        said = json.loads(text)
        rates = tuple(_rate_of(each) for each in said.get("rates", ()))
        of = said.get
        return cls(said["treatment"], rates, of("problem"), of("category"), of("jurisdiction"), of("taxId"))


class TaxEngine(Protocol):
    """Knows how a sale is taxed. Asked while terms are frozen, never while money is worked out."""

    def answer(self, question: TaxQuestion) -> TaxAnswer | None:
        """None: nothing is taxed here, because nobody said how. An answer with a problem: it is not known."""
        ...


class TaxTable:
    """The engine built in: looks the tenant's own rates up. Without any rates nothing is taxed."""

    def __init__(self, rates: Iterable[TaxRate]) -> None:
        self._by_country: dict[str, list[TaxRate]] = {}
        for rate in sorted(rates, key=lambda each: (each.jurisdiction, each.name, each.id)):
            self._by_country.setdefault(rate.country, []).append(rate)

    def answer(self, question: TaxQuestion) -> TaxAnswer | None:
        """See TaxEngine."""
        if not self._by_country:
            return None
        category, place = question.category, question.place
        if question.status in (EXEMPT, REVERSE_CHARGE):
            where = place.country if place else None
            return TaxAnswer(question.status, (), None, category, where, question.tax_id)
        if place is None or place.country is None:
            return TaxAnswer(problem=_unknown(question, "its country is not known; set its address"))
        where = "-".join(part for part in (place.country, place.region) if part)
        if question.registered_in and not _registered(question.registered_in, place):
            return TaxAnswer(NOT_REGISTERED, (), None, category, where)
        found = self._in_force(question, place)
        if not found:
            what = f"no tax rate holds in {where} on {question.day} for {category or 'things of no category'}"
            return TaxAnswer(problem=_unknown(question, f"{what}; add one, 0 if nothing is taxed there"))
        return TaxAnswer(STANDARD, found, None, category, where)

    def _in_force(self, question: TaxQuestion, place: Address) -> tuple[TaxRate, ...]:
        """At each level (country, region, city) the category's own rates, or else those of everything."""
        on_day = [
            rate
            for rate in self._by_country.get(place.country or "", ())
            if _holds_in(rate, place)
            and rate.valid_from <= question.day
            and (rate.valid_until is None or question.day < rate.valid_until)
        ]
        found: list[TaxRate] = []
        for level in dict.fromkeys(rate.jurisdiction for rate in on_day):
            here = [rate for rate in on_day if rate.jurisdiction == level]
            own = [rate for rate in here if rate.category == question.category]
            found += own or [rate for rate in here if rate.category is None]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class LineTax:
    """One tax of a line. taxable: what it is on, without taxes that prices contain. rate None: no rate, as `treatment` says."""

    rate: TaxRate | None
    treatment: str
    taxable: Decimal
    tax: Decimal
    tax_id: str | None = None
    category: str | None = None
    jurisdiction: str | None = None


def line_taxes(
    amounts: Sequence[Decimal], answers: Sequence[TaxAnswer | None], *, exponent: int, rounding: str
) -> list[list[LineTax]]:
    """The taxes of each line of one invoice. amounts: rounded, after discounts, as the prices are written.

    A rate's tax is rounded once, on all it is levied on, and shared out over those lines by largest remainder, ties to the
    first line. Taxes that prices contain are taken out first: an amount is divided by 1 + the sum of its contained rates.
    """
    taxed: dict[tuple[int, str], Decimal] = {}
    contained = [sum((Fraction(r.rate) for r in _rates(answer, True)), Fraction(0)) for answer in answers]
    exact = [Fraction(amount) / (1 + share) for amount, share in zip(amounts, contained, strict=True)]
    _levy(taxed, exact, answers, True, exponent, rounding)
    inside = [_ZERO] * len(amounts)
    for (at, _), tax in taxed.items():
        inside[at] += tax
    net = [amount - tax for amount, tax in zip(amounts, inside, strict=True)]
    _levy(taxed, [Fraction(amount) for amount in net], answers, False, exponent, rounding)
    return [_of_line(answer, net[at], at, taxed) for at, answer in enumerate(answers)]


def share_signed(total: Decimal, weights: Sequence[Fraction], exponent: int) -> list[Decimal]:
    """`total` in shares as the weights stand to each other, in minor units; weights may be below 0, where credits are.

    Largest remainder, ties to the first. The shares add up to `total` exactly; all are 0 if the weights cancel out.
    """
    minor = Decimal(1).scaleb(-exponent)
    whole = sum(weights, Fraction(0))
    if not total or not whole:
        return [Decimal(0).quantize(minor) for _ in weights]
    exact = [Fraction(total / minor) * weight / whole for weight in weights]
    shares = [share.numerator // share.denominator for share in exact]
    left = int(total / minor) - sum(shares)
    lost_most_first = sorted(range(len(exact)), key=lambda at: (shares[at] - exact[at], at))
    for at in lost_most_first[:left]:
        shares[at] += 1
    return [share * minor for share in shares]


def _levy(
    taxed: dict[tuple[int, str], Decimal],
    bases: Sequence[Fraction],
    answers: Sequence[TaxAnswer | None],
    inclusive: bool,
    exponent: int,
    rounding: str,
) -> None:
    """Add the tax of each (line, rate) of the kind."""
    levied: dict[TaxRate, list[int]] = {}
    for at, answer in enumerate(answers):
        for rate in _rates(answer, inclusive):
            levied.setdefault(rate, []).append(at)
    for rate, on in levied.items():
        weights = [bases[at] for at in on]
        total = round_fraction(Fraction(rate.rate) * sum(weights, Fraction(0)), exponent, rounding)
        shares = share_signed(total, weights, exponent)
        taxed.update({(at, rate.id): share for at, share in zip(on, shares, strict=True)})


def _rates(answer: TaxAnswer | None, inclusive: bool) -> Iterable[TaxRate]:
    return (rate for rate in answer.rates if rate.inclusive == inclusive) if answer else ()


def _of_line(
    answer: TaxAnswer | None, net: Decimal, at: int, taxed: Mapping[tuple[int, str], Decimal]
) -> list[LineTax]:
    if answer is None or answer.problem:
        return []
    if not answer.rates:
        where = answer.jurisdiction
        return [LineTax(None, answer.treatment, net, _ZERO, answer.tax_id, answer.category, where)]
    return [
        LineTax(rate, answer.treatment, net, taxed[at, rate.id], None, answer.category, rate.jurisdiction)
        for rate in answer.rates
    ]


def _holds_in(rate: TaxRate, place: Address) -> bool:
    return (rate.region is None or _same(rate.region, place.region)) and (
        rate.city is None or _same(rate.city, place.city)
    )


def _registered(named: Iterable[str], place: Address) -> bool:
    """DE is registered for all of DE, US-CA for US-CA only."""
    here = {place.country, f"{place.country}-{place.region}".upper()}
    return any(each.upper() in here for each in named)


def _same(one: str, other: str | None) -> bool:
    return other is not None and one.casefold() == other.casefold()


def _unknown(question: TaxQuestion, why: str) -> str:
    return f"{NO_TAX_ANSWER}: how customer {question.customer_id} is taxed: {why}"


def _rate_said(rate: TaxRate) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": rate.id,
        "name": rate.name,
        "rate": plain(rate.rate),
        "country": rate.country,
    }
    said |= {"region": rate.region, "city": rate.city, "category": rate.category}
    said |= {"inclusive": rate.inclusive, "validFrom": rate.valid_from.isoformat()}
    return {name: each for name, each in said.items() if each}


def _rate_of(said: Mapping[str, Any]) -> TaxRate:
    of = said.get
    since = date.fromisoformat(said["validFrom"])
    return TaxRate(
        said["id"], said["name"], said["country"], Decimal(said["rate"]), since,
        of("region"), of("city"), of("category"), bool(of("inclusive")),
    )  # fmt: skip
