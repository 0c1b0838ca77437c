"""One's own sessions as JSON."""

from __future__ import annotations

from devflow.core.errors import NotFound
from devflow.features.accounts.schemas.entering import OwnSessionOut
from devflow.features.accounts.service import entering
from devflow.web.api import ApiBlueprint, Said
from devflow.web.identity import actor

bp = ApiBlueprint("sessions", __name__)


@bp.get("/auth/sessions", calls=entering.sessions)
def sessions() -> list[OwnSessionOut]:
    """Where you are signed in, newest first."""
    here = actor().session_id
    return [OwnSessionOut.of(found, current=found.id == here) for found in entering.sessions(actor())]


@bp.delete("/auth/sessions/<session_id>", calls=entering.end_session, raises=(NotFound,))
def end_session(session_id: str) -> Said:
    """End one of your sessions; its tokens answer 401 from now on."""
    entering.end_session(actor(), session_id)
    return Said(None, "That session has ended")
