"""Puts the house together: settings, adapters into ports, features onto doors. The only room that knows every room."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, url_for
from flask.json.provider import JSONProvider
from orjson import dumps as orjson_dumps
from orjson import loads as orjson_loads

from devflow.adapters.caddy.client import CaddyEdge
from devflow.adapters.docker.baseimages import DockerBaseImages
from devflow.adapters.docker.client import DockerEngine
from devflow.adapters.git.client import GitClient
from devflow.adapters.logs import open_logs
from devflow.adapters.oauth import OAuthProviders
from devflow.adapters.smtp import SmtpMail
from devflow.adapters.tries import CountedTries
from devflow.core import crypto, db, jobs
from devflow.core.access import Actor
from devflow.core.clock import now
from devflow.core.queue import Queues
from devflow.core.settings import Settings, load
from devflow.features.accounts.service import entering, people
from devflow.features.audit import service as audit
from devflow.features.teams import service as teams
from devflow.features.tokens.api import tokens as tokens_door
from devflow.features.tokens.service import bearing as tokens
from devflow.features.tokens.service.counting import Counter
from devflow.ports.doctor import Doctor
from devflow.ports.edge import Edge
from devflow.ports.engine import Engine
from devflow.ports.git import Git
from devflow.ports.images import BaseImages
from devflow.ports.logs import Logs
from devflow.ports.mail import Mail
from devflow.ports.oauth import OAuth
from devflow.ports.tries import Tries
from devflow.supervisor.examination import PlatformDoctor
from devflow.web import cors, csrf, faults, formats, headers, identity, limits, versions
from devflow.web.api import PREFIXES, ApiBlueprint, document
from devflow.web.pages import toasts
from devflow.web.place import shown
from devflow.web.ports import provide
from devflow.web.sockets import init_sockets

FEATURES = (
    "audit", "settings", "mail", "accounts", "roles", "teams", "tokens", "projects", "containers", "deployments",
    "overview", "wizard", "security", "dashboard", "site", "health",
)  # fmt: skip
ROOMS = ("models", "tasks", "listeners", "pages", "api", "sockets")
ROOT = Path(__file__).resolve().parent.parent
"""The folder of templates, static files and migrations."""


def create_app(overrides: Mapping[str, Any] | None = None, adapters: Mapping[type, Any] | None = None) -> Flask:
    """An app of its own. `overrides` win over the environment; `adapters` (port -> object) over the real ones."""
    settings = load(overrides)
    app = Flask("devflow", root_path=str(ROOT), static_folder="static", template_folder="templates")
    app.json = OrjsonProvider(app)
    _configure(app, settings)
    _provide(app, settings, adapters or {})
    _recognise(app)
    headers.init_app(app, settings)
    cors.init_app(app, settings)
    versions.init_app(app)
    limits.init_app(app, settings)
    csrf.init_app(app)
    faults.init_app(app, audit.refused)
    formats.init_app(app)
    _open_doors(app)
    app.after_request(tokens_door.count)
    init_sockets(app, app.extensions["devflow-ports"][Logs])
    _fill_templates(app)
    return app


@cache
def process_app() -> Flask:
    """The app of this process, made once; a fork goes on with its parent's. Nothing in it is connected yet."""
    return create_app()


def _configure(app: Flask, settings: Settings) -> None:
    secure = settings.public_url.startswith("https://")
    app.config.update(
        SECRET_KEY=settings.secret_key.get_secret_value(),
        SQLALCHEMY_DATABASE_URI=settings.store_url,
        SQLALCHEMY_ENGINE_OPTIONS=db.options(settings.store_url),
        MAX_CONTENT_LENGTH=settings.max_body_size * 1024 * 1024,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=settings.remembered_seconds),
        # Apps answer under the same domain; with this prefix no browser lets them plant a session here.
        SESSION_COOKIE_NAME="__Host-devflow" if secure else "devflow",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=secure,
        SEND_FILE_MAX_AGE_DEFAULT=timedelta(days=365),
    )
    settings.folder.mkdir(parents=True, exist_ok=True)
    crypto.use(
        settings.encryption_keys.get_secret_value(),
        audit_key=settings.audit_key.get_secret_value(),
        token_key=settings.secret_key.get_secret_value(),
    )
    db.db.init_app(app)


def _provide(app: Flask, settings: Settings, adapters: Mapping[type, Any]) -> None:
    """Adapters into ports; given ones first, so that nothing real is made in their place."""
    makers: dict[type, Any] = {
        Settings: lambda: settings,
        entering.Keys: lambda: entering.Keys.of(settings),
        Logs: lambda: open_logs(settings),
        Engine: lambda: DockerEngine(settings.docker_host),
        BaseImages: lambda: DockerBaseImages(settings.folder / "images", settings.docker_host),
        Git: lambda: GitClient(settings.folder / "git", settings.allow_private_addresses),
        Edge: lambda: edge_of(settings),
        Mail: lambda: mail_of(settings),
        jobs.Jobs: lambda: jobs.Jobs(Queues(settings.folder, settings.redis_url), settings.lease),
        Doctor: lambda: PlatformDoctor(settings),
        Tries: lambda: CountedTries(settings.redis_url),
        OAuth: lambda: OAuthProviders(settings),
        Counter: lambda: Counter(app.app_context),
    }
    for kind, make in makers.items():
        provide(app, kind, adapters[kind] if kind in adapters else make())


