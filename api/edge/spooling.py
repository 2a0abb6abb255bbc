"""Requests kept on local disk while the log cannot take them. Put here: when, and how they get into the log afterwards. Keep out: the
files (storage/spool.py), what a request is (storage/event_log.py).

Only with AFORO_EDGE_SPOOL=on. A request is acknowledged when it is in the log or, where the log is full or does not answer, on disk
here; many that wait at once share one sync. As soon as the log takes requests again they follow in order, each once, and duplicates
are found there. Until then new requests wait a moment for that, and join them if it takes longer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from api.edge.known import TenantView
from domain.access import CustomerRights
from domain.errors import TransientFailure
from storage import event_log, spool
from storage.spool import Spool, SpoolFull

if TYPE_CHECKING:
    from api.edge.service import EdgeService

log = logging.getLogger(__name__)
T = TypeVar("T")
_PATIENCE = 2.0
_PAGE_BYTES = 1024 * 1024
_POLL_SECONDS, _IDLE_SECONDS = 0.25, 2.0
_OUT_OF_ORDER = (BusyLoadingError, ClusterDownError, MasterDownError, OutOfMemoryError, ReadOnlyError)
_CODES = ("MISCONF", "NOREPLICAS", "BUSY ", "TRYAGAIN")


class Spooling:
    """One process' spool and those it took over from processes that died, and whether the log may be asked at all."""

    def __init__(self, service: EdgeService) -> None:
        settings = service.settings
        self._service = service
        self._home = Path(settings.home) / "spool"
        self._limit = settings.spool_bytes // max(1, settings.workers)
        self._own: Spool | None = None
        self._adopted: list[Spool] = []
        self._number = 0
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._disk = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._called, self._empty = asyncio.Event(), asyncio.Event()
        self.is_cut_off = False

    def start(self) -> None:
        """Take over what is left on disk and send it on, until `close`."""
        if self._task is None:
            self._adopt()
            self._task = asyncio.create_task(self._run())

    @property
    def waiting(self) -> int:
        """Requests on disk that are not yet in the log."""
        return sum(each.waiting for each in self._all()) + len(self._queue)

    @property
    def size(self) -> int:
        """Bytes they take on disk."""
        return sum(each.size for each in self._all())

    async def append(
        self, request: event_log.Request, direct: Callable[[event_log.Request], Awaitable[event_log.Receipt]]
    ) -> event_log.Receipt:
        """Into the log, or onto disk. Raises SpoolFull where there is no room, and then nothing was promised."""
        self.start()
        if await self._may_ask():
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await direct(request)
            except (RedisError, OSError, TransientFailure) as error:
                if not is_outage(error):
                    raise
                self.lost()
        return await self._keep(request)

    async def tenant(self, tenant_id: str) -> TenantView:
        """What is known of a tenant, if need be from before the outage. Raises what asking Redis did."""
        known = self._service.known
        try:
            return await self.ask(lambda: known.tenant(tenant_id))
        except (RedisError, OSError, TransientFailure):
            found = known.tenant_as_last_known(tenant_id, self._service.settings.stale_seconds)
            if found is None:
                raise
            return found

    async def rights(self, view: TenantView, customers: Iterable[str]) -> dict[str, CustomerRights | None]:
        """As far as they are known: usage of customers nobody has asked about is not counted here until the counters are mended."""
        try:
            return await self.ask(lambda: self._service.known.rights(view, customers))
        except (RedisError, OSError, TransientFailure):
            return view.rights

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """What Redis answers, in time. Raises its errors, and at once while it is known to be away."""
        if self.is_cut_off:
            raise CutOff
        try:
            async with asyncio.timeout(_PATIENCE):
                return await question()
        except (RedisError, OSError):
            self.start()
            self.lost()
            raise

    def lost(self) -> None:
        """The log does not take requests; the background looks when it does again."""
        self.is_cut_off = True
        self._called.set()

    async def close(self) -> None:
        """What waits stays on disk, for the next process over this data folder."""
        if self._flushing is not None:
            await self._flushing
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for each in self._all():
            each.close()
        self._own, self._adopted, self._task = None, [], None

    def _all(self) -> list[Spool]:
        return [*self._adopted, *([self._own] if self._own else [])]

    async def _may_ask(self) -> bool:
        if self.is_cut_off:
            return False
        if self.waiting:
            # What came before goes first. Waiting instead of joining it lets the spool run empty under load.
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._empty.wait()
        return not self.waiting

    async def _keep(self, request: event_log.Request) -> event_log.Receipt:
        if self._own is None:
            try:
                self._own = spool.begin(self._home, limit=self._limit)
            except OSError as error:
                raise SpoolFull(f"Local disk takes no requests ({error.strerror}); try again.") from error
        self._number += 1
        kept = replace(request, limits=(), kept=(self._own.id, self._number))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._empty.clear()
        self._queue.append((event_log.pack(kept, remember=self._service.settings.remember_seconds), done))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(self._own))
        await done
        self._called.set()
        return event_log.Receipt(_verdicts(request), "", created=False, spooled=True)

    async def _flush(self, own: Spool) -> None:
        """Write what waits, all of it with one sync, until nothing does."""
        while self._queue:
            async with self._disk:
                batch, self._queue = self._queue, []
                error: Exception | None = None
                try:
                    await asyncio.to_thread(own.write, [packed for packed, _ in batch])
                except Exception as found:  # whatever it is, nobody of these may be told it worked
                    error = found
            for _, done in batch:
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
        self._flushing = None

    async def _run(self) -> None:
        while True:
            try:
                self._adopt()
                if self.is_cut_off or self.waiting:
                    await self._send_on()
            except (RedisError, OSError, TransientFailure) as error:
                self.is_cut_off = True
                log.warning("%d requests wait on local disk: %s", self.waiting, error)
            except Exception:
                log.exception("requests on local disk could not be sent on")
            self._called.clear()
            if self.waiting or self.is_cut_off:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._called.wait()

    async def _send_on(self) -> None:
        async with asyncio.timeout(_PATIENCE):
            await self._service.check_durable(now=True)
        for each in self._all():
            while each.waiting:
                async with self._disk:
                    records, place = each.read(_PAGE_BYTES)
                if not records:
                    raise SpoolUnreadable(each)
                await self._append(records)
                self.is_cut_off = False
                async with self._disk:
                    await asyncio.to_thread(each.took_over, len(records), place)
        self.is_cut_off = False
        for each in self._adopted:
            each.close()
        self._adopted = []
        if not self.waiting:
            self._empty.set()

    async def _append(self, records: Sequence[bytes]) -> None:
        """Those of a tenant one after the other, so that what came first stands; tenants side by side."""
        by_tenant: dict[str, list[bytes]] = {}
        for record in records:
            by_tenant.setdefault(event_log.packed_tenant(record), []).append(record)
        done = await asyncio.gather(
            *(self._service.append_packed(tenant, each) for tenant, each in by_tenant.items()),
            return_exceptions=True,
        )
        for each in done:
            if isinstance(each, BaseException):
                raise each

    def _adopt(self) -> None:
        with suppress(OSError):
            for each in spool.adopt(self._home, limit=self._limit):
                if each.waiting:
                    log.warning("%d requests of an ended process wait on local disk", each.waiting)
                    self._empty.clear()
                    self._adopted.append(each)
                else:
                    each.close()


