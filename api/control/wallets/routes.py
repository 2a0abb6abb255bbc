"""The routes of wallets. Put here: reading the request, shaping the answer. Keep out: how money is booked (storage.services.wallets)."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ConfigDict, Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, Page, PageQuery, managed_router
from domain.money import EXPONENTS, unpadded
from storage.services.wallets import Wallets
from storage.tables.money import WalletEntryRow, WalletRow, WalletTransactionRow
from storage.tenancy import Tx


class WalletEdit(Body):
    """When and how the wallet is refilled; null clears a field."""

    auto_topup_enabled: bool | None = None
    auto_topup_amount: Decimal | None = Field(None, examples=["100.00"])
    auto_topup_threshold: Decimal | None = Field(None, examples=["20.00"])
    low_balance_threshold: Decimal | None = Field(None, examples=["10.00"])


class WalletBody(WalletEdit):
    """A wallet to open: one for each customer and currency."""

    customer_id: str = Field(examples=["cus_0123456789abcdef"])
    currency: str | None = Field(None, description="The customer's own unless said.", examples=["USD"])
    initial_balance: Decimal | None = Field(None, examples=["250.00"])


class TopUpBody(Body):
    """Money to put in."""

    amount: Decimal = Field(description="Above 0, in whole minor units.", examples=["100.00"])
    description: str | None = Field(None, examples=["Bank transfer of 3 May"])
    idempotency_key: str | None = Field(None, description="The same key is carried out once, for ever.")


class DebitBody(Body):
    """Money to take out for usage; the names are accepted in camelCase too."""

    model_config = ConfigDict(alias_generator=None)

    customer_id: str | None = Field(None, examples=["cus_0123456789abcdef"])
    amount: Decimal = Field(description="Above 0; at most twelve decimal places.", examples=["0.0125"])
    currency: str | None = Field(None, description="The customer's own unless said.")
    strategy: str | None = Field(
        None, description="Which money goes first: WATERFALL.", examples=["WATERFALL"]
    )
    idempotency_key: str | None = Field(None, description="The same key is carried out once, for ever.")
    unit: str | None = Field(
        None, description="The unit it is spent on: grants restricted to it may pay.", examples=["api_calls"]
    )
    description: str | None = None


def wallet_routes(door: Door) -> APIRouter:
    """/api/v1/wallets."""
    router = managed_router("/api/v1/wallets", "wallets")
    _money(router, door)

    @router.post("", status_code=201)
    def create(body: WalletBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Open a customer's wallet in a currency; 409 if there is one."""
        return call.write(lambda tx: _shown(tx, Wallets(tx).create(body.sent())), status=201)

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        customer_id: Annotated[str | None, Query(alias="customerId")] = None,
        currency: str | None = None,
    ) -> Response:
        """All wallets, the newest first. Sort by createdAt or balance."""

        def work(tx: Tx, query: PageQuery) -> Page:
            rows, total, following = Wallets(tx).page(query, customer_id=customer_id, currency=currency)
            return Page([_shown(tx, row) for row in rows], total, following)

        return call.listing(work)

    @router.get("/by-customer/{customer_id}")
    def of_customer(
        customer_id: str,
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        currency: str | None = None,
    ) -> Response:
        """The customer's wallet in its own currency, or in the one asked for; 404 if there is none."""
        return call.read(lambda tx: _shown(tx, Wallets(tx).of_customer(customer_id, currency)))

    @router.get("/{wallet_id}")
    def get(wallet_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """One wallet, archived or not."""
        return call.read(lambda tx: _shown(tx, Wallets(tx).get(wallet_id)))

    @router.patch("/{wallet_id}")
    def edit(
        wallet_id: str, body: WalletEdit, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Change when and how it is refilled."""
        return call.write(lambda tx: _shown(tx, Wallets(tx).edit(wallet_id, body.sent(), call.expect)))

    @router.delete("/{wallet_id}", status_code=204)
    def archive(
        wallet_id: str,
        call: Annotated[Call, Depends(door.write(Area.BILLING))],
        confirm: Annotated[bool, Query(description="Yes: what is left in it is paid back.")] = False,
    ) -> Response:
        """Close a wallet; 409 while it holds money, unless `confirm`."""
        return call.write(lambda tx: Wallets(tx).archive(wallet_id, confirmed=confirm))

    return router


def debit_routes(door: Door) -> APIRouter:
    """POST /v1/wallets/debit."""
    router = managed_router("/v1/wallets", "wallets")

    @router.post("/debit", status_code=200)
    def debit(body: DebitBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Take money out of a customer's wallet: all of it, or 409 INSUFFICIENT_FUNDS and nothing."""
        return call.write(lambda tx: _booked(tx, Wallets(tx).debit(body.sent())))

    return router


def _money(router: APIRouter, door: Door) -> None:
    @router.post("/{wallet_id}/top-up", status_code=200)
    def top_up(
        wallet_id: str, body: TopUpBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Put money in."""
        return call.write(lambda tx: _booked(tx, Wallets(tx).top_up(wallet_id, body.sent())))

    @router.get("/{wallet_id}/ledger")
    def ledger(wallet_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """Every movement of the wallet's money, the newest first, with its entries; they add up to zero."""

        def work(tx: Tx, query: PageQuery) -> Page:
            wallet = Wallets(tx).get(wallet_id)
            rows, total, following = Wallets(tx).ledger(wallet_id, query)
            entries = Wallets(tx).entries(rows)
            items = [_transaction(row, wallet.currency, entries[row.id]) for row in rows]
            return Page(items, total, following)

        return call.listing(work)


def _shown(tx: Tx, row: WalletRow) -> dict[str, Any]:
    held = Wallets(tx).held(row.id)

    def money(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else unpadded(amount, EXPONENTS[row.currency])

    return camel(
        {
            "id": row.id,
            "customer_id": row.customer_id,
            "currency": row.currency,
            "kind": row.kind,
            "balance": money(row.balance),
            "held": money(held),
            "available": money(row.balance - held),
            "department_wallets": [],
            "auto_topup_enabled": row.auto_topup_enabled,
            "auto_topup_amount": money(row.auto_topup_amount),
            "auto_topup_threshold": money(row.auto_topup_threshold),
            "low_balance_threshold": money(row.low_balance_threshold),
            "low_balance": row.low_balance_threshold is not None and row.balance < row.low_balance_threshold,
            "status": "ARCHIVED" if row.archived_at else "ACTIVE",
            "revision": row.revision,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "archived_at": row.archived_at,
        }
    )


def _booked(tx: Tx, row: WalletTransactionRow) -> dict[str, Any]:
    wallet = Wallets(tx).get(row.wallet_id)
    entries = Wallets(tx).entries([row])[row.id]
    return _transaction(row, wallet.currency, entries) | {
        "customerId": wallet.customer_id,
        "balance": format(unpadded(row.balance_after, EXPONENTS[wallet.currency]), "f"),
    }


def _transaction(row: WalletTransactionRow, currency: str, entries: list[WalletEntryRow]) -> dict[str, Any]:
    places = EXPONENTS[currency]
    return camel(
        {
            "id": row.id,
            "transaction_id": row.id,
            "wallet_id": row.wallet_id,
            "type": row.kind,
            "amount": unpadded(row.amount, places),
            "currency": currency,
            "balance_after": unpadded(row.balance_after, places),
            "unit": row.unit,
            "invoice_id": row.invoice_id,
            "entries": [_entry(entry, places) for entry in entries],
            "description": row.description,
            "idempotency_key": row.idempotency_key,
            "actor": row.actor,
            "at": row.at,
        }
    )


def _entry(entry: WalletEntryRow, places: int) -> dict[str, Any]:
    shown = camel({"account": entry.account, "amount": unpadded(entry.amount, places)})
    return shown | ({"grantId": entry.grant_id} if entry.grant_id else {})
