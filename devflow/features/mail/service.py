"""Write letters; send them, keep them for an administrator, and never lose one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import vault
from devflow.core.db import db, transaction
from devflow.core.errors import Conflict, Forbidden, NotFound, TooMany
from devflow.core.ids import first_id_at, new_id
from devflow.core.paging import Page, paginate
from devflow.core.use_case import emit, query, refusal, use_case
from devflow.features.audit import service as audit
from devflow.features.mail.events import LetterWritten
from devflow.features.mail.models import Letter
from devflow.features.mail.schemas import LetterQuery

LIFETIME = timedelta(days=7)
"""How long a letter may wait or be kept unless its writer says otherwise."""
MOST_AN_HOUR = 10
"""Letters of one kind to one address: enough for a person, too few to flood a mailbox through DevFlow."""
HELD = "Held back: too many letters of this kind to this address within an hour."
REMEMBERED = timedelta(days=90)
"""How long one can look up that a letter was sent."""


def send(
    to: str,
    template: str,
    subject: str,
    *,
    until: datetime | None = None,
    reader: Permission = Permission.PLATFORM_MANAGE,
    asked: bool = False,
    **context: Any,
) -> Letter:
    """Put a letter on its way, in the transaction of the use case that wants it.

    `template` names `templates/mail/<template>.txt` and `.html`; `context` is what they say, as JSON. A `path` in it
    becomes `link` there: the address of that path on this instance. `until` is when its link expires and it may be
    forgotten; `reader` is what an administrator needs to open the link where no mail server is set.
    One letter too many is held back, for an administrator to send; where a person has `asked` for it and can wait,
    TooMany is raised instead.
    """
    full = _has_enough(to, template)
    if full and asked:
        raise TooMany(f"{to} has been sent many of these mails already. Wait an hour, then try again.", 3600)
    letter = Letter(
        to=to, template=template, subject=" ".join(subject.split())[:200], context=vault().seal(json.dumps(context)),
        expires_at=until or now() + LIFETIME, reader=reader.value, state="failed" if full else "waiting",
        error=HELD if full else "",
    )  # fmt: skip
    db.session.add(letter)
    db.session.flush()
    if not full:
        emit(LetterWritten(letter.id))
    return letter


def _has_enough(to: str, template: str) -> bool:
    """Has this address had its share of such letters? Ids are in the order of time, so few rows are looked at."""
    hour = now() - timedelta(hours=1)
    lately = (Letter.id >= first_id_at(hour), Letter.created_at > hour)
    rows = select(Letter.id).where(*lately, Letter.to == to, Letter.template == template, Letter.error != HELD)
    return len(db.session.scalars(rows.limit(MOST_AN_HOUR)).all()) == MOST_AN_HOUR


@dataclass(frozen=True)
class Contents:
    """What a letter says; `link` is empty when it leads nowhere."""

    link: str
    context: dict[str, Any]


def contents(letter: Letter, page_url: str) -> Contents:
    """Open a letter."""
    context: dict[str, Any] = json.loads(vault().open(letter.context)) if letter.context else {}
    path = str(context.get("path", ""))
    return Contents(f"{page_url}{path}" if path else "", context)


# The worker's side


def waiting(letter_id: str) -> Letter | None:
    """The letter, if it is still to be sent; one whose time is over is marked so."""
    letter = db.session.get(Letter, letter_id)
    if letter is None or letter.state != "waiting":
        return None
    if letter.expires_at > now():
        return letter
    _move(letter_id, "expired", context="")
    return None


def mark_sent(letter_id: str) -> None:
    """It is the mail server's now; what it said is forgotten."""
    _move(letter_id, "sent", context="", error="", sent_at=now())


def keep(letter_id: str) -> None:
    """There is no mail server: an administrator may look."""
    _move(letter_id, "kept")


def give_up(letter_id: str, error: str) -> None:
    """It cannot be sent; an administrator may try again."""
    _move(letter_id, "failed", error=error)


def postpone(letter_id: str, error: str) -> None:
    """It could not be sent this time."""
    _move(letter_id, "waiting", error=error)


def _move(letter_id: str, state: str, **values: Any) -> None:
    with transaction():
        held = (Letter.id == letter_id, Letter.state == "waiting")
        db.session.execute(update(Letter).where(*held).values(state=state, **values))


def forget_old() -> None:
    """Forget what expired letters said, and after a while the letters."""
    with transaction():
        open_ = Letter.state.in_(("waiting", "kept", "failed"))
        db.session.execute(update(Letter).where(open_, Letter.expires_at < now()).values(state="expired", context=""))
        db.session.execute(delete(Letter).where(Letter.created_at < now() - REMEMBERED))


# The administrator's side


def find(actor: Actor, letter_id: str) -> Letter:
    """A letter by id."""
    letter = db.session.get(Letter, letter_id)
    if letter is None:
        raise NotFound("This letter is gone.")
    return letter


@query(Permission.PLATFORM_MANAGE)
def search(actor: Actor, asked: LetterQuery) -> Page[Letter]:
    """Letters, newest first."""
    rows = select(Letter).order_by(Letter.id.desc())
    if asked.state:
        rows = rows.where(Letter.state == asked.state)
    return paginate(rows, asked)


@query(Permission.PLATFORM_MANAGE)
def counts(actor: Actor) -> dict[str, int]:
    """How many letters are in each state."""
    found: Any = db.session.execute(select(Letter.state, func.count()).group_by(Letter.state)).all()
    return dict(found)


@use_case(Permission.PLATFORM_MANAGE, fresh=True)
def open_link(actor: Actor, letter_id: str, page_url: str) -> str:
    """The link in a letter that was not sent, for an administrator to hand over. Written into the ledger."""
    letter = find(actor, letter_id)
    reader = Permission(letter.reader)
    if not actor.may(reader):
        raise refusal(actor, reader)
    if actor.token_id is not None:
        raise Forbidden("An API token opens no links: they lead into people's accounts. Sign in yourself to do that.")
    if letter.state == "sent" or not letter.context or letter.expires_at <= now():
        raise Conflict("What this letter said is forgotten: it was sent, or its time is over.", code="INVALID_STATE")
    link = contents(letter, page_url).link
    if not link:
        raise Conflict("This letter holds no link.", code="INVALID_STATE")
    audit.record(actor, "mail.link_opened", letter, name=letter.to)
    return link


@use_case(Permission.PLATFORM_MANAGE)
def send_again(actor: Actor, letter_id: str) -> Letter:
    """Send a letter that was kept or has failed."""
    letter = find(actor, letter_id)
    held = (Letter.id == letter.id, Letter.state.in_(("kept", "failed")), Letter.expires_at > now())
    moved = db.session.execute(update(Letter).where(*held).values(state="waiting", error=""))
    if not getattr(moved, "rowcount", 0):
        raise Conflict("Only a letter that was kept or has failed can be sent, until it expires.", code="INVALID_STATE")
    audit.record(actor, "mail.sent_again", letter, name=letter.to)
    emit(LetterWritten(letter.id, new_id()))
    return letter


@use_case(Permission.PLATFORM_MANAGE)
def send_test(actor: Actor) -> Letter:
    """A letter to oneself, to see whether mail works."""
    letter = send(
        actor.email, "test", "Mail from DevFlow works", until=now() + timedelta(hours=1), asked=True, name=actor.name
    )
    audit.record(actor, "mail.tested", letter, name=letter.to)
    return letter
