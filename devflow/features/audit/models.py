"""The ledger: a chain of rows that can be added to and nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import DDL, JSON, BigInteger, Float, Index, String, Text, event
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.clock import now
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


class Archive(Model):
    """A sealed file: the entries `first_number` to `last_number` stand in it and no longer here (0 to 0: those older
    than the chain). `hash` is the link of its last entry, from which the chain here goes on, `previous_hash` the one
    before its first; `signature` vouches for the row."""

    __tablename__ = "audit_archives"

    last_number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    first_number: Mapped[int] = mapped_column(BigInteger)
    entries: Mapped[int]
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    file: Mapped[str] = mapped_column(String(120))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    last_at: Mapped[datetime]
    signature: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Check(Model):
    """What the worker's checks have found, one row: how far the chain was checked and when, when all of it was, and
    what is wrong (`fault` empty: nothing). `signature` vouches for the row."""

    __tablename__ = "audit_checks"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    checked_at: Mapped[datetime]
    whole_at: Mapped[datetime | None]
    entries: Mapped[int] = mapped_column(BigInteger)
    older: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float] = mapped_column(Float)
    absent: Mapped[int]
    fault: Mapped[str] = mapped_column(Text)
    fault_kind: Mapped[str] = mapped_column(String(20))
    fault_number: Mapped[int | None] = mapped_column(BigInteger)
    signature: Mapped[str] = mapped_column(String(64))


SQLITE_GUARDS = (
    "create trigger audit_logs_no_update before update on audit_logs "
    "begin select raise(abort, 'the audit can only be added to'); end",
    # Out go only entries of a file that is noted down: see audit_archives_follow.
    "create trigger audit_logs_no_delete before delete on audit_logs when not coalesce("
    "(select first_number from audit_archives where last_number >= coalesce(old.number, 0) "
    "order by last_number limit 1) <= coalesce(old.number, 0), 0) "
    "begin select raise(abort, 'the audit can only be added to'); end",
)
POSTGRES_GUARDS = (
    "create or replace function audit_logs_keep() returns trigger language plpgsql as "
    "$$ begin if tg_op = 'DELETE' and tg_level = 'ROW' then "
    "if (select first_number from audit_archives where last_number >= coalesce(old.number, 0) "
    "order by last_number limit 1) <= coalesce(old.number, 0) then return old; end if; end if; "
    "raise exception 'the audit can only be added to'; end $$",
    "create trigger audit_logs_append_only before update or truncate on audit_logs "
    "for each statement execute function audit_logs_keep()",
    "create trigger audit_logs_no_delete before delete on audit_logs for each row execute function audit_logs_keep()",
)
_FOLLOWS = (
    "new.first_number = coalesce((select max(last_number) from audit_archives) + 1, {first}) "
    "and new.last_number >= new.first_number and new.entries > 0 and ("
    "(new.last_number = 0 and new.entries = (select count(*) from audit_logs where number is null)) or "
    "(new.entries = new.last_number - new.first_number + 1 and new.entries = (select count(*) from audit_logs "
    "where number between new.first_number and new.last_number) and exists (select 1 from audit_logs "
    "where number = new.last_number and hash = new.hash and created_at < {yesterday})))"
)
"""A sealed file goes on where the one before ended, holds every entry up to its last, and none of the last day: what
somebody has just done cannot be archived away."""
SQLITE_ARCHIVE_GUARDS = (
    "create trigger audit_archives_follow before insert on audit_archives when not coalesce(("
    + _FOLLOWS.format(first="min(new.first_number, 1)", yesterday="datetime('now', '-1 day')")
    + "), 0) begin select raise(abort, 'the archive does not follow the one before'); end",
    *(
        f"create trigger audit_archives_no_{verb} before {verb} on audit_archives "
        "begin select raise(abort, 'the audit can only be added to'); end"
        for verb in ("update", "delete")
    ),
)
POSTGRES_ARCHIVE_GUARDS = (
    "create or replace function audit_archives_follow() returns trigger language plpgsql as $$ begin if coalesce("
    + _FOLLOWS.format(first="least(new.first_number, 1)", yesterday="now() - interval '1 day'")
    + ", false) then return new; end if; raise exception 'the archive does not follow the one before'; end $$",
    "create trigger audit_archives_follow before insert on audit_archives "
    "for each row execute function audit_archives_follow()",
    "create or replace function audit_archives_keep() returns trigger language plpgsql as "
    "$$ begin raise exception 'the audit can only be added to'; end $$",
    "create trigger audit_archives_append_only before update or delete or truncate on audit_archives "
    "for each statement execute function audit_archives_keep()",
)
"""The database itself refuses to change the ledger, whoever asks (migration 0003 makes the same)."""

_GUARDS = (
    (Entry, "sqlite", SQLITE_GUARDS),
    (Entry, "postgresql", POSTGRES_GUARDS),
    (Archive, "sqlite", SQLITE_ARCHIVE_GUARDS),
    (Archive, "postgresql", POSTGRES_ARCHIVE_GUARDS),
)
for _model, _dialect, _guards in _GUARDS:
    for _guard in _guards:
        event.listen(_model.__table__, "after_create", DDL(_guard).execute_if(dialect=_dialect))
