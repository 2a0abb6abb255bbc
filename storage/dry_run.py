"""A month's bill without billing. Put here: terms, usage and wallets as they are now, through metering and the ten stages, in memory.
Keep out: judging the tables (assets/_dry_run.py), its report (storage/dry_run_report.py).

Nothing here writes anywhere: no invoice gets a number, no wallet moves, the ledger and the lake stay as they are.
"""

from __future__ import annotations

import polars as pl
from sqlalchemy.orm import Session

from domain.period import parse_month
from storage.earlier import earlier_allowances
from storage.lake import Lake
from storage.repositories.bonus_balances import frozen_bonus
from storage.repositories.terms import frozen_terms
from storage.repositories.wallet_billing import frozen_balances
from storage.scope import Scope
from transforms.frames import BILLING_TERMS, BONUS_BALANCES, WALLET_BALANCES
from transforms.s02_rollover import earlier_months
from transforms.work_out import work_out


def dry_run(session: Session, lake: Lake, scope: Scope) -> dict[str, pl.DataFrame]:
    """All tables of the scope's month from billing_terms to settlements, by name, as a bill at this moment would make them.

    A month that has not ended is billed up to now. Raises NotAMonth, and what metering and the stages raise.
    """
    assert scope.month is not None
    parse_month(scope.month)
    who = {"tenants": scope.tenant_list, "customers": scope.customer_list}
    terms = BILLING_TERMS.of_rows(frozen_terms(session, month=scope.month, **who))
    wallets = pl.DataFrame(frozen_balances(session, month=scope.month, **who), schema=WALLET_BALANCES.schema)
    bonus = pl.DataFrame(frozen_bonus(session, month=scope.month, **who), schema=BONUS_BALANCES.schema)
    made = work_out(
        validated_events=lake.scan("validated_events", Scope(None, scope.tenants, scope.customers)),
        terms=terms,
        month=scope.month,
        earlier_allowances=earlier_allowances(lake, scope, earlier_months(terms)),
        wallet_balances=wallets,
        bonus_balances=bonus,
    )
    frozen = {"billing_terms": terms, "wallet_balances": wallets, "bonus_balances": bonus}
    return frozen | {"metered_events": made.metered_events} | made.tables
