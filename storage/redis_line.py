"""One connection to Redis that all requests of a process share. Put here: sending many commands without waiting for each other,
in order. Keep out: what is sent.

A pool gives every command a connection of its own and takes it back afterwards; that costs the edge more than the command. Here a
command is written when it is made, and one task hands out the answers as they come, in the order of the commands. The event loop
writes what came up in one round of it with one system call, and Redis syncs its file once for all it has read.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from storage.connections import is_cluster

log = logging.getLogger(__name__)
_PAUSE = 0.05
_LOOKED_AT = 0.5
_LARGE = 16 * 1024
_TOLD = object()
_SAYS_UNASKED = 3  # the version of the protocol from which on a server may


class Follower(Protocol):
    """Who wants to know what changes in Redis. kinds: of which keys, by how their names begin."""

    kinds: tuple[bytes, ...]

    def begun(self) -> None:
        """From now on it is told."""

    def changed(self, keys: Sequence[bytes] | None) -> None:
        """These keys have changed; None: all of them."""

    def lost(self) -> None:
        """From now on it is not."""


class Pooled:
    """`Line`'s ways over a client with connections of its own, as a cluster needs it."""

    proven = -math.inf

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def evalsha(self, sha: str, keys: int, *arguments: Any) -> Any:
        return await self._redis.evalsha(sha, keys, *arguments)

    async def eval(self, script: str, keys: int, *arguments: Any) -> Any:
        return await self._redis.eval(script, keys, *arguments)

    async def call(self, *command: Any) -> Any:
        return await self._redis.execute_command(*command)

    async def close(self) -> None:
        """The client is closed by whom it belongs to."""


def line_to(url: str, redis: Redis) -> Line | Pooled:
    """A connection for many requests at once; to a cluster, `redis`, which is its client."""
    return Pooled(redis) if is_cluster(redis) else Line(url)


