"""PostgreSQL as the stages see it: one transaction at a time, waited for in place while the server is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

T = TypeVar("T")
logger = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
#: Ours where the address does not say otherwise (ms). A statement that takes this long is waited for and tried again.
_SERVER_LIMITS = {
    "statement_timeout": 15_000,
    "lock_timeout": 5_000,
    "idle_in_transaction_session_timeout": 60_000,
}
#: A silent network is noticed within ten seconds.
_CLIENT_LIMITS = {
    "connect_timeout": "5",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}
#: Passing states of the server that psycopg does not count among its operational errors.
_PASSING = (
    errors.ReadOnlySqlTransaction,  # a standby that is about to be promoted
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
)


class StoreError(RuntimeError):
    """PostgreSQL refused a statement for good: a mistake of ours. Says where, never which values."""


class Database:
    """A pool of connections to `address` (as libpq takes it); connects when it is first used."""

    def __init__(self, address: str, *, application: str, connections: int = 5) -> None:
        self._engine = _engine(address, application=application, connections=connections)
        self._waiters = 0

    @property
    def waiting(self) -> bool:
        """Whether a transaction is waiting for the server: then the process is live and not ready."""
        return self._waiters > 0

    async def transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work` in one transaction, again from its start until it has committed, without end.

        The reply to a COMMIT can be lost, so `work` may run again after it took effect: it must be idempotent.
        Raises StoreError for what waiting cannot mend.
        """
        try:
            return await self._attempt(work)
        except (DBAPIError, PoolTimeoutError) as error:
            _raise_lasting(error)
            self._begin_waiting(error)
        try:
            return await self._insist(work)
        finally:
            self._end_waiting()

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def _attempt(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._engine.begin() as connection:
            return await work(connection)

    async def _insist(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        wait_s = _FIRST_WAIT_S
        while True:
            await asyncio.sleep(wait_s)
            try:
                return await self._attempt(work)
            except (DBAPIError, PoolTimeoutError) as error:
                _raise_lasting(error)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _begin_waiting(self, error: Exception) -> None:
        self._waiters += 1
        if self._waiters == 1:
            logger.warning("waiting for PostgreSQL", extra={"reason": _kind(error)})

    def _end_waiting(self) -> None:
        self._waiters -= 1
        if self._waiters == 0:
            logger.warning("PostgreSQL is back")


def migration_engine(address: str) -> Engine:
    """A plain engine for migrations, which set their own, shorter limits."""
    conninfo = _conninfo(address, "migrate")
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool)


def _engine(address: str, *, application: str, connections: int) -> AsyncEngine:
    conninfo = _conninfo(address, application)

    async def connect() -> psycopg.AsyncConnection:
        connection = await psycopg.AsyncConnection.connect(conninfo)
        set_json_loads(msgspec.json.decode, connection)  # Python's own takes a quarter of a label's time
        return connection

    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=10,
        hide_parameters=True,  # an error's text must not carry what was to be stored
    )


def _conninfo(address: str, application: str) -> str:
    """What libpq is told: `address`, and our limits where it says nothing of them."""
    given = conninfo_to_dict(address)
    limits = " ".join(f"-c {name}={value}" for name, value in _SERVER_LIMITS.items())
    given["options"] = f"{limits} {given.get('options') or ''}".strip()
    return make_conninfo("", **{**_CLIENT_LIMITS, "application_name": f"undertone {application}", **given})


def _raise_lasting(error: Exception) -> None:
    """Raise StoreError unless waiting can mend `error`."""
    if not isinstance(error, DBAPIError) or _passes(error):
        return
    origin = error.orig
    detail = type(origin).__name__
    if isinstance(origin, psycopg.Error):
        detail += f" {origin.sqlstate}"
        place = (origin.diag.table_name, origin.diag.column_name, origin.diag.constraint_name)
        detail += "".join(f" {name}" for name in place if name)
        if (origin.sqlstate or "").startswith("42"):  # names tables and columns, no values
            detail += f" {origin.diag.message_primary}"
    # Not chained: PostgreSQL's own message quotes the row that it refused.
    raise StoreError(f"PostgreSQL refused a statement: {detail}") from None


def _passes(error: DBAPIError) -> bool:
    if error.connection_invalidated or isinstance(error.orig, _PASSING):
        return True
    too_large = str(getattr(error.orig, "sqlstate", None) or "").startswith("54")  # the statement itself
    return isinstance(error, OperationalError) and not too_large


def _kind(error: Exception) -> str:
    """The class and SQLSTATE of an error; libpq's own words where there is none, as they quote no row."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig else error
    sqlstate = getattr(origin, "sqlstate", None)
    return f"{type(origin).__name__} {sqlstate}" if sqlstate else f"{type(origin).__name__}: {origin}"
