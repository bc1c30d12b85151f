"""${message}

While this runs, and for a while after it, the code of the last release is still at work on the same tables:
expand here (new tables, nullable columns, indexes), contract in a later release. A column that is renamed,
made NOT NULL or dropped in one step breaks the stages that are still running. A lock that is not had within
4 s, or a statement that takes over 5 s, ends the migration: build an index of a large table CONCURRENTLY, in
a migration of its own with `with op.get_context().autocommit_block():`, and back-fill rows in batches.
Say the same change in streams/store/tables.py: `alembic check` compares the two. Name a new table in
streams/store/access.py. Rows are closed to the tables' owner: where rows are changed here, say `ALTER TABLE ... NO FORCE
ROW LEVEL SECURITY` before and `FORCE` after.

Revision: ${up_revision}
After: ${down_revision | comma,n}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
