"""Base images on a Docker engine: present, pulled, or built under their official names."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from docker.errors import ImageNotFound

from devflow.adapters.docker.baseimages import catalogue, render
from devflow.adapters.docker.baseimages.builder import Builder
from devflow.adapters.docker.baseimages.catalogue import Recipe
from devflow.adapters.docker.baseimages.host import Host, read_host
from devflow.adapters.docker.baseimages.registry import PATIENCE, Registry
from devflow.adapters.docker.baseimages.streams import StreamingClient, engine_errors
from devflow.core.errors import Cancelled, NotFound, StepFailed
from devflow.ports.images import BaseImage

_BUILD_SILENCE = 1800
"""Seconds the engine may say nothing during a step."""
_PROBE = "debian:13-slim"


class DockerBaseImages:
    """`folder` holds locks and what is known of the registries; all processes of one installation share it."""

    def __init__(
        self,
        folder: Path,
        docker_host: str = "",
        recipes: Mapping[str, Recipe] = catalogue.RECIPES,
        host: Host | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._folder = folder
        self._docker_host = docker_host or "unix:///var/run/docker.sock"
        self._recipes = recipes
        self._host = host or read_host(os.environ)
        self._builder = Builder(self._connect, self._host)
        self._registry = Registry(self._connect, folder, patience)

    def versions(self) -> Mapping[str, tuple[str, ...]]:
        with engine_errors():
            found = {runtime: set(versions) for runtime, versions in self._buildable().items()}
            tags = [tag for image in self._asked.images() for tag in image.get("RepoTags") or ()]
            online = self._registry.reachable(_PROBE)
        for runtime, repository in catalogue.REPOSITORIES.items():
            here = {catalogue.series(repository, t.partition(":")[2]) for t in tags if t.startswith(f"{repository}:")}
            offered = catalogue.PULLABLE[runtime] if online else ()
            found.setdefault(runtime, set()).update(here - {""}, offered)
        return {runtime: catalogue.newest_first(versions) for runtime, versions in found.items()}

    def ensure(self, reference: str, on_line: Callable[[str], None], cancelled: Callable[[], bool]) -> None:
        name = catalogue.normalise(reference)
        with engine_errors():
            if name == "scratch:latest" or self._labels(name) is not None:
                return
            if self._registry.pull(name, on_line, cancelled):
                return
            resolution = catalogue.resolve(name, self._recipes)
            if resolution is None:
                raise self._not_found(name)
            if resolution.note:
                on_line(resolution.note)
            for recipe in render.lineage(resolution.recipe, self._recipes):
                self._make(recipe, on_line, cancelled, lambda r: self._labels(r.reference) is not None)
            repository, _, tag = name.partition(":")
            self._asked.tag(resolution.recipe.reference, repository, tag)

    def build_all(self, names: Sequence[str], on_line: Callable[[str], None], refresh: bool = False) -> tuple[str, ...]:
        recipes = [self._recipe(name) for name in names] or list(self._recipes.values())
        wanted = {r.reference: r for recipe in recipes for r in render.lineage(recipe, self._recipes)}
        built: list[str] = []
        with engine_errors():
            for recipe in wanted.values():
                stale = refresh or any(r.reference in built for r in render.lineage(recipe, self._recipes))
                fresh = (lambda _: False) if stale else self._current
                if self._make(recipe, on_line, lambda: False, fresh, refresh):
                    built.append(recipe.reference)
        return tuple(built)

    def list_images(self) -> tuple[BaseImage, ...]:
        with engine_errors():
            sizes = {tag: image["Size"] for image in self._asked.images() for tag in image.get("RepoTags") or ()}
        return tuple(
            BaseImage(name, "present" if name in sizes else "buildable", sizes.get(name, 0), recipe.summary)
            for name, recipe in self._recipes.items()
        )

    def _make(
        self,
        recipe: Recipe,
        on_line: Callable[[str], None],
        cancelled: Callable[[], bool],
        fine: Callable[[Recipe], bool],
        refresh: bool = False,
    ) -> bool:
        """Build one recipe unless it is `fine`; False when another process did it meanwhile, or it was there."""
        if fine(recipe):
            return False
        with self._lock(recipe.reference, on_line, cancelled):
            if not refresh and fine(recipe):
                return False
            on_line(f"Building {recipe.reference} ({recipe.summary}) from Debian's packages …")
            started = time.monotonic()
            labels = render.labels(recipe, self._recipes, self._host)
            self._builder.build(recipe, labels, on_line, cancelled, refresh)
            on_line(f"{recipe.reference} is ready ({time.monotonic() - started:.0f} s).")
            return True

    def _current(self, recipe: Recipe) -> bool:
        """On the engine and made by today's recipe, or pulled."""
        labels = self._labels(recipe.reference)
        if labels is None:
            return False
        digest = render.digest(recipe, self._recipes, self._host)
        return labels.get(render.DIGEST_LABEL, digest) == digest

    def _labels(self, reference: str) -> Mapping[str, str] | None:
        try:
            return self._asked.inspect_image(reference)["Config"]["Labels"] or {}
        except ImageNotFound:
            return None

    def _buildable(self) -> dict[str, tuple[str, ...]]:
        return catalogue.buildable(self._recipes) if shutil.which("mmdebstrap") else {}

    def _recipe(self, name: str) -> Recipe:
        if resolution := catalogue.resolve(name, self._recipes):
            return resolution.recipe
        raise NotFound(f"There is no recipe for {name}. There are recipes for: {catalogue.available(self._recipes)}.")

    def _not_found(self, name: str) -> StepFailed:
        return StepFailed(
            f"The image {name} is not on this server, no registry gave it to us, and it cannot be built here.",
            cause="image_not_found",
            hint=f"Use one of these in FROM: {catalogue.available(self._recipes)}.",
        )

    @contextlib.contextmanager
    def _lock(self, name: str, on_line: Callable[[str], None], cancelled: Callable[[], bool]) -> Iterator[None]:
        """One build of a name at a time, across processes; the kernel frees the lock of one that dies."""
        self._folder.mkdir(parents=True, exist_ok=True)
        waiting = False
        with (self._folder / f"{name.replace('/', '_').replace(':', '_')}.lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not waiting:
                        on_line(f"{name} is being built already; waiting for it …")
                    waiting = True
                if cancelled():
                    raise Cancelled("The preparation of the base image was cancelled.")
                time.sleep(0.1)
            yield

    @cached_property
    def _asked(self) -> StreamingClient:
        """The client for short questions; it connects again by itself. Long answers have clients of their own."""
        return self._connect()

    def _connect(self) -> StreamingClient:
        return StreamingClient(base_url=self._docker_host, version="auto", timeout=_BUILD_SILENCE)
