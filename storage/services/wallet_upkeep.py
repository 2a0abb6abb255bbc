"""What happens to wallets by itself. Put here: booking it when its time has come. Keep out: what that is (wallet_books.py), who
asks for it when (orchestration)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from domain.actor import SYSTEM
from domain.collection import Collect
from domain.errors import AforoError
from storage.database import session_scope
from storage.repositories.wallets import WalletRepository
from storage.services.wallet_top_ups import collect_top_up
from storage.services.wallets import Wallets
from storage.tables.tenants import TenantRow
from storage.tenancy import tenant_tx


@dataclass
class WalletUpkeep:
    """What a round did: wallets kept, refills asked for, and what could not be done, with the reason."""

    kept: int = 0
    asked: int = 0
    stuck: dict[str, str] = field(default_factory=dict)


def due_wallets(engine: Engine, at: datetime) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(tenant, wallet) to which something happens by `at`, and (tenant, refill) nobody has collected yet."""
    with session_scope(engine) as session:
        tenants = session.scalars(select(TenantRow.id).order_by(TenantRow.id)).all()
        each = [(tenant, WalletRepository(session, tenant)) for tenant in tenants]
        wallets = [(tenant, found) for tenant, mine in each for found in mine.due(at)]
        return wallets, [(tenant, found) for tenant, mine in each for found in mine.top_ups_requested()]


def keep_wallets(engine: Engine, at: datetime, collect: Collect) -> WalletUpkeep:
    """Holds lapse, grants take effect and expire, refills are collected; a transaction each, so that one failure holds up nothing
    else."""
    done = WalletUpkeep()
    wallets, _ = due_wallets(engine, at)
    for tenant_id, wallet_id in wallets:
        try:
            with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
                Wallets(tx).locked(wallet_id)
            done.kept += 1
        except (AforoError, IntegrityError) as error:
            done.stuck[f"{tenant_id}/{wallet_id}"] = str(error)
    for tenant_id, top_up_id in due_wallets(engine, at)[1]:
        try:
            problem = collect_top_up(engine, tenant_id, top_up_id, collect, at)
        except (AforoError, IntegrityError) as error:
            problem = str(error)
        if problem is None:
            done.asked += 1
        else:
            done.stuck[f"{tenant_id}/{top_up_id}"] = problem
    return done
