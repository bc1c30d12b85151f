"""Who may do what to which table: two roles, given what each needs by grants and by row-level security.

`undertone_write` is for the stages, `undertone_read` for people who look; neither can log in, logins are made members
of them. The tables belong to the role that migrates, which may alter them and gets at no row. See ops/adr/0155.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

WRITE = "undertone_write"
READ = "undertone_read"
#: Alembic's own, which the owner reads and writes: it has no row-level security.
REVISION = "alembic_version"


class May(NamedTuple):
    """What each role may do to a table, in the words of GRANT."""

    write: tuple[str, ...]
    read: tuple[str, ...] = ()


_SELECT = ("SELECT",)
_APPEND = ("SELECT", "INSERT")
_REPLACE = (*_APPEND, "DELETE")
_ALL = (*_REPLACE, "UPDATE")

#: Every table. One that is missing here is out of both roles' reach.
ACCESS: Mapping[str, May] = {
    "calls": May(_ALL, _SELECT),
    "call_state": May(_ALL, ("SELECT (call, partition, next_offset, closed, saved_at)",)),  # not the sealed state
    "labels": May(_REPLACE, _SELECT),
    "evolutions": May(_ALL, _SELECT),
    "escalations": May(_REPLACE, _SELECT),
    "outbox": May(_ALL, ("SELECT (id, created_at, tried_at, sent_at, claimed_until)",)),  # nothing of what is retracted
    "attempts": May(_ALL),
    # The writer sees as much as its trigger needs, and says what happened; when, and after what, is not its to say.
    "audit": May(("SELECT (id, hash)", "INSERT (action, actor, call, detail)"), _SELECT),
    "erasures": May(_APPEND, _SELECT),
    REVISION: May(_SELECT, _SELECT),
}
#: The trigger on `audit` draws its ids by itself; a backup tells where each sequence is.
_SEQUENCES: Mapping[str, May] = {
    "audit_id_seq": May(("USAGE",), _SELECT),
    "outbox_id_seq": May((), _SELECT),
}


def apply(connection: Connection) -> str | None:
    """Make the roles where they are not there, and give them what `ACCESS` says and nothing else.

    Can be run again; one transaction a table, so that no lock is held while another is waited for. Where the roles
    are not there and may not be made, nothing is changed: returns what an administrator must run, in one line.
    """
    with connection.begin():
        absent = [role for role in (WRITE, READ) if not _asked(connection, _THERE, role=role)]
        if absent and not _asked(connection, _MAKES_ROLES):
            made = " ".join(f"CREATE ROLE {role} NOLOGIN;" for role in absent)
            return f"one role reads and writes all tables; for three, an administrator runs: {made} then migrate again"
        _make(connection, absent)
        _run(connection, f"GRANT USAGE ON SCHEMA {_asked(connection, _SCHEMA)} TO {WRITE}, {READ}")
        for sequence, may in _SEQUENCES.items():
            _grant(connection, f"SEQUENCE {sequence}", may)
    for table, may in ACCESS.items():
        with connection.begin():
            _grant(connection, table, may)
            if table != REVISION:
                _secure_rows(connection, table, may)
    return None


def policies(may: May) -> dict[str, str]:
    """Name -> what a policy says: one for each thing that a role may do, and one for whoever is left, which raises.

    Without that one a role that no policy names would see an empty table, and take a call for one that never was.
    """
    given = [(role, verb.split()[0]) for role, verbs in ((WRITE, may.write), (READ, may.read)) for verb in verbs]
    named = {f"{role}_{verb.lower()}": f"FOR {verb} TO {role} {_CLAUSES[verb]}" for role, verb in given}
    return {**named, "undertone_nobody_else": "TO PUBLIC USING (refuse_row())"}


_CLAUSES = {
    "SELECT": "USING (true)",
    "INSERT": "WITH CHECK (true)",
    "UPDATE": "USING (true) WITH CHECK (true)",
    "DELETE": "USING (true)",
}
_THERE = "SELECT count(*) FROM pg_roles WHERE rolname = :role"
_MAKES_ROLES = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
_SCHEMA = "SELECT quote_ident(current_schema())"
_WRITERS = """
    SELECT DISTINCT grantee::regrole::text
    FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner)))
    JOIN pg_roles ON pg_roles.oid = grantee AND NOT rolsuper
    WHERE pg_class.oid = to_regclass('call_state') AND privilege_type = 'INSERT'
"""
_FORCED = "SELECT relforcerowsecurity FROM pg_class WHERE oid = to_regclass(:table)"
#: One that an administrator has added is named otherwise, and stays.
_POLICIES = "SELECT polname FROM pg_policy WHERE polrelid = to_regclass(:table) AND polname LIKE 'undertone\\_%'"


def _asked(connection: Connection, query: str, **values: str) -> object:
    return connection.execute(text(query), values).scalar()


def _run(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))


def _make(connection: Connection, absent: Sequence[str]) -> None:
    """Make these roles. Whoever could write still can: stages of the last release are at work, as owner or another."""
    for role in absent:  # they are of the whole server, on which another database may be migrated at this moment
        made = f"CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;"
        _run(connection, f"DO $$ BEGIN {made} END $$")
    if WRITE in absent:
        for writer in connection.execute(text(_WRITERS)).scalars().all():
            _run(connection, f"GRANT {WRITE} TO {writer}")


def _grant(connection: Connection, what: str, may: May) -> None:
    _run(connection, f"REVOKE ALL ON {what} FROM PUBLIC, {WRITE}, {READ}")
    for role, verbs in ((WRITE, may.write), (READ, may.read)):
        if verbs:
            _run(connection, f"GRANT {', '.join(verbs)} ON {what} TO {role}")


def _secure_rows(connection: Connection, table: str, may: May) -> None:
    """Put the policies on; where they are on already nothing is locked."""
    found = set(connection.execute(text(_POLICIES), {"table": table}).scalars())
    wanted = policies(may)
    if _asked(connection, _FORCED, table=table) and found == wanted.keys():
        return
    for name in found:
        _run(connection, f"DROP POLICY {name} ON {table}")
    for name, said in wanted.items():
        _run(connection, f"CREATE POLICY {name} ON {table} {said}")
    _run(connection, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