class Line:
    """A connection made with the first command, and anew after it was lost.

    url: of the Redis. seconds: a command that is not answered so long has failed, and with it those behind it. Use it from one
    event loop only. follower: is told what changes, before any answer that knows of it. proven: when the latest command that was
    answered was made, seconds of the event loop's clock.
    """

    follower: Follower | None = None
    proven = -math.inf

    def __init__(self, url: str, *, seconds: float = 5.0) -> None:
        self._pool = ConnectionPool.from_url(url, socket_connect_timeout=1, socket_timeout=None)
        self._seconds = seconds
        self._connection: AbstractConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_closed = False
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._sending: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def evalsha(self, sha: str, keys: int, *arguments: Any) -> Any:
        """EVALSHA. Raises NoScriptError and Redis' other errors."""
        return await self.call(b"EVALSHA", sha, keys, *arguments)

    async def eval(self, script: str, keys: int, *arguments: Any) -> Any:
        """EVAL."""
        return await self.call(b"EVAL", script, keys, *arguments)

    async def call(self, *command: Any) -> Any:
        """The answer to a command; sent once more where the connection was lost, so it must be one that doubles nothing.

        Raises ResponseError for an answer that is one, TimeoutError and ConnectionError (Redis' own)."""
        packed = _packed(command)
        try:
            return await self._sent(packed)
        except RedisTimeoutError:
            raise
        except (RedisConnectionError, OSError):
            if self._is_closed:
                raise
            await asyncio.sleep(_PAUSE)
            return await self._sent(packed)

    async def close(self) -> None:
        """For good. Answers on their way are not waited for."""
        self._is_closed = True
        await self._drop(RedisConnectionError("The connection was closed."))
        await self._pool.disconnect()

    async def _sent(self, packed: bytes) -> Any:
        while (connection := self._connection) is None or not connection.is_connected:
            if self._is_closed:
                raise RedisConnectionError("The connection was closed.")
            await self._connected()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((answer, loop.time()))
        self._unsent.append(packed)
        if len(self._unsent) == 1:
            self._sending = asyncio.create_task(self._send(connection))
        return await answer

    async def _send(self, connection: AbstractConnection) -> None:
        """What came up since this was planned, at once."""
        if connection is not self._connection:
            return  # it was dropped meanwhile, and whoever waited was told
        packed, self._unsent = self._unsent, []
        try:
            await connection.send_packed_command(packed, check_health=False)
        except (RedisConnectionError, RedisTimeoutError, OSError) as lost:
            if connection is self._connection:
                await self._drop(RedisConnectionError(f"The connection to Redis was lost: {lost}"))

    async def _connected(self) -> None:
        """There is a connection. Who asks while it is being made waits for the same one, and fails with it."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_noticed)
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        await self._drop(RedisConnectionError("The connection to Redis was lost."))
        connection: AbstractConnection = cast(Any, self._pool).make_connection()
        try:
            async with asyncio.timeout(self._seconds):  # also where somebody takes the call and says nothing
                await cast(Any, connection).connect()
                await self._follow(connection)
        except TimeoutError:
            await connection.disconnect(nowait=True)
            raise RedisTimeoutError(f"Redis did not answer within {self._seconds:g} seconds.") from None
        except (RedisConnectionError, OSError):
            await connection.disconnect(nowait=True)
            raise
        if self._is_closed:
            await connection.disconnect(nowait=True)
            raise RedisConnectionError("The connection was closed.")
        self._connection = connection
        self._tasks = [asyncio.create_task(self._hand_out(connection)), asyncio.create_task(self._watch())]

    async def _follow(self, connection: AbstractConnection) -> None:
        """Have changes told on this connection. A Redis that cannot, or will not for this user, leaves the follower without."""
        follower = self.follower

        async def told(message: Sequence[Any], **_: Any) -> object:
            if follower is not None and message[0] == b"invalidate":
                follower.changed(message[1])
            return _TOLD

        cast(Any, connection)._parser.handle_push_response = told
        if follower is None:
            return
        if int(cast(Any, connection).protocol) < _SAYS_UNASKED:
            log.warning("Redis is spoken to in RESP2, which tells nothing unasked: every question is asked.")
            return
        prefixes = [word for kind in follower.kinds for word in (b"PREFIX", kind)]
        await connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", *prefixes)
        try:
            await connection.read_response()
        except ResponseError as error:
            log.warning("Redis does not tell what changes (%s): every question is asked.", error)
        else:
            follower.begun()

    async def _hand_out(self, connection: AbstractConnection) -> None:
        """Each answer to whoever waits for it; who gave up meanwhile is passed by."""
        answer: Any
        while True:
            error: ResponseError | None = None
            answer = None
            try:
                answer = await connection.read_response(
                    timeout=math.inf, disconnect_on_error=False, push_request=True
                )
            except ResponseError as found:
                error = found
            except (RedisConnectionError, OSError) as lost:
                await self._drop(RedisConnectionError(f"The connection to Redis was lost: {lost}"))
                return
            if answer is _TOLD:
                continue
            future, self.proven = self._waiting.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

    async def _watch(self) -> None:
        """Gives a connection up that does not answer: what is behind the stuck command would be stuck as well."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOKED_AT)
            if self._waiting and loop.time() - self._waiting[0][1] >= self._seconds:
                await self._drop(RedisTimeoutError(f"Redis did not answer within {self._seconds:g} seconds."))
                return

    async def _drop(self, error: Exception) -> None:
        """Forget the connection; everybody who waits gets `error`."""
        connection, self._connection = self._connection, None
        if self.follower is not None:
            self.follower.lost()
        waiting, self._waiting = self._waiting, deque()
        self._unsent = []
        me = asyncio.current_task()
        for task in self._tasks:
            if task is not me:
                task.cancel()
        self._tasks = []
        for future, _ in waiting:
            if not future.done():
                future.set_exception(error)
        if connection is not None:
            with suppress(RedisConnectionError, RedisTimeoutError, OSError):
                await connection.disconnect(nowait=True)


def _packed(command: Sequence[Any]) -> bytes:
    """A command as it is sent. hiredis, which is made for small ones, copies a large one again and again."""
    if not any(isinstance(part, bytes) and len(part) > _LARGE for part in command):
        packed: bytes = hiredis.pack_command(command)
        return packed
    pieces = [b"*%d\r\n" % len(command)]
    for part in command:
        piece = part if isinstance(part, bytes) else str(part).encode()
        pieces += b"$%d\r\n" % len(piece), piece, b"\r\n"
    return b"".join(pieces)


def _noticed(opening: asyncio.Task[None]) -> None:
    """An error that nobody waits for any more is no surprise."""
    if not opening.cancelled():
        opening.exception()
