"""Finding and paging: an index of the tasks' texts, which the runtime fills later, and an index for each order of a list.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE search USING fts5(text, tokenize = 'trigram case_sensitive 1', detail = none, columnsize = 0)"
    )
    op.execute("INSERT INTO search (search, rank) VALUES ('automerge', 0)")
    op.create_table(
        "stale_texts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_stale_texts")),
    )
    op.execute(
        "CREATE TRIGGER text_changes AFTER UPDATE OF name ON tasks WHEN NEW.name <> OLD.name "
        "BEGIN INSERT OR IGNORE INTO stale_texts VALUES (NEW.number, NEW.updated_at, NEW.updated_at); END"
    )
    op.execute(
        "CREATE TRIGGER text_goes AFTER DELETE ON tasks "
        "BEGIN INSERT OR IGNORE INTO stale_texts VALUES (OLD.number, OLD.updated_at, OLD.updated_at); END"
    )
    op.create_index("idx_tasks_priority", "tasks", ["priority"], unique=False)
    op.create_index("idx_tasks_submitted_by", "tasks", ["submitted_by"], unique=False)
    op.create_index("idx_tasks_of_template", "tasks", ["template"], unique=False, sqlite_where=sa.text("template IS NOT NULL"))
    op.create_index("idx_tasks_started", "tasks", ["started_at"], unique=False, sqlite_where=sa.text("started_at IS NOT NULL"))
    op.create_index("idx_tasks_over", "tasks", ["ended_at"], unique=False, sqlite_where=sa.text("ended_at IS NOT NULL"))
