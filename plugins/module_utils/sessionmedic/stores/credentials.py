"""The table that holds each session's credentials, in PostgreSQL, MySQL or SQLite.

Table and column names are options, since real schemas differ, and are always quoted. The credentials are kept byte for
byte, with one exception: a JSONB column (PostgreSQL) and MySQL's JSON keep the value, not the text, so there spaces and
the order of keys change; both are compared by value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import libraries
from ..config import BackendConfig, CredentialsTable
from ..credentials_json import judge
from ..errors import ConfigError, CredentialsInvalid, MissingLibrary, StoreError
from ..names import check_name, shown
from . import column_values

# SQLAlchemy's types differ between the versions that Python 3.9 and the controller get.
Connection = Any

CONNECT_SECONDS = 3
STATEMENT_MS = 10_000
# '+' is in no backend's name: no two backends that share a backup_path share rows, or a folder of backups this name.
_DEFAULT_FILE = "credentials+{backend}.sqlite3"
# What Prisma adds to a URL, which the database itself would not know.
_PRISMA_OPTIONS = ("schema", "connection_limit", "pool_timeout", "pgbouncer")


@dataclass(frozen=True)
class StoredCredentials:
    """A row. ``last_connected`` is epoch seconds; it is often stale in real tables."""

    creds: bytes | None
    status: str | None = None
    last_connected: float | None = None


def default_database_url(config: BackendConfig) -> str:
    """``database_url`` of the backend, else a SQLite file in ``backup_path``. :raises ConfigError: neither is set."""
    if config.database_url:
        return config.database_url
    if not config.backup_path:
        raise ConfigError(
            f"Backend {config.name} has neither database_url nor backup_path.", "Set one to keep credentials."
        )
    file = _DEFAULT_FILE.format(backend=check_name(config.name, "backend name"))
    return f"sqlite:///{Path(config.backup_path).expanduser().absolute() / file}"


class CredentialsStore:
    """Rows of ``table`` in the database at ``database_url``; a connection a call, none is held.

    :raises ConfigError: the URL is no database URL. :raises MissingLibrary: SQLAlchemy or the driver is not installed.
    """

    def __init__(self, database_url: str, table: CredentialsTable | None = None) -> None:
        sa = libraries.sqlalchemy()
        self._sa = sa
        self._names = table or CredentialsTable()
        try:
            url = sa.engine.make_url(database_url)
        except (sa.exc.ArgumentError, ValueError):
            raise ConfigError("database_url is not a database URL.", "Write it as postgresql://host/name.") from None
        options = dict(url.query)
        self._schema = options.get("schema") or None
        url = _with_driver(url.difference_update_query(_PRISMA_OPTIONS))
        self._file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        self._where = str(self._file) if self._file else _host(database_url)
        self._engine = self._make_engine(url)

    def _make_engine(self, url: Any) -> Any:
        sa = self._sa
        backend = url.get_backend_name()
        timeout = {"sqlite": "timeout", "postgresql": "connect_timeout", "mysql": "connect_timeout"}.get(backend)
        try:
            engine = sa.create_engine(
                url, poolclass=sa.pool.NullPool, connect_args={timeout: CONNECT_SECONDS} if timeout else {}
            )
        except sa.exc.NoSuchModuleError:
            raise ConfigError("database_url is of an unknown database.", "Use PostgreSQL, MySQL or SQLite.") from None
        except ImportError as error:
            package = error.name or url.drivername
            raise MissingLibrary(f"The Python package {package} is not installed.", f"pip install {package}.") from None
        if self._file:
            # sqlite3 would begin with the first write; reading, judging and writing must be one transaction.
            sa.event.listen(engine, "connect", _leave_transactions_to_us)
            sa.event.listen(engine, "begin", _begin)
        return engine

    @contextmanager
    def _transaction(self, write: bool = False) -> Iterator[Connection]:
        sa = self._sa
        try:
            if write and self._file and not self._file.exists():
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self._file, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
            with self._engine.execution_options(sessionmedic_write=write).begin() as connection:
                if self._engine.dialect.name == "postgresql":
                    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {STATEMENT_MS}")
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {STATEMENT_MS}")
                yield connection
        except sa.exc.OperationalError:
            raise StoreError(
                f"The database at {self._where} cannot be used.", "Start it, or correct database_url."
            ) from None
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(
                f"The database at {self._where} refuses the credentials table's statement ({type(error).__name__}).",
                "Check the names and types of credentials_table.",
            ) from None
        except OSError as error:
            raise StoreError(f"{self._where} cannot be made ({error.strerror}).", "Check backup_path.") from None

    def load(self, session: str) -> StoredCredentials | None:
        """The session's row, None when there is none (or no SQLite file yet).

        :raises StoreError: the database is away, or has not the table or its columns.
        """
        if self._file and not self._file.exists():
            return None
        with self._transaction() as connection:
            if self._file and not self._has_table(connection):
                return None
            return self._load(connection, self._table(connection), check_name(session))

    def save(self, session: str, creds: bytes, status: str | None = None, connected_at: float | None = None) -> bool:
        """Keep credentials; True when the row changed. ``status`` and ``connected_at`` (epoch s) stay when None.

        :raises CredentialsInvalid: incomplete, unpaired, or of another account than those that are kept now.
        :raises StoreError: the database is away; or it has no row for the session and needs more columns for one.
        """
        return self._write(session, StoredCredentials(creds, status, connected_at), judged=True)

    def put_back(self, session: str, stored: StoredCredentials) -> bool:
        """Make the row what it was in a backup, whatever it holds now; True when it changed."""
        return self._write(session, stored, judged=False)

    def set_status(self, session: str, status: str) -> bool:
        """Change the status; True when it was another. :raises StoreError: the session has no row."""
        name = check_name(session)
        with self._transaction(write=True) as connection:
            table = self._table(connection)
            current = self._load(connection, table, name, lock=True)
            if current is None:
                raise StoreError(f"The credentials table has no row for session {name}.", "Save credentials first.")
            if current.status == status:
                return False
            self._update(connection, table, name, {self._names.status_column: status})
            return True

    def ensure_table(self) -> None:
        """Make the table when it is missing: for a database of our own. SQLite files get it with the first save."""
        with self._transaction(write=True) as connection:
            if not self._has_table(connection):
                self._create_table(connection)

    def _write(self, session: str, wanted: StoredCredentials, judged: bool) -> bool:
        name = check_name(session)
        with self._transaction(write=True) as connection:
            if self._file and not self._has_table(connection):
                self._create_table(connection)
            table = self._table(connection)
            current = self._load(connection, table, name, lock=True)
            same = current is not None and self._same(table, current.creds, wanted.creds)
            if judged and not same:
                verdict = judge(wanted.creds, current=current.creds if current else None)
                if not verdict.ok:
                    raise CredentialsInvalid(verdict.reason, "Nothing was saved; look at the session's credentials.")
                if current is not None:
                    _refuse_combined(name, current.creds)
            changes: dict[str, Any] = {} if same else {self._names.creds_column: wanted.creds}
            if wanted.status is not None and (current is None or current.status != wanted.status):
                changes[self._names.status_column] = wanted.status
            if wanted.last_connected is not None and (
                current is None
                or current.last_connected is None
                # Tables keep whole milliseconds, some whole seconds.
                or abs(current.last_connected - wanted.last_connected) >= 1
            ):
                changes[self._names.last_connected_column] = float(wanted.last_connected)
            if current is None:
                self._insert(connection, table, name, changes)
            elif changes:
                self._update(connection, table, name, changes)
            return current is None or bool(changes)

    def _table_place(self) -> tuple[str, str | None]:
        schema, _, name = self._names.name.rpartition(".")
        return name, schema or self._schema

    def _has_table(self, connection: Connection) -> bool:
        name, schema = self._table_place()
        return bool(self._sa.inspect(connection).has_table(name, schema=schema))

    def _table(self, connection: Connection) -> Any:
        """The table with the columns' types as the database has them."""
        sa, names = self._sa, self._names
        name, schema = self._table_place()
        try:
            found = {item["name"]: item["type"] for item in sa.inspect(connection).get_columns(name, schema=schema)}
        except sa.exc.NoSuchTableError:
            found = {}
        if not found:
            raise StoreError(
                f"The database at {self._where} has no table {shown(names.name)}.",
                "Correct credentials_table.name, or make the table.",
            )
        wanted = (names.id_column, names.creds_column, names.status_column, names.last_connected_column)
        # A backend may keep neither status nor time; their names are set empty then.
        for column in wanted:
            if column and column not in found:
                raise StoreError(
                    f"The table {shown(names.name)} has no column {shown(column)}.", "Correct credentials_table."
                )
        quoted = sa.sql.quoted_name
        columns = [sa.Column(quoted(column, quote=True), found[column]) for column in wanted if column]
        return sa.Table(
            quoted(name, quote=True), sa.MetaData(), *columns, schema=quoted(schema, quote=True) if schema else None
        )

    def _create_table(self, connection: Connection) -> None:
        sa, names = self._sa, self._names
        name, schema = self._table_place()
        quoted = sa.sql.quoted_name
        sa.Table(
            quoted(name, quote=True),
            sa.MetaData(),
            sa.Column(quoted(names.id_column, quote=True), sa.String(128), primary_key=True),
            sa.Column(quoted(names.creds_column, quote=True), column_values.long_text(sa)),
            sa.Column(quoted(names.status_column, quote=True), sa.String(64)),
            sa.Column(quoted(names.last_connected_column, quote=True), sa.DateTime(timezone=True)),
            schema=schema,
        ).create(connection)

    def _load(self, connection: Connection, table: Any, session: str, lock: bool = False) -> StoredCredentials | None:
        sa, names = self._sa, self._names
        columns = [names.creds_column, names.status_column, names.last_connected_column]
        # The driver's own values: a JSON column must give its text, an unusual time no error.
        raw = [
            column_values.as_read(sa, table.c[column]).label(f"c{index}")
            for index, column in enumerate(columns)
            if column
        ]
        query = sa.select(*raw).where(self._is(table, session))
        if lock and not self._file:
            query = query.with_for_update()
        rows = connection.execute(query).mappings().all()
        if len(rows) > 1:
            raise StoreError(
                f"The credentials table has {len(rows)} rows for session {session}.", "Correct credentials_table."
            )
        if not rows:
            return None
        creds, status, connected = (rows[0].get(f"c{index}") for index in range(3))
        return StoredCredentials(
            column_values.creds_bytes(creds), None if status is None else str(status), column_values.epoch(connected)
        )

    def _is(self, table: Any, session: str) -> Any:
        column = table.c[self._names.id_column]
        if isinstance(column.type, self._sa.Integer):
            # Whaticket's ids are numbers; a name that is none has no row.
            return column == int(session) if session.isdigit() and len(session) < 19 else self._sa.false()
        if isinstance(column.type, self._sa.String) or self._file:
            return column == self._sa.literal(session, self._sa.String)
        return self._sa.cast(column, self._sa.String(255)) == session

    def _values(self, table: Any, values: Mapping[str, Any]) -> dict[Any, Any]:
        return {
            table.c[name]: column_values.as_written(self._sa, table.c[name], value)
            for name, value in values.items()
            if name
        }

    def _update(self, connection: Connection, table: Any, session: str, values: Mapping[str, Any]) -> None:
        connection.execute(table.update().where(self._is(table, session)).values(self._values(table, values)))

    def _insert(self, connection: Connection, table: Any, session: str, values: Mapping[str, Any]) -> None:
        name = self._names.id_column
        identifier: Any = session
        if isinstance(table.c[name].type, self._sa.Integer):
            identifier = int(session) if session.isdigit() else session
        row = {table.c[name]: identifier, **self._values(table, values)}
        try:
            connection.execute(table.insert().values(row))
        except self._sa.exc.IntegrityError:
            raise StoreError(
                f"The credentials table has no row for session {session} and takes none from us.",
                "Make the session in its backend first.",
            ) from None

    def _same(self, table: Any, current: bytes | None, wanted: bytes | None) -> bool:
        if current == wanted or current is None or wanted is None:
            return current == wanted
        if not column_values.keeps_value_only(self._engine.dialect.name, table.c[self._names.creds_column]):
            return False
        try:
            return bool(json.loads(current) == json.loads(wanted))
        except ValueError:
            return False


def _with_driver(url: Any) -> Any:
    """A plain ``postgresql://``, as other tools write it, means the driver that we have."""
    drivers = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    return url.set(drivername=drivers.get(url.drivername, url.drivername))


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or '?'}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return "?"


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("sessionmedic_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _refuse_combined(session: str, current: bytes | None) -> None:
    try:
        content = json.loads(current or b"null")
    except ValueError:
        return
    if isinstance(content, dict) and "creds" in content and "keys" in content:
        raise StoreError(
            f"The row of session {session} holds creds and keys in one cell, which this table option cannot write.",
            "Restore it with the backend's own means.",
        )
