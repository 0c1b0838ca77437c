"""Write into the ledger: a row waits for the commit of its change and takes its place in the chain there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import String, event
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session, SessionTransaction

from devflow.core.access import Actor
from devflow.core.clock import now
from devflow.core.crypto import link
from devflow.core.db import db, transaction
from devflow.core.ids import new_id
from devflow.features.audit.models import Entry, Head
from devflow.features.audit.rules.repeats import Repeats
from devflow.features.audit.rules.sealing import sealed_text

CHANGED = "changed"
"""Stands for the value of a secret."""
_WAITING = "audit-waiting"
_LENGTHS = {column.name: column.type.length for column in Entry.__table__.columns if isinstance(column.type, String)}
_repeats = Repeats()


def record(actor: Actor, action: str, thing: Any, changes: Mapping[str, Any] | None = None, *, name: str = "") -> None:
    """One row in the transaction of the change itself. `thing` has an id; its team and name are kept if it has them."""
    _write(
        actor,
        action=action,
        team_id=getattr(thing, "team_id", None),
        object_type=action.partition(".")[0],
        object_id=str(thing.id),
        object_name=name or str(getattr(thing, "name", "")),
        changes=_plain(changes or {}),
    )


def noted(
    actor: Actor, action: str, kind: str, key: str, name: str = "", changes: Mapping[str, Any] | None = None,
    *, team_id: str | None = None, result: str = "done", status: int = 200,
) -> None:  # fmt: skip
    """The same about something that is no row, or about an attempt that failed (`result` denied)."""
    _write(
        actor, action=action, team_id=team_id, object_type=kind, object_id=key, object_name=name,
        changes=_plain(changes or {}), result=result, status_code=status,
    )  # fmt: skip


def refused(actor: Actor, action: str, address: str, status: int) -> None:
    """One row about an attempt that was not allowed, in a transaction of its own.

    `action` is the permission missed, or an act such as account.sign_in_failed. The same attempt again within a
    minute is not written; the next row that is says how many were left out.
    """
    left_out = _repeats.admit(actor.id or actor.ip, action, address, time.monotonic())
    if left_out is None:
        return
    with transaction():
        changes = {"left_out_before": left_out} if left_out else {}
        kind = "request" if ":" in action else action.partition(".")[0]
        noted(actor, action, kind, address, address, changes, result="denied", status=status)


def _plain(changes: Mapping[str, Any]) -> Any:
    """As it comes back from the database, so that the seal is over what is stored."""
    return json.loads(json.dumps(dict(changes), default=str))


def _write(actor: Actor, **values: Any) -> None:
    """The row waits in the session for the commit, when it takes its place in the chain."""
    whose = {
        "actor_id": actor.id or None, "actor_name": actor.name, "actor_email": actor.email, "token_id": actor.token_id,
        "ip": actor.ip, "agent": actor.agent, "request_id": actor.request_id,
    }  # fmt: skip
    row = {
        "id": new_id(),
        "created_at": now(),
        "team_id": None,
        "result": "done",
        "status_code": 200,
        **whose,
        **values,
    }
    row = {name: _fitting(name, value) for name, value in row.items()}
    db.session.info.setdefault(_WAITING, []).append((row, db.session().get_nested_transaction()))


def _fitting(name: str, value: Any) -> Any:
    """Cut to the column: a database that cuts (or refuses) would otherwise break the seal (or the act)."""
    return value.replace("\x00", "")[: _LENGTHS[name]] if isinstance(value, str) and name in _LENGTHS else value


@event.listens_for(db.session, "before_commit")
def _chain(session: Session) -> None:
    """Add what waits to the end of the chain. The head is locked last of all, so that nobody waits in a circle."""
    if session.in_nested_transaction():
        return
    waiting = session.info.pop(_WAITING, [])
    if not waiting:
        return
    session.flush()
    head = _head(session)
    for values, _ in waiting:
        head.number += 1
        values["number"] = head.number
        head.hash = values["hash"] = link(head.hash, sealed_text(values))
        session.add(Entry(**values))


def _head(session: Session) -> Head:
    held = {"with_for_update": True, "populate_existing": True}
    head = session.get(Head, 1, **held)  # type: ignore[arg-type]
    if head is None:  # the very first row: of two writers at once one makes it, and both hold it in turn
        insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
        session.execute(insert(Head).values(id=1, number=0, hash="").on_conflict_do_nothing())
        head = session.get_one(Head, 1, **held)  # type: ignore[arg-type]
    return head


@event.listens_for(db.session, "after_soft_rollback")
def _forget(session: Session, ended: SessionTransaction) -> None:
    """What was undone is not told; a savepoint takes only its own rows with it."""
    if not ended.nested:
        session.info.pop(_WAITING, None)
    elif waiting := session.info.get(_WAITING):
        waiting[:] = [(row, inner) for row, inner in waiting if ended not in _around(inner)]


def _around(inner: SessionTransaction | None) -> Iterator[SessionTransaction]:
    while inner is not None:
        yield inner
        inner = inner.parent


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose values differ, as [before, after]."""
    return {key: [before.get(key), after[key]] for key in after if before.get(key) != after[key]}
