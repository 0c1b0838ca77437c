"""How the edge serves files: clean addresses, caching, fallbacks. Pure: returns Caddy routes.

The routes read two variables of the request: `slot` (the release, pinned when the request began, so that one answer
never mixes two releases) and `folder` (where the site's releases are).
"""

from __future__ import annotations

from typing import Any

from devflow.adapters.caddy import pages

Json = dict[str, Any]

ROOT = "{http.vars.folder}/releases/{http.vars.slot}/root"
PREVIOUS = "{http.vars.folder}/releases/{http.vars.slot}/previous/root"

FOREVER = "public, max-age=31536000, immutable"
REVALIDATE = "public, max-age=0, must-revalidate"

COMPRESSIBLE = [
    "text/html*",
    "text/css*",
    "text/plain*",
    "text/xml*",
    "text/javascript*",
    "application/javascript*",
    "application/json*",
    "application/ld+json*",
    "application/manifest+json*",
    "application/xml*",
    "application/rss+xml*",
    "application/atom+xml*",
    "application/wasm*",
    "image/svg+xml*",
    "font/ttf*",
    "font/otf*",
]

_FRAMEWORK_FOLDERS = ["/_astro/*", "/_next/static/*", "/_app/immutable/*", "/_nuxt/*", "/static/js/*", "/static/css/*"]
_EXTENSION = r"(\.[a-z0-9]{1,5}){1,2}$"
_HASHED_NAMES = [
    # hexadecimal, as webpack and Parcel write it; a date has no letter, a word no digit
    [
        rf"[.-][0-9a-f]{{8,64}}{_EXTENSION}",
        rf"[.-][0-9a-f]*[0-9][0-9a-f]*{_EXTENSION}",
        rf"[.-][0-9a-f]*[a-f][0-9a-f]*{_EXTENSION}",
    ],
    # base 62: all three kinds of characters, or a word would pass for a hash
    [
        rf"[.-][0-9A-Za-z_]{{8,64}}{_EXTENSION}",
        rf"[.-]\w*[0-9]\w*{_EXTENSION}",
        rf"[.-]\w*[A-Z]\w*{_EXTENSION}",
        rf"[.-]\w*[a-z]\w*{_EXTENSION}",
    ],
    # base 32, as esbuild and Angular write it
    [r"[.-][A-Z2-7]{8}\.(js|mjs|css)(\.map)?$"],
    # Vite: 8 of base64url; a digit or a capital, or it is a word
    [r"^/assets/(.*/)?[^/]*[.-][0-9A-Za-z_-]{8}\.[a-z0-9]+$", r"[.-][0-9A-Za-z_-]*[0-9A-Z][0-9A-Za-z_-]*\.[a-z0-9]+$"],
]


def _all(patterns: list[str]) -> Json:
    """Matches when every pattern does (Caddy allows one pattern a matcher set, so: not any that does not)."""
    return {"not": [{"not": [{"path_regexp": {"pattern": pattern}}]} for pattern in patterns]}


IMMUTABLE: list[Json] = [{"path": _FRAMEWORK_FOLDERS}, *(_all(patterns) for patterns in _HASHED_NAMES)]
HIDDEN: list[Json] = [
    {
        "path_regexp": {"pattern": r"/\."},
        "not": [{"path_regexp": {"pattern": r"^/\.well-known(/([^./][^/]*)?)*$"}}],
    }
]


def routes() -> list[Json]:
    """The whole of a static site, from the first header to its 404 page."""
    return [
        {"handle": [_compress(), _release_headers()]},
        {"match": HIDDEN, "handle": [_subroute(_missing())]},
        *_files(),
        *_clean_addresses(),
        {
            "match": [{"vars": {"spa": ["yes"]}, "not": IMMUTABLE, **_exists("/index.html")}],
            "handle": _rewritten(REVALIDATE),
        },
        *_missing(),
    ]


