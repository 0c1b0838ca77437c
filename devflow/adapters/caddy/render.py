"""Settings and sites as Caddy's configuration. Pure: the same values always give the same document.

Nothing here names a release: each request reads `<folder>/sites/<key>/current/…`, so a switch needs no load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from devflow.adapters.caddy import pages, static
from devflow.core.errors import Invalid
from devflow.ports.edge import Site

Json = dict[str, Any]

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$)(\*\.)?{_LABEL}(\.{_LABEL})*")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SECRET_PARAMETERS = (
    "token",
    "access_token",
    "refresh_token",
    "api_key",
    "ticket",
    "code",
    "secret",
    "password",
    "state",
    "invite",
    "invite_token",
)
_SECRETS_IN_ADDRESSES = rf"([?&](?:{'|'.join(_SECRET_PARAMETERS)})=)[^&#]*|(/invitations/)[^/?#]+"
_NO_REQUEST = {"not": [{"path": ["*"]}]}
_IDLE = "1500ms"  # below the keep-alive of common servers (gunicorn 2 s, Node 5 s): they must not hang up first
_SOCKETS_LIVE = "24h"  # how long a WebSocket survives the configuration it was opened under


@dataclass(frozen=True)
class EdgeSettings:
    """What the edge is told once. `folder`: where it keeps releases, certificates and logs (absolute)."""

    folder: Path
    admin: str = ""
    http_port: int = 8080
    https_port: int = 8443
    tls: Literal["off", "internal", "acme"] = "off"
    dashboard_hosts: tuple[str, ...] = ()
    dashboard_upstream: str = "127.0.0.1:8000"
    acme_directory: str = ""
    acme_email: str = ""
    acme_ca_file: str = ""
    trusted_proxies: tuple[str, ...] = ()

    @property
    def admin_listen(self) -> str:
        """Where Caddy takes orders: an address, or a socket only its owner may open."""
        return self.admin or f"unix/{self.folder / 'admin.sock'}|0600"


def config(settings: EdgeSettings, sites: Iterable[Site]) -> Json:
    """The whole configuration. Raises `Invalid` on a host or key that cannot be used, or a host used twice."""
    known = checked(sites, settings.dashboard_hosts)
    return {
        "admin": {"listen": settings.admin_listen, "config": {"persist": False}},
        "logging": _logging(settings.folder),
        "storage": {"module": "file_system", "root": str(settings.folder / "certificates")},
        "apps": _apps(settings, known),
    }


def checked(sites: Iterable[Site], taken: Iterable[str] = ()) -> list[Site]:
    """The sites with hosts in lower case. Raises `Invalid`; a bad host could otherwise stop every other site."""
    owners = {host.lower(): "the dashboard" for host in taken}
    result = []
    for site in sites:
        check_name(site.key)
        hosts = tuple(dict.fromkeys(host.strip().lower().rstrip(".") for host in site.hosts))
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise Invalid(f"{host!r} is not a host name. Use letters, digits, hyphens and dots.", {"hosts": [host]})
            if host in owners:
                raise Invalid(f"{host} leads to {owners[host]} already.", {"hosts": [host]})
            owners[host] = f"site {site.key}"
        result.append(Site(site.key, hosts, site.kind, site.tls, site.spa, site.closed))
    return result


def check_name(name: str) -> str:
    """A site's key or a release's version becomes a folder: refuse what could leave its place."""
    if not _KEY.fullmatch(name):
        raise Invalid(f"{name!r} cannot be a site key or a version. Use letters, digits, dots and hyphens.")
    return name


def _apps(settings: EdgeSettings, sites: list[Site]) -> Json:
    secured = [*settings.dashboard_hosts, *(host for site in sites if site.tls for host in site.hosts)]
    http: Json = {"http_port": settings.http_port, "https_port": settings.https_port}
    if settings.tls == "off":
        http["servers"] = {
            "web": _server(settings, settings.http_port, [_dashboard(settings), *_sites(settings, sites)])
        }
        return {"http": http}
    plain = [_to_https(secured, settings.https_port), *_sites(settings, [site for site in sites if not site.tls])]
    secure = [_dashboard(settings), *_sites(settings, [site for site in sites if site.tls])]
    http["servers"] = {
        "web": _server(settings, settings.http_port, plain),
        "secure": _server(settings, settings.https_port, secure)
        | {"protocols": ["h1", "h2"], "tls_connection_policies": [{}]},
    }
    return {
        "http": http,
        "tls": _tls(settings, secured),
        "pki": {"certificate_authorities": {"local": {"install_trust": False}}},
    }


def _server(settings: EdgeSettings, port: int, routes: list[Json | None]) -> Json:
    starting = {"match": [{"host": list(settings.dashboard_hosts)} | _error(502, 503, 504)], "handle": [pages.STARTING]}
    errors = [
        *([starting] if settings.dashboard_hosts else []),
        {"match": [_error(502, 503, 504)], "handle": [pages.APP_SILENT]},
        {"handle": [pages.OTHER_ERROR]},
    ]
    server: Json = {
        "listen": [f":{port}"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "read_header_timeout": "30s",
        "idle_timeout": "5m",
        "routes": [{"handle": _noted()}, *(route for route in routes if route), {"handle": [pages.UNKNOWN_HOST]}],
        "named_routes": {"files": {"handle": [{"handler": "subroute", "routes": _without_app()}]}},
        "errors": {"routes": errors},
        "logs": {},
    }
    if settings.trusted_proxies:
        server["trusted_proxies"] = {"source": "static", "ranges": list(settings.trusted_proxies)}
        server["trusted_proxies_strict"] = 1
    return server


def _dashboard(settings: EdgeSettings) -> Json | None:
    if not settings.dashboard_hosts:
        return None
    proxy = _proxy(settings.dashboard_upstream, patience="3s")
    return {"match": [{"host": list(settings.dashboard_hosts)}], "handle": [proxy], "terminal": True}


def _sites(settings: EdgeSettings, sites: list[Site]) -> list[Json]:
    return [_site(settings.folder / "sites" / site.key, site) for site in sites if site.hosts]


def _site(folder: Path, site: Site) -> Json:
    """Both kinds are always routed and the release says which it is: app to static is a switch like any other."""
    variables = {
        "handler": "vars",
        "site": site.key,
        "folder": str(folder),
        "slot": f"{{file.{folder}/current/slot}}",
        "spa": "yes" if site.spa else "no",
    }
    release = {"handler": "vars", "release": "{http.regexp.slot.1}"}
    proxy = _proxy(f"{{file.{folder}/current/dial}}", patience="10s", release="{http.vars.release}")
    routes = [
        {"handle": [variables]},
        {"match": [_slot("app")], "handle": [release, proxy]},
        {"handle": [{"handler": "invoke", "name": "files"}]},
    ]
    if site.closed:
        known = {"match": [_slot("(?:app|static)")], "handle": [release]}
        routes = [{"handle": [variables]}, known, {"handle": [pages.CLOSED[site.closed]]}]
    return {
        "match": [{"host": list(site.hosts)}],
        "handle": [{"handler": "subroute", "routes": routes}],
        "terminal": True,
    }


def _without_app() -> list[Json]:
    """Shared by all sites: the files of a static release, or the page that says there is none."""
    release = {"handler": "vars", "release": "{http.regexp.slot.1}"}
    return [
        {"match": [_slot("static")], "handle": [release, {"handler": "subroute", "routes": static.routes()}]},
        {"handle": [pages.NO_RELEASE]},
    ]


def _slot(kind: str) -> Json:
    return {"vars_regexp": {"slot": {"name": "slot", "pattern": f"^{kind}-(.+)$"}}}


def _proxy(dial: str, patience: str, release: str = "") -> Json:
    """`patience`: how long a request waits for an upstream that cannot be reached; each try reads the dial file again.

    A request that reached the app is never sent twice, or one that crashes it would crash it a hundred times.
    """
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial}],
        "flush_interval": -1,
        "stream_close_delay": _SOCKETS_LIVE,
        "load_balancing": {"try_duration": patience, "try_interval": "100ms", "retry_match": [_NO_REQUEST]},
        "transport": {
            "protocol": "http",
            "dial_timeout": "2s",
            "response_header_timeout": "5m",
            "compression": False,
            "keep_alive": {"idle_timeout": _IDLE, "max_idle_conns_per_host": 64},
        },
        "headers": {
            "request": {"delete": ["X-DevFlow-Release"]},
            **({"response": {"set": {"X-DevFlow-Release": [release]}}} if release else {}),
        },
    }


def _to_https(hosts: list[str], port: int) -> Json | None:
    suffix = "" if port == 443 else f":{port}"
    headers = {"Location": [f"https://{{http.request.host}}{suffix}{{http.request.uri}}"]}
    move = {"handler": "static_response", "status_code": "308", "headers": headers}
    return {"match": [{"host": hosts}], "handle": [move], "terminal": True} if hosts else None


def _tls(settings: EdgeSettings, hosts: list[str]) -> Json:
    """Names no public authority would sign get a certificate of the edge's own in every case."""
    own = [host for host in hosts if settings.tls == "internal" or not _public(host)]
    public = [host for host in hosts if host not in set(own)]
    policies = [{"subjects": own, "issuers": [{"module": "internal"}]}] if own else []
    if public:
        policies.append({"subjects": public, "issuers": [_acme(settings)]})
    return {"certificates": {"automate": hosts}, "automation": {"policies": policies}}


