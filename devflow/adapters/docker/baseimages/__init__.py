"""Base images under their official names, made from Debian's packages where no registry answers."""

from __future__ import annotations

from devflow.adapters.docker.baseimages.client import DockerBaseImages

__all__ = ["DockerBaseImages"]
