"""Plain pages: a tree that is served as it is."""

from __future__ import annotations

from devflow.features.deployments.rules.detect.source import Source, folder_name
from devflow.features.deployments.rules.detect.tree import Tree
from devflow.features.deployments.rules.detect.values import Detected, Evidence

_FOLDERS = ("public", "dist", "site", "_site", "www", "html", "docs", "build", "out")
PORT = 8080


def plan(source: Source) -> Detected | None:
    """A plan when there is a start page at the root, in a usual folder, or in the only folder with pages."""
    said = source.overrides
    forced = source.wants("static")
    folder = folder_name("output_directory", said.output_directory) if said.output_directory else _folder(source.tree)
    if folder is None or not (forced or source.keen) or (folder and not source.tree.is_dir(folder)):
        return None
    pages = [name for name in source.tree.files(folder) if name.endswith((".html", ".htm"))]
    if not pages and not forced:
        return None
    page = "index.html" if "index.html" in pages else (pages or [""])[0]
    notes = [] if page == "index.html" else ["There is no index.html, so the address itself answers 404."]
    count = "1 page" if len(pages) == 1 else f"{len(pages)} pages"
    return Detected(
        framework="static",
        title="Static files",
        kind="static",
        install_command="",
        build_command="",
        start_command="",
        output_directory=folder,
        release_command="",
        port=said.port or PORT,
        spa=False,
        runtime=None,
        runtime_version=None,
        base_images=(),
        dockerfile=None,
        dockerfile_text=None,
        static_path=None,
        evidence=(Evidence(f"{folder}/{page}".strip("/") or ".", f"{count}, served as they are"),),
        notes=tuple(notes),
    )


def _folder(tree: Tree) -> str | None:
    for folder in ("", *_FOLDERS):
        if tree.is_file(f"{folder}/index.html".lstrip("/")):
            return folder
    if any(name.endswith((".html", ".htm")) for name in tree.files()):
        return ""
    with_pages = [folder for folder in tree.folders() if tree.files(folder, ".html")]
    return with_pages[0] if len(with_pages) == 1 else None
