"""API tokens of one's own, and of the service accounts one manages: make, list, rotate, change and revoke them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, not_, or_, select, update

from devflow.core.access import Actor, Permission
from devflow.core.clock import iso, now
from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound, Stale
from devflow.core.paging import Page, paginate
from devflow.core.use_case import query, refusal, use_case
from devflow.features.audit import service as audit
from devflow.features.projects import service as projects
from devflow.features.teams import service as teams
from devflow.features.teams.service import serving
from devflow.features.teams.service.serving import ServiceAccount
from devflow.features.tokens import rules
from devflow.features.tokens.models import ApiToken, TokenValue
from devflow.features.tokens.schemas import DEFAULT_DAYS, RotateIn, ScopesIn, TokenIn, TokenQuery

P = Permission


@dataclass(frozen=True)
class Made:
    """A token together with its value, which nobody can be told a second time."""

    row: ApiToken
    value: str


def find(actor: Actor, token_id: str) -> ApiToken:
    """A token of the actor's own, or of a service account they manage."""
    token = db.session.get(ApiToken, token_id)
    account = account_of(actor, token) if token else None
    if token is None or (account is None and token.user_id != actor.id):
        raise NotFound("There is no such token of yours.")
    if account is not None and not actor.may(P.MEMBERS_MANAGE, account):
        raise refusal(actor, P.MEMBERS_MANAGE, account)
    return token


def account_of(actor: Actor, token: ApiToken) -> ServiceAccount | None:
    """The service account of somebody else's token, if it is one's and the actor may know of it."""
    if token.user_id == actor.id:
        return None
    try:
        return serving.find(actor, token.user_id)
    except NotFound:
        return None


@query(P.TOKENS_READ)
def search(actor: Actor, asked: TokenQuery) -> Page[ApiToken]:
    """The actor's tokens, newest first."""
    return of(actor.id, asked)


def of(user_id: str, asked: TokenQuery) -> Page[ApiToken]:
    """The tokens of an account, newest first."""
    rows = select(ApiToken).where(ApiToken.user_id == user_id).order_by(ApiToken.id.desc())
    if asked.active is not None:
        rows = rows.where(working() if asked.active else not_(working()))
    return paginate(rows, asked)


def working() -> ColumnElement[bool]:
    """Tokens that are neither revoked nor expired."""
    return and_(ApiToken.revoked_at.is_(None), or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now()))


@query(P.TOKENS_READ)
def show(actor: Actor, token_id: str) -> ApiToken:
    return find(actor, token_id)


@query(P.TOKENS_READ)
def old_values(actor: Actor, token_id: str) -> Sequence[TokenValue]:
    """Earlier values that still work, or worked last: until when, and how often they were used since."""
    rows = select(TokenValue).where(TokenValue.token_id == find(actor, token_id).id, TokenValue.until.is_not(None))
    return db.session.scalars(rows.order_by(TokenValue.until.desc()).limit(5)).all()


@query(P.TOKENS_READ)
def places(actor: Actor, token: ApiToken) -> list[str]:
    """The names of the team and the projects a token is limited to; empty when it is not."""
    owner, _ = _owner(actor, token)
    mine = {team.id: team.name for team in teams.of_actor(owner)}
    found = [mine.get(token.team_id, "a team you have left")] if token.team_id else []
    for key in token.project_ids:
        try:
            found.append(projects.find(owner, key).name)
        except NotFound:
            found.append("a project that is gone")
    return found


@use_case(P.TOKENS_MANAGE, fresh=True)
def create(actor: Actor, data: TokenIn, max_days: int) -> Made:
    """A token for oneself, of at most `max_days`. It can never do more than whoever makes it."""
    return make(actor, actor, data, max_days)