def _acme(settings: EdgeSettings) -> Json:
    issuer: Json = {
        "module": "acme",
        "challenges": {
            "http": {"alternate_port": settings.http_port},
            "tls-alpn": {"alternate_port": settings.https_port},
        },
    }
    if settings.acme_directory:
        issuer["ca"] = settings.acme_directory
    if settings.acme_email:
        issuer["email"] = settings.acme_email
    if settings.acme_ca_file:
        issuer["trusted_roots_pem_files"] = [settings.acme_ca_file]
    return issuer


def _public(host: str) -> bool:
    last = host.rpartition(".")[2]
    return "." in host and last not in ("localhost", "local", "internal", "home", "arpa") and not last.isdigit()


def _error(*statuses: int) -> Json:
    return {"vars": {"{http.error.status_code}": [str(status) for status in statuses]}}


def _noted() -> list[Json]:
    """Add to the access log what its readers group by."""
    fields = {
        "site": "{http.vars.site}",
        "release": "{http.vars.release}",
        "user_agent": "{http.request.header.User-Agent}",
        "referer": "{http.request.header.Referer}",
    }
    return [{"handler": "log_append", "key": key, "value": value} for key, value in fields.items()]


def _logging(folder: Path) -> Json:
    """Requests go to one rolled file, without headers and with secrets in addresses replaced."""
    hide = {"filter": "regexp", "regexp": f"(?i){_SECRETS_IN_ADDRESSES}", "value": "${1}${2}-"}
    drop = {"filter": "delete"}
    fields = {"request>uri": hide, "referer": hide, "request>headers": drop, "request>tls": drop, "resp_headers": drop}
    access = {
        "include": ["http.log.access"],
        "level": "INFO",
        "encoder": {"format": "filter", "wrap": {"format": "json"}, "fields": fields},
        "writer": {
            "output": "file",
            "filename": str(folder / "access.log"),
            "roll_size_mb": 50,
            "roll_keep": 5,
            "roll_gzip": True,
        },
    }
    return {"logs": {"default": {"level": "WARN", "exclude": ["http.log.access", "admin"]}, "access": access}}
