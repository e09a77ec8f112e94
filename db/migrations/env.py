"""Alembic environment.

Runs the revisions on the connection of `maintenance.migrate`, inside its transaction.
"""

from alembic import context

from db.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
