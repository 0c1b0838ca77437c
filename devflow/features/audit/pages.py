"""The ledger as pages: of a team, of the whole instance, and of oneself."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.access import Actor, Permission, Scope
from devflow.core.jobs import Jobs
from devflow.core.paging import CursorPage
from devflow.features.audit import tasks
from devflow.features.audit.rules.telling import difference_lines, words
from devflow.features.audit.schemas import SEARCHED, AuditQuery, UserAuditQuery
from devflow.features.audit.service import keeping, reading
from devflow.web.identity import actor
from devflow.web.pages import filters, redirect, render
from devflow.web.place import remembered
from devflow.web.ports import port

bp = Blueprint("audit", __name__)
admin = Blueprint("audit_admin", __name__)
_KEPT = ("search", "action", "result", "user_id", "team_id", "resource_type", "resource_id", "from_date", "to_date")


@bp.get("/audit")
def index() -> ResponseReturnValue:
    who, asked = actor(), filters(AuditQuery)
    asked.team_id = _team(who, asked.team_id)
    return render("audit/index.html", "rows", **_shown("audit.index", reading.search(who, asked), asked))


@bp.get("/audit/mine")
def mine() -> ResponseReturnValue:
    who, asked = actor(), filters(UserAuditQuery)
    return render("audit/mine.html", "rows", **_shown("audit.mine", reading.of_user(who, who.id, asked), asked))


@admin.get("/admin/audit")
def everything() -> ResponseReturnValue:
    who = actor()
    state = keeping.state(who)
    asked = filters(AuditQuery)
    shown = _shown("audit_admin.everything", reading.search(who, asked), asked)
    return render("admin/audit.html", "rows", chain=state, checking=_checking(), **shown)


@admin.post("/admin/audit/verify")
def verify() -> ResponseReturnValue:
    keeping.asked_for(actor())
    if not _checking():
        port(Jobs).submit(tasks.VERIFY, "audit", asked_by=actor().name)
    return redirect(url_for("audit_admin.everything"))


def _checking() -> bool:
    return bool(port(Jobs).open_subjects(tasks.VERIFY))


def _team(who: Actor, asked: str) -> str:
    """The team asked for, else the one looked at, else the first whose audit may be read."""
    if asked:
        return asked
    for team_id in (remembered(), *who.teams):
        if team_id and who.may(Permission.AUDIT_READ, Scope(team_id)):
            return team_id
    return ""


def _shown(endpoint: str, page: CursorPage[Any], asked: UserAuditQuery) -> dict[str, Any]:
    """What every one of the pages shows: entries, filters, and the way to the next."""
    kept = {name: request.args.get(name) or None for name in _KEPT}

    def address(**more: Any) -> str:
        return url_for(endpoint, **{**kept, **more})

    return {
        "page": page, "query": asked, "listing": endpoint, "address": address, "kept": kept,
        "filtered": any(kept[name] for name in _KEPT if name != "team_id"), "kinds": reading.kinds(),
        "newer": address(cursor=page.previous_cursor) if page.previous_cursor else None,
        "older": address(cursor=page.next_cursor) if page.next_cursor else None,
        "diff": difference_lines, "words": words, "searched": SEARCHED,
    }  # fmt: skip