class SpoolUnreadable(TransientFailure):
    """Files that were written cannot be read back; they stay, for somebody to look at the disk."""

    code = "SPOOL_UNREADABLE"

    def __init__(self, one: Spool) -> None:
        super().__init__(f"{one.waiting} requests in {one.folder} cannot be read back; look at the disk.")


class CutOff(TransientFailure):
    """Redis did not answer a moment ago, and is not asked again by everybody."""

    code = "REDIS_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The event log does not answer; try again.")


def is_outage(error: Exception) -> bool:
    """Whether the same request may be taken later: the log is away, full or not to be trusted, and not the request wrong."""
    if isinstance(error, ResponseError):
        return isinstance(error, _OUT_OF_ORDER) or str(error).startswith(_CODES)
    return True


def _verdicts(request: event_log.Request) -> str:
    """As far as they can be told without the log: what the gates refused, and repetitions within the request."""
    seen: dict[bytes | None, int | None] = {}
    verdicts = []
    for event in request.events:
        if event.refusals:
            verdicts.append(event_log.REJECTED)
        elif event.digest not in seen:
            seen[event.digest] = event.payload_hash
            verdicts.append(event_log.ACCEPTED)
        else:
            is_same = seen[event.digest] == event.payload_hash
            verdicts.append(event_log.DUPLICATE if is_same else event_log.CONFLICT)
    return "".join(verdicts)
