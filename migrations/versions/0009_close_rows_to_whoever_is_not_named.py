"""Close rows to whoever is not named.

What row-level security says to a role that no policy names, and a trail whose trigger looks at no other table `audit`
than ours. Policies and grants are in `streams/store/access.py`, which `env.py` applies after each upgrade to the newest
revision: where the roles are made later, by an administrator, there is no revision to wait for.

Revision: 0009
After: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_row() RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE AS $$
        BEGIN
            RAISE EXCEPTION 'row-level security: % may not do this to a row; make it a member of undertone_write '
                'or undertone_read', current_user USING ERRCODE = 'insufficient_privilege';
        END $$
        """
    )
    # Without the schema a temporary table of this name would be found first, and the chain forked.
    op.execute(
        """
        DO $$ BEGIN
            EXECUTE format('ALTER FUNCTION chain_audit() SET search_path = %I, pg_temp', current_schema());
        END $$
        """
    )


def downgrade() -> None:
    op.execute("ALTER FUNCTION chain_audit() RESET search_path")
    op.execute(
        r"""
        DO $$ DECLARE
            ours text := current_schema();
            found record;
        BEGIN
            FOR found IN SELECT tablename, policyname FROM pg_policies
                         WHERE schemaname = ours AND policyname LIKE 'undertone\_%' LOOP
                EXECUTE format('DROP POLICY %I ON %I', found.policyname, found.tablename);
                EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY',
                               found.tablename);
            END LOOP;
            FOR found IN SELECT rolname FROM pg_roles WHERE rolname IN ('undertone_write', 'undertone_read') LOOP
                EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', ours, found.rolname);
                EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', ours, found.rolname);
                EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM %I', ours, found.rolname);
            END LOOP;
        END $$
        """
    )
    op.execute("DROP FUNCTION refuse_row()")
