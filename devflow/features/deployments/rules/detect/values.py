"""What goes into a detection and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FRAMEWORKS = {
    "flask": "Flask",
    "fastapi": "FastAPI",
    "django": "Django",
    "python": "Python",
    "express": "Express",
    "next": "Next.js",
    "nuxt": "Nuxt",
    "vite": "Vite",
    "astro": "Astro",
    "cra": "Create React App",
    "gatsby": "Gatsby",
    "svelte": "SvelteKit",
    "angular": "Angular",
    "node": "Node",
    "go": "Go",
    "php": "PHP",
    "laravel": "Laravel",
    "ruby": "Ruby",
    "rails": "Rails",
    "static": "Static files",
    "dockerfile": "Dockerfile",
}
"""Every framework a project may be set to, with the name people know it by."""


@dataclass(frozen=True)
class Overrides:
    """What the project's settings say; "" or None means that the detected value is used."""

    root_directory: str = ""
    framework: str = ""
    build_command: str = ""
    install_command: str = ""
    start_command: str = ""
    output_directory: str = ""
    port: int | None = None
    dockerfile: str = ""
    """Path of the Dockerfile, relative to the root directory."""
    php_version: str = ""


@dataclass(frozen=True)
class Evidence:
    """A file that told something, and what it told."""

    file: str
    says: str


@dataclass(frozen=True)
class Detected:
    """How to build and run a tree. Commands are one line each; "" means there is none."""

    framework: str
    title: str
    kind: Literal["app", "static"]
    install_command: str
    build_command: str
    start_command: str
    output_directory: str
    release_command: str
    port: int
    spa: bool
    runtime: str | None
    runtime_version: str | None
    base_images: tuple[str, ...]
    """Every image a FROM or COPY --from names; each must be there before the build."""
    dockerfile: str | None
    """The user's own Dockerfile, relative to the root directory, when that is what gets built."""
    dockerfile_text: str | None
    static_path: str | None
    """Folder of the built image that holds the site; None when `output_directory` of the tree is served as it is."""
    evidence: tuple[Evidence, ...]
    notes: tuple[str, ...]
    required_secrets: tuple[str, ...] = ()
    """Environment variables or build secrets the build or the app cannot do without."""
