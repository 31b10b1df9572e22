"""Alembic's environment: one database, one transaction per migration, tables from schemas."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from infra.postgres.poolers import refuse_pooler
from schemas.tables import metadata

_ONE_AT_A_TIME = 8_201_507  # any number, of advisory locks; ours alone in this database

# no pool: a connection that went back to one would hold the lock until the garbage collector finds it
with create_engine(context.config.attributes["url"], poolclass=NullPool).connect() as connection:
    refuse_pooler(connection.connection.driver_connection, "SCANLINE_POSTGRES_MIGRATE_URL")
    connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _ONE_AT_A_TIME})
    connection.commit()
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
