"""Chain the audit trail.

Each row holds its own hash and that of the row before it. A trigger makes them, so the last release, which knows
nothing of them and is still at work while this runs, writes rows of the chain too. Rows that are there already stay
without: `undertone audit verify` says how many.

Revision: 0002
After: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("previous", sa.Text(), nullable=True))
    op.add_column("audit", sa.Column("hash", sa.Text(), nullable=True))
    # `streams/domain/trail.py` says the same of the hash. The lock is any constant of ours, held until the commit;
    # what was drawn before it was had (id, time) is drawn again, so that ids go up along the chain.
    op.execute(
        r"""
        CREATE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock(5220111031);
            NEW.id := nextval(pg_get_serial_sequence(TG_RELID::regclass::text, 'id'));
            NEW.at := clock_timestamp();
            SELECT hash INTO NEW.previous FROM audit WHERE hash IS NOT NULL ORDER BY id DESC LIMIT 1;
            NEW.previous := coalesce(NEW.previous, repeat('0', 64));
            NEW.hash := encode(sha256(convert_to(concat_ws(E'\n',
                NEW.previous, NEW.id, (extract(epoch FROM NEW.at) * 1000000)::bigint,
                NEW.action, NEW.actor, coalesce(NEW.call, ''), NEW.detail::text), 'UTF8')), 'hex');
            RETURN NEW;
        END $$
        """
    )
    op.execute("CREATE TRIGGER chain BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION chain_audit()")


def downgrade() -> None:
    op.execute("DROP TRIGGER chain ON audit")
    op.execute("DROP FUNCTION chain_audit()")
    op.drop_column("audit", "hash")
    op.drop_column("audit", "previous")
