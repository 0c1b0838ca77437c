"""The administrator's page: how the platform is, and what may be changed."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, url_for

from devflow.core.settings import Settings
from devflow.features.settings import service
from devflow.features.settings.schemas import PlatformPatch
from devflow.ports.doctor import Doctor
from devflow.web.identity import actor
from devflow.web.pages import redirect, submits
from devflow.web.ports import port

bp = Blueprint("admin", __name__)


@bp.route("/admin", methods=["GET", "POST"])
@submits("admin/index.html", PlatformPatch, calls=service.update)
def index(data: PlatformPatch | None) -> Any:
    settings = port(Settings)
    if data is not None:
        service.update(actor(), settings, data)
        return redirect(url_for("admin.index"), "Saved")
    current = service.show(actor(), settings)
    return {
        "checks": port(Doctor).checks(),
        "settings": current,
        "values": {
            "sign_up": current.sign_up,
            "allow_local_repositories": current.allow_local_repositories,
            "build_concurrency": current.build_concurrency,
        },
    }