def edge_of(settings: Settings) -> CaddyEdge:
    """The edge of these settings; the supervisor starts it with the same values."""
    return CaddyEdge(
        settings.folder / "edge",
        settings.edge_admin,
        settings.edge_http_port,
        settings.edge_https_port,
        settings.edge_tls,
        (settings.base_domain,),
        settings.edge_upstream or f"127.0.0.1:{settings.port}",
        settings.acme_directory,
        settings.acme_email,
        settings.acme_ca_file,
    )


def mail_of(settings: Settings) -> SmtpMail:
    """The mail server of these settings."""
    password = settings.smtp_pass.get_secret_value()
    return SmtpMail(
        settings.smtp_host, settings.smtp_port, settings.smtp_tls, settings.smtp_user, password, settings.smtp_from
    )


def _recognise(app: Flask) -> None:
    keys: entering.Keys = app.extensions["devflow-ports"][entering.Keys]

    settings: Settings = app.extensions["devflow-ports"][Settings]
    lately = timedelta(seconds=settings.reauthenticate_after)

    def of_session(key: str, caller: identity.Caller) -> Actor | None:
        return signed_in(entering.by_session(key), caller)

    def of_token(token: str, caller: identity.Caller) -> Actor | None:
        if token.startswith(tokens.PREFIX):
            limits = tokens.by_value(token, **vars(caller))
            return teams.actor_of(limits.user, **limits.of_actor, **vars(caller)) if limits else None
        return signed_in(entering.by_access_token(token, keys), caller)

    def signed_in(found: tuple[Any, Any] | None, caller: identity.Caller) -> Actor | None:
        if found is None:
            return None
        user, login = found
        return teams.actor_of(user, session_id=login.id, fresh=now() - login.proved_at < lately, **vars(caller))

    identity.init_app(app, of_session, of_token)


def rooms() -> list[ModuleType]:
    """Every room of every feature that has something to register; a room may be a package of several modules."""
    names = [f"devflow.features.{feature}.{room}" for feature in FEATURES for room in ROOMS]
    found = [import_module(name) for name in names if find_spec(name)]
    inner = [
        import_module(f"{room.__name__}.{module.name}")
        for room in found
        if hasattr(room, "__path__")
        for module in iter_modules(room.__path__)
    ]
    return found + inner


def _open_doors(app: Flask) -> None:
    modules = rooms()
    parents = [
        Blueprint(name, __name__, url_prefix=prefix) for name, prefix in zip(("api", "plain"), PREFIXES, strict=True)
    ]
    for module in modules:
        for blueprint in {id(b): b for b in vars(module).values() if isinstance(b, Blueprint)}.values():
            if blueprint.import_name != module.__name__:
                continue  # borrowed from another room
            if isinstance(blueprint, ApiBlueprint) or ".sockets" in module.__name__:
                for parent in parents:
                    parent.register_blueprint(blueprint)
            else:
                app.register_blueprint(blueprint)
    for parent in parents:
        app.register_blueprint(parent)
        app.add_url_rule(f"{parent.url_prefix}/openapi.json", f"{parent.name}_openapi", lambda: jsonify(document(app)))


def _fill_templates(app: Flask) -> None:
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    mail_works = bool(app.extensions["devflow-ports"][Settings].smtp_host)
    app.jinja_env.globals.update(may=identity.may, mail_works=mail_works)
    app.context_processor(_context)
    # Globals of the environment are complete by now, so the macros see them.
    app.jinja_env.globals["ui"] = app.jinja_env.get_template("components/ui.html").module


def _context() -> dict[str, Any]:
    """What every page knows."""
    visitor = identity.visitor()
    mine = teams.of_actor(visitor.actor) if visitor else []
    chosen = next((team for team in mine if team.id == shown()), mine[0] if mine else None)
    stream = url_for("api.deployment_sockets.list_stream")
    own = people.look(visitor.actor.id) if visitor else None
    return {"teams": mine, "team": chosen, "toasts": toasts(), "stream_url": stream, "own": own}


class OrjsonProvider(JSONProvider):
    """JSON by orjson, also where Flask itself writes it."""

    def dumps(self, obj: Any, **_kwargs: Any) -> str:
        return orjson_dumps(obj).decode()

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        return orjson_loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return Response(self.dumps(self._prepare_response_obj(args, kwargs)), mimetype="application/json")
