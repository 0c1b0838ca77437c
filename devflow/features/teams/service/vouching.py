"""Whether the sender of an invitation may still give what it promises: an invitation ends with its sender's rights."""

from __future__ import annotations

from collections.abc import Iterable

from devflow.core.access import Actor, Permission
from devflow.features.accounts.service import people
from devflow.features.teams.models import Member
from devflow.features.teams.rules import lacking
from devflow.features.teams.service.finding import actor_of


def vouched(member: Member) -> bool:
    """Could whoever sent this open invitation send it now?"""
    return not ended([member])


def ended(members: Iterable[Member]) -> set[str]:
    """The ids of the open invitations among these whose senders are gone, switched off or may not give the role now."""
    waiting = [member for member in members if member.status == "pending"]
    senders = {sender: _sender(sender) for sender in {member.invited_by_id for member in waiting}}
    return {member.id for member in waiting if not _may_give(senders[member.invited_by_id], member)}


def _sender(user_id: str | None) -> Actor | None:
    user = people.by_id(user_id) if user_id else None
    return actor_of(user) if user else None


def _may_give(sender: Actor | None, member: Member) -> bool:
    if sender is None:
        return False
    return sender.may(Permission.MEMBERS_MANAGE, member) and not lacking(sender, member.role, member)
