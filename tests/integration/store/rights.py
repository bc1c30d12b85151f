"""Every action on every table, tried as whoever is connected, and what the table in the code says of it."""

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from streams.store.access import ACCESS, REVISION
from streams.store.tables import metadata

ROLES = ("migrate", "write", "read")
ROWS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
#: A row in every table: a policy that hides rows shows on these alone.
FILLED = """
    INSERT INTO calls (call, epoch, use_case, language, channels, started_at)
        VALUES (repeat('ab', 32), 'e', 'demo', 'en', '{customer}', now());
    INSERT INTO call_state (call, partition, next_offset, state) VALUES (repeat('ab', 32), 0, 1, 'sealed');
    INSERT INTO labels (window_id, call, use_case, role, start_ms, end_ms, consent_seq, spoken_at, outcome, bundle)
        VALUES ('w', repeat('ab', 32), 'demo', 'customer', 0, 1, 0, now(), 'labelled', 'b');
    INSERT INTO evolutions (call, readings, windows, judged, thirds, strength, trend, overall)
        VALUES (repeat('ab', 32), '[]', 0, 0, '[]', 0, 'unclear', 'unclear');
    INSERT INTO escalations
        (id, call, use_case, rule, severity, window_ids, from_ms, to_ms, consent, bundle, raised_at, late)
        VALUES ('e', repeat('ab', 32), 'demo', 'r', 'high', '{w}', 0, 1, '{}', 'b', now(), false);
    INSERT INTO outbox (call, escalation_id, escalation) VALUES (repeat('ab', 32), 'e', '{}');
    INSERT INTO attempts (topic, partition, "offset", count) VALUES ('t', 0, 0, 1);
    INSERT INTO audit (action, actor) VALUES ('call.escalated', 'escalate');
    INSERT INTO erasures (id, call, epoch, deleted, gone_at) VALUES ('x', repeat('ab', 32), 'e', 0, now());
"""
#: Each fails for nobody who may do it, by a broken constraint at most.
STATEMENTS = {
    "SELECT": sql.SQL("SELECT count(*) FROM {table}"),
    "INSERT": sql.SQL("INSERT INTO {table} DEFAULT VALUES"),
    "UPDATE": sql.SQL("UPDATE {table} SET {column} = NULL"),
    "DELETE": sql.SQL("DELETE FROM {table}"),
    "TRUNCATE": sql.SQL("TRUNCATE {table} CASCADE"),
    "ALTER": sql.SQL("ALTER TABLE {table} ADD COLUMN more int"),
    "DROP": sql.SQL("DROP TABLE {table} CASCADE"),
}


def statement(action: str, table: str) -> sql.Composed:
    column = "version_num"
    if table != REVISION:
        column = next(each.name for each in metadata.tables[table].c if each.identity is None)
    return STATEMENTS[action].format(table=sql.Identifier(table), column=sql.Identifier(column))


def verbs(role: str, table: str) -> set[str]:
    """What the table in the code lets a role do to rows."""
    if role == "migrate":
        return set(ROWS) if table == REVISION else set()
    return {said.split()[0] for said in getattr(ACCESS[table], role)}


def may(role: str, action: str, table: str) -> bool:
    if role == "migrate" and action not in ROWS:
        return (action, table) != ("TRUNCATE", "audit")  # its trigger refuses the owner too
    return action in verbs(role, table)


def does(connection: psycopg.Connection, action: str, table: str) -> bool:
    """Whether it was let to; nothing of it stays."""
    try:
        connection.execute(statement(action, table))
    except errors.InsufficientPrivilege:
        return False
    except psycopg.IntegrityError:
        return True
    else:
        return True
    finally:
        connection.rollback()


def fill(superuser: str) -> None:
    """Put a row into every table of the database `undertone`."""
    with psycopg.connect(make_conninfo(superuser, dbname="undertone")) as connection:
        connection.execute(FILLED.encode())


def what_it_does(connection: psycopg.Connection) -> dict[tuple[str, str], bool]:
    return {(action, table): does(connection, action, table) for table in ACCESS for action in STATEMENTS}


def what_it_may(role: str) -> dict[tuple[str, str], bool]:
    return {(action, table): may(role, action, table) for table in ACCESS for action in STATEMENTS}