def make(actor: Actor, owner: Actor, data: TokenIn, max_days: int) -> Made:
    """A token that acts as its owner, in the running transaction; never wider than the one the actor came with."""
    _within_rights(owner, data.scopes)
    team_id, project_ids = _places(owner, data)
    token = ApiToken(
        user_id=owner.id,
        name=data.name or data.token_name or f"Token of {now():%Y-%m-%d}",
        scopes=data.scopes,
        team_id=team_id,
        project_ids=project_ids,
        allowed_ips=_networks(data.allowed_ips),
        expires_at=_end(actor, 0 if data.never else data.expires_in_days, max_days),
    )
    _no_wider(actor, token, _own_end(actor))
    value = _new_value(token)
    told = {"scopes": token.scopes, "expires_at": iso(token.expires_at), "value": audit.CHANGED}
    limits = {"project_ids": project_ids, "allowed_ips": token.allowed_ips, **_named(actor, owner)}
    audit.record(actor, "token.created", token, told | {key: kept for key, kept in limits.items() if kept})
    return Made(token, value)


@use_case(P.TOKENS_MANAGE, fresh=True)
def rotate(actor: Actor, token_id: str, data: RotateIn, max_days: int) -> Made:
    """A new value for the same token; the old ones work until the grace ends. Two at once take turns."""
    token, until = _locked(actor, token_id), _own_end(actor)
    owner = _acting(actor, token)
    if token.revoked_at:
        raise Conflict("This token is revoked. Make a new one instead.", code="INVALID_STATE")
    if data.expires_in_days is not None:
        token.expires_at, token.reminded_days = _end(actor, data.expires_in_days, max_days), None
    if token.expires_at and token.expires_at <= now():
        raise Conflict("This token has expired. Rotate it with a new end (expires_in_days).", code="INVALID_STATE")
    _no_wider(actor, token, until)
    token.rotated_at = now()
    ends = token.rotated_at + timedelta(hours=data.grace_hours)
    older = update(TokenValue).where(TokenValue.token_id == token.id)
    db.session.execute(older.where(or_(TokenValue.until.is_(None), TokenValue.until > ends)).values(until=ends))
    value = _new_value(token)
    rights_changed()
    told = {"value": audit.CHANGED, "old_value_until": iso(ends)}
    audit.record(actor, "token.rotated", token, told | _named(actor, owner))
    return Made(token, value)


@use_case(P.TOKENS_MANAGE)
def set_scopes(actor: Actor, token_id: str, data: ScopesIn) -> ApiToken:
    """Replace the scopes, effective with the next request; more than before asks who you are."""
    token = _locked(actor, token_id)
    owner = _acting(actor, token)
    if token.revoked_at:
        raise Conflict("This token is revoked. Make a new one instead.", code="INVALID_STATE")
    before = token.scopes
    added = [scope for scope in data.scopes if scope not in before]
    _within_rights(owner, added)
    _no_wider(actor, token)
    token.scopes = data.scopes
    _no_wider(actor, token)
    wider = rules.cap(data.scopes, None, ()) - rules.cap(before, None, ())
    if wider and not actor.fresh:
        raise Stale("Confirm that it is you before this token may do more.")
    if set(before) != set(data.scopes):
        rights_changed()
        audit.record(actor, "token.scopes_changed", token, {"scopes": [before, data.scopes]} | _named(actor, owner))
    return token


@use_case(P.TOKENS_MANAGE)
def revoke(actor: Actor, token_id: str) -> ApiToken:
    """End a token for good; doing it twice changes nothing."""
    token = _locked(actor, token_id)
    owner = _acting(actor, token)
    _no_wider(actor, token)
    end(actor, token, "Revoked by its owner" if owner.id == actor.id else f"Revoked by {actor.name}"[:200])
    return token


def end(actor: Actor, token: ApiToken, why: str) -> None:
    """Revoke a token, inside a use case."""
    if token.revoked_at:
        return
    token.revoked_at, token.revoked_why = now(), why
    rights_changed()
    audit.record(actor, "token.revoked", token, {"revoked_at": [None, iso(token.revoked_at)], "why": why})


def _locked(actor: Actor, token_id: str) -> ApiToken:
    token = find(actor, token_id)
    return db.session.get(ApiToken, token.id, with_for_update=True, populate_existing=True) or find(actor, token_id)


