"""The ledger: a chain of rows that can be added to and nothing else."""

from __future__ import annotations

from typing import Any

from sqlalchemy import DDL, JSON, BigInteger, Index, String, event
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, Model


class Entry(HasId, Model):
    """One act, or a refused attempt at one (`result` done or denied). `changes` maps a field to [before, after];
    secrets say only "changed". `number` and `hash` are its place in the chain."""

    __tablename__ = "audit_logs"

    actor_id: Mapped[str | None] = mapped_column(String(36))
    actor_name: Mapped[str] = mapped_column(String(255))
    actor_email: Mapped[str] = mapped_column(String(255), default="", server_default="")
    token_id: Mapped[str | None] = mapped_column(String(36))
    team_id: Mapped[str | None] = mapped_column(String(36))
    action: Mapped[str] = mapped_column(String(80))
    result: Mapped[str] = mapped_column(String(10), default="done", server_default="done")
    status_code: Mapped[int] = mapped_column(default=200, server_default="200")
    object_type: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[str] = mapped_column(String(80))
    object_name: Mapped[str] = mapped_column(String(255))
    changes: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    ip: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(300), default="")
    request_id: Mapped[str] = mapped_column(String(64), default="")
    number: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    hash: Mapped[str] = mapped_column(String(64), default="", server_default="")

    __table_args__ = (
        Index("ix_audit_logs_team_id_id", "team_id", "id"),
        Index("ix_audit_logs_actor_id_id", "actor_id", "id"),
        Index("ix_audit_logs_action_id", "action", "id"),
        Index("ix_audit_logs_object_type_id", "object_type", "id"),
        Index("ix_audit_logs_object_id_id", "object_id", "id"),
        Index("ix_audit_logs_result_id", "result", "id"),
    )


class Head(Model):
    """The end of the chain, one row: whoever adds to it holds it until the commit."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))


SQLITE_GUARDS = tuple(
    f"create trigger audit_logs_no_{verb} before {verb} on audit_logs "
    "begin select raise(abort, 'the audit can only be added to'); end"
    for verb in ("update", "delete")
)
POSTGRES_GUARDS = (
    "create or replace function audit_logs_keep() returns trigger language plpgsql as "
    "$$ begin raise exception 'the audit can only be added to'; end $$",
    "create trigger audit_logs_append_only before update or delete or truncate on audit_logs "
    "for each statement execute function audit_logs_keep()",
)
"""The database itself refuses to change the ledger, whoever asks (migration 0003 makes the same)."""

for _dialect, _guards in (("sqlite", SQLITE_GUARDS), ("postgresql", POSTGRES_GUARDS)):
    for _guard in _guards:
        event.listen(Entry.__table__, "after_create", DDL(_guard).execute_if(dialect=_dialect))