def _files() -> list[Json]:
    """A file of that very name, now or (fingerprinted only: an open page still asks for them) in the release before."""
    forever = _subroute(
        [
            {"match": [_exists("{http.request.uri.path}")], "handle": [_cache(FOREVER), _serve()]},
            {"match": [_exists("{http.request.uri.path}", PREVIOUS)], "handle": [_cache(FOREVER), _serve(PREVIOUS)]},
        ]
    )
    return [
        {"match": IMMUTABLE, "handle": [forever]},
        {"match": [_exists("{http.request.uri.path}")], "handle": [_cache(REVALIDATE), _serve()]},
    ]


def _clean_addresses() -> list[Json]:
    """`/a` is a.html; `/a/` is a/index.html; each redirects to the other form if only that one exists."""
    with_slash: list[Json] = [
        {"match": [_exists("{http.request.uri.path}index.html")], "handle": _rewritten(REVALIDATE)},
        _redirect("{http.regexp.address.1}.html", "/{http.regexp.raw.1}{http.regexp.raw.2}"),
    ]
    without_slash: list[Json] = [
        {"match": [_exists("{http.request.uri.path}.html")], "handle": _rewritten(REVALIDATE)},
        _redirect("{http.request.uri.path}/index.html", "/{http.regexp.raw.1}/{http.regexp.raw.2}"),
    ]
    return [
        {"match": [{"path_regexp": {"name": "address", "pattern": "^(.*?)/+$"}}], "handle": [_subroute(with_slash)]},
        {"match": [{"not": [{"path": ["*/"]}]}], "handle": [_subroute(without_slash)]},
    ]


def _redirect(file: str, location: str) -> Json:
    """Built from the address as it was sent, with one leading slash: it can never lead to another host."""
    raw = {"{http.request.uri}": {"name": "raw", "pattern": r"^/+([^?]*?)/*(\?.*)?$"}}
    move = {
        "handler": "static_response",
        "status_code": "308",
        "headers": {"Location": [location], "Cache-Control": [REVALIDATE]},
    }
    return {"match": [_exists(file)], "handle": [_subroute([{"match": [{"vars_regexp": raw}], "handle": [move]}])]}


def _missing() -> list[Json]:
    return [
        {"match": [_exists("/404.html")], "handle": _rewritten(REVALIDATE, status=404)},
        {"handle": [pages.NOT_FOUND]},
    ]


def _release_headers() -> Json:
    """ETags carry the release: builds with fixed file times would otherwise keep an old file in browsers' caches."""
    mark = {"search": '"{http.vars.slot}.', "replace": '"'}
    return {
        "handler": "headers",
        "request": {"replace": {"If-None-Match": [mark], "If-Range": [mark]}, "delete": ["If-Modified-Since"]},
        "response": {
            "deferred": True,
            "set": {"X-DevFlow-Release": ["{http.vars.release}"]},
            "replace": {"Etag": [{"search_regexp": '^"', "replace": '"{http.vars.slot}.'}]},
            "delete": ["Last-Modified"],
        },
    }


def _compress() -> Json:
    return {
        "handler": "encode",
        "encodings": {"zstd": {}, "gzip": {}},
        "prefer": ["zstd", "gzip"],
        "minimum_length": 512,
        "match": {"headers": {"Content-Type": COMPRESSIBLE}},
    }


def _exists(file: str, root: str = ROOT) -> Json:
    return {"file": {"root": root, "try_files": [file]}}


def _rewritten(cache: str, status: int = 0) -> list[Json]:
    """Serve the file that the matcher found, whatever the address says."""
    return [
        {"handler": "rewrite", "uri": "{http.matchers.file.relative}"},
        _cache(cache),
        _serve() | ({"status_code": str(status)} if status else {}),
    ]


def _cache(value: str) -> Json:
    return {"handler": "headers", "response": {"set": {"Cache-Control": [value]}}}


def _serve(root: str = ROOT) -> Json:
    return {
        "handler": "file_server",
        "root": root,
        "index_names": ["index.html"],
        "canonical_uris": False,
        "precompressed": {"br": {}, "zstd": {}, "gzip": {}},
        "precompressed_order": ["br", "zstd", "gzip"],
    }


def _subroute(routes: list[Json]) -> Json:
    return {"handler": "subroute", "routes": routes}