def _owner(actor: Actor, token: ApiToken) -> tuple[Actor, ServiceAccount | None]:
    """Whom a token acts as, and the service account if that is one."""
    account = account_of(actor, token)
    return (teams.actor_of(account.user), account) if account else (actor, None)


def _acting(actor: Actor, token: ApiToken) -> Actor:
    """Whom a token acts as, for whoever changes it: of a service account only those who may do all that it may."""
    owner, account = _owner(actor, token)
    if account is not None:
        serving.check_may_act(actor, account)
    return owner


def _named(actor: Actor, owner: Actor) -> dict[str, str]:
    """For the ledger, whose token it is where it is not the actor's own."""
    return {} if owner.id == actor.id else {"service_account": owner.name}


def _within_rights(owner: Actor, scopes: Sequence[str]) -> None:
    if scope := rules.beyond(owner, scopes):
        whose = f"The roles of {owner.name} allow" if owner.service else "Your roles allow"
        text = f"{whose} nothing of the scope {scope}, so such a token cannot have it."
        raise Forbidden(text, permission=P.TOKENS_MANAGE.value, scope=scope)


def _no_wider(actor: Actor, token: ApiToken, until: datetime | None = None) -> None:
    """A token deals only with tokens that are no wider than itself; where it gets a value, that one ends by `until`."""
    allowed = rules.cap(token.scopes, token.team_id, token.project_ids)
    projects, networks = frozenset(token.project_ids), tuple(token.allowed_ips)
    width = rules.Width(allowed, token.team_id, projects, token.expires_at, networks)
    own = find(actor, actor.token_id).allowed_ips if actor.token_id else ()
    if not width.fits(actor, until, own):
        text = "A token can only make or change tokens that allow no more, reach no further and last no longer."
        raise Forbidden(text, code="AUTHORIZATION_FAILED", permission=P.TOKENS_MANAGE.value)


def _own_end(actor: Actor) -> datetime | None:
    """When the token ends that the actor came with; None without one, or when it never does."""
    return find(actor, actor.token_id).expires_at if actor.token_id else None


def _places(actor: Actor, data: TokenIn) -> tuple[str | None, list[str]]:
    team = teams.find(actor, data.team_id) if data.team_id else None
    found = {project.id: project for project in (projects.find(actor, key) for key in data.project_ids)}
    if team and (foreign := [project.name for project in found.values() if project.team_id != team.id]):
        text = f"{', '.join(foreign)} belongs to another team."
        raise Invalid(text, {"project_ids": [text]})
    return (team.id if team else None), sorted(found)


def _networks(texts: Sequence[str]) -> list[str]:
    try:
        return sorted({rules.normal_network(text) for text in texts})
    except ValueError as error:
        text = "Write addresses such as 203.0.113.7 or ranges such as 203.0.113.0/24."
        raise Invalid(text, {"allowed_ips": [text]}) from error


def _end(actor: Actor, days: int | None, max_days: int) -> datetime | None:
    """When a token ends that was asked for so many days; 0 is never, None is as long as usual."""
    if days == 0:
        if not actor.holds(P.PLATFORM_MANAGE):
            text = "A token that never expires is for administrators of the platform. Choose an end."
            raise Forbidden(text, permission=P.PLATFORM_MANAGE.value)
        return None
    if days is not None and days > max_days:
        text = f"At most {max_days} days."
        raise Invalid(text, {"expires_in_days": [text]})
    ends = now() + timedelta(days=min(DEFAULT_DAYS, max_days) if days is None else days)
    own = _own_end(actor) if days is None else None
    return min(ends, own) if own else ends


def _new_value(token: ApiToken) -> str:
    value = rules.new_value()
    token.token_prefix, token.last_four = value[: rules.SHOWN], value[-4:]
    db.session.add(token)
    db.session.flush()
    db.session.add(TokenValue(digest=digest(value), token_id=token.id))
    return value
