"""One connection to Redis that all requests of a process share. Put here: sending many commands without waiting for each other,
in order. Keep out: what is sent.

A pool gives every command a connection of its own and takes it back afterwards; that costs the edge more than the command. Here a
command is written when it is made, and the answers are handed out as they come, in the order of the commands. The event loop
writes what came up in one round of it with one system call, and Redis syncs its file once for all it has read.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from storage.connections import is_cluster

log = logging.getLogger(__name__)
_PAUSE = 0.05
_LOOKED_AT = 0.5
_LARGE = 16 * 1024
_NOT_YET = object()
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

    def evalsha(self, sha: str, keys: int, *arguments: Any) -> Awaitable[Any]:
        return cast(Awaitable[Any], self._redis.evalsha(sha, keys, *arguments))

    def eval(self, script: str, keys: int, *arguments: Any) -> Awaitable[Any]:
        return cast(Awaitable[Any], self._redis.eval(script, keys, *arguments))

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
        self._talk: _Talk | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_closed = False

    def evalsha(self, sha: str, keys: int, *arguments: Any) -> Awaitable[Any]:
        """EVALSHA. Raises NoScriptError and Redis' other errors."""
        return self.call(b"EVALSHA", sha, keys, *arguments)

    def eval(self, script: str, keys: int, *arguments: Any) -> Awaitable[Any]:
        """EVAL."""
        return self.call(b"EVAL", script, keys, *arguments)

    async def call(self, *command: Any) -> Any:
        """The answer to a command; sent once more where the connection was lost, so it must be one that doubles nothing.

        Raises ResponseError for an answer that is one, TimeoutError and ConnectionError (Redis' own)."""
        packed = _packed(command)
        try:
            return await (self._talk or await self._connected()).ask(packed)
        except RedisTimeoutError:
            raise
        except (RedisConnectionError, OSError):
            if self._is_closed:
                raise
            await asyncio.sleep(_PAUSE)
            return await (self._talk or await self._connected()).ask(packed)

    async def close(self) -> None:
        """For good. Answers on their way are not waited for."""
        self._is_closed = True
        if self._talk is not None:
            self._talk.end(RedisConnectionError("The connection was closed."))
        await self._pool.disconnect()

    async def _connected(self) -> _Talk:
        """The connection, once it is there. Who asks while it is being made waits for the same one, and fails with it."""
        while (talk := self._talk) is None:
            if self._is_closed:
                raise RedisConnectionError("The connection was closed.")
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(_noticed)
            await asyncio.shield(self._opening)
        return talk

    async def _open(self) -> None:
        connection: AbstractConnection = cast(Any, self._pool).make_connection()
        talk: _Talk | None = None
        try:
            async with asyncio.timeout(self._seconds):  # also where somebody takes the call and says nothing
                await cast(Any, connection).connect()
                talk = _Talk(self, connection, self._seconds)
                await self._follow(talk)
        except TimeoutError:
            late = RedisTimeoutError(f"Redis did not answer within {self._seconds:g} seconds.")
            await _given_up(connection, talk, late)
            raise late from None
        except (RedisConnectionError, OSError) as error:
            await _given_up(connection, talk, error)
            raise
        if self._is_closed:
            talk.end(RedisConnectionError("The connection was closed."))
        if not talk.is_over:
            self._talk = talk

    async def _follow(self, talk: _Talk) -> None:
        """Have changes told on this connection. A Redis that cannot, or will not for this user, leaves the follower without."""
        follower = self.follower
        if follower is None:
            return
        if talk.version < _SAYS_UNASKED:
            log.warning("Redis is spoken to in RESP2, which tells nothing unasked: every question is asked.")
            return
        prefixes = [word for kind in follower.kinds for word in (b"PREFIX", kind)]
        try:
            await talk.ask(_packed(("CLIENT", "TRACKING", "ON", "BCAST", *prefixes)))
        except ResponseError as error:
            log.warning("Redis does not tell what changes (%s): every question is asked.", error)
        else:
            follower.begun()

    def ended(self, talk: _Talk) -> None:
        """The connection is gone."""
        if talk is self._talk:
            self._talk = None
        if self.follower is not None:
            self.follower.lost()


class _Talk(asyncio.Protocol):
    """A connection that Redis has let in: commands go out as they are made, answers come in their order.

    The client library makes the connection (addresses, TLS, who we are). Its own way of reading and writing wakes tasks and sets
    timeouts for each answer, which costs more than the answer; here each is handed to who waits for it as the bytes come in.
    """

    def __init__(self, line: Line, connection: AbstractConnection, seconds: float) -> None:
        library = cast(Any, connection)
        self.version = int(library.protocol)
        self.is_over = False
        self._line = line
        self._connection = connection
        self._seconds = seconds
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=library._parser.parse_error, notEnoughData=_NOT_YET
        )
        self._transport: asyncio.Transport = library._writer.transport
        self._transport.set_protocol(self)
        self._timer = self._loop.call_later(_LOOKED_AT, self._look)

    def ask(self, packed: bytes) -> asyncio.Future[Any]:
        """The answer to a command, once it is there."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((answer, self._loop.time()))
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(packed)
        return answer

    def data_received(self, data: bytes) -> None:
        """Each answer to whoever waits for it; who gave up meanwhile is passed by."""
        try:
            self._reader.feed(data)
            while not self.is_over and (answer := self._reader.gets()) is not _NOT_YET:
                self._hand_out(answer)
        except InvalidResponse as error:
            self.end(RedisConnectionError(f"Redis said what cannot be read: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        why = error or "it was closed at the other end"
        self.end(RedisConnectionError(f"The connection to Redis was lost: {why}"))

    def end(self, error: Exception) -> None:
        """Hang up. Everybody who waits gets `error`."""
        if self.is_over:
            return
        self.is_over = True
        self._timer.cancel()
        self._line.ended(self)
        self._transport.abort()
        cast(Any, self._connection)._close()
        waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            if not future.done():
                future.set_exception(error)

    def _send(self) -> None:
        """What came up in this round, at once."""
        unsent, self._unsent = self._unsent, []
        if not self.is_over:
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _hand_out(self, answer: Any) -> None:
        if isinstance(answer, hiredis.PushNotification):
            follower = self._line.follower
            if follower is not None and answer[0] == b"invalidate":
                follower.changed(answer[1])
            return
        if isinstance(answer, RedisConnectionError):  # it loads its file, or wants to be rid of us
            self.end(answer)
            return
        if not self._waiting:
            self.end(RedisConnectionError("Redis answered what nobody asked."))
            return
        future, self._line.proven = self._waiting.popleft()
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _look(self) -> None:
        """Gives a connection up that does not answer: what is behind the stuck command would be stuck as well."""
        if self._waiting and self._loop.time() - self._waiting[0][1] >= self._seconds:
            self.end(RedisTimeoutError(f"Redis did not answer within {self._seconds:g} seconds."))
        else:
            self._timer = self._loop.call_later(_LOOKED_AT, self._look)


async def _given_up(connection: AbstractConnection, talk: _Talk | None, error: Exception) -> None:
    if talk is None:
        await connection.disconnect(nowait=True)
    else:
        talk.end(error)


def _packed(command: Sequence[Any]) -> bytes:
    """A command as it is sent. hiredis, which is made for small ones, copies a large one again and again."""
    for part in command:
        if type(part) is bytes and len(part) > _LARGE:
            break
    else:
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
