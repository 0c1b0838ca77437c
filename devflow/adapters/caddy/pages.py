"""The few pages the edge writes itself, when no release can answer."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = (
    ":root{color-scheme:light dark;--ground:#fbfbfc;--text:#16171b;--quiet:#5c5e66;--line:#e3e4e8}"
    "@media (prefers-color-scheme:dark){:root{--ground:#0b0c0f;--text:#f0f0f2;--quiet:#a0a2ab;--line:#24262b}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--ground);"
    "color:var(--text);font:16px/1.6 ui-sans-serif,system-ui,sans-serif}"
    "main{max-width:34rem;border-top:1px solid var(--line);padding-top:24px}"
    "h1{margin:0 0 8px;font-size:1.5rem;line-height:1.3;letter-spacing:-.02em;overflow-wrap:anywhere}"
    "p{margin:0;color:var(--quiet)}"
)
_HEADERS = {
    "Content-Type": ["text/html; charset=utf-8"],
    "Cache-Control": ["no-store"],
    "Content-Security-Policy": ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"],
    "X-Content-Type-Options": ["nosniff"],
}


def page(title: str, text: str, refresh: int = 0) -> str:
    """One HTML page without scripts or outside resources. `refresh`: seconds until the browser asks again."""
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{again}<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p></main></body></html>\n"
    )


def answer(status: int | str, title: str, text: str, refresh: int = 0, **headers: str) -> dict[str, Any]:
    """A Caddy handler that answers with such a page; `headers` use `_` for `-`."""
    extra = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return {
        "handler": "static_response",
        "status_code": str(status),
        "headers": _HEADERS | extra,
        "body": page(title, text, refresh),
    }


UNKNOWN_HOST = answer(
    404,
    "No site answers at {http.request.host}",
    "The address reached DevFlow, but no project uses it. Check the spelling, or add the domain to its project.",
)
NO_RELEASE = answer(
    503,
    "This project has no running version",
    "No deployment of it has gone live yet, or the last one was stopped. It answers here once a deployment is live; "
    "its team sees in DevFlow how far that is.",
    Retry_After="30",
)
CLOSED = {
    "maintenance": answer(
        503,
        "Down for maintenance",
        "This site is being worked on and comes back soon. Please try again in a few minutes.",
        Retry_After="120",
        X_DevFlow_Release="{http.vars.release}",
        X_DevFlow_Closed="maintenance",
    ),
    "inactive": answer(
        503,
        "This site is switched off",
        "The team it belongs to has set it inactive. It answers again when they switch it on.",
        Retry_After="3600",
        X_DevFlow_Release="{http.vars.release}",
        X_DevFlow_Closed="inactive",
    ),
}
NOT_FOUND = answer(
    404,
    "There is no page here",
    "The site is up, but it has nothing at this address. Check the link, or start from its front page.",
)
APP_SILENT = answer(
    "{http.error.status_code}",
    "The app does not answer",
    "Its address is known, but the app behind it did not respond. Try again in a moment; its log says more.",
    Retry_After="5",
    X_DevFlow_Release="{http.vars.release}",
)
STARTING = answer(
    503,
    "DevFlow is starting",
    "This page asks again every 3 seconds and continues by itself. Deployed sites keep answering.",
    refresh=3,
    Retry_After="3",
)
OTHER_ERROR = answer(
    "{http.error.status_code}",
    "{http.error.status_code} {http.error.status_text}",
    "The request reached DevFlow's edge but could not be answered. Try again; if it stays so, tell whoever runs it.",
    X_DevFlow_Release="{http.vars.release}",
)
