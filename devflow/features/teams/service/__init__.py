"""What can be done with teams, by subject; what other features ask for is found here too."""

from __future__ import annotations

from devflow.features.teams.models import Team
from devflow.features.teams.service.finding import actor_of, choose, chosen, chosen_id, find, of_actor, show
from devflow.features.teams.service.running import ensure_personal

__all__ = ["Team", "actor_of", "choose", "chosen", "chosen_id", "ensure_personal", "find", "of_actor", "show"]
