"""Alembic's environment: one database, one transaction per migration, tables from schemas."""

from alembic import context
from schemas.tables import metadata
from sqlalchemy import create_engine

with create_engine(context.config.attributes["url"]).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
