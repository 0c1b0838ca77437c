"""Acts as sentences: "changed the role of Bob to admin"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAID = {
    "account.confirmed": "confirmed that it is them",
    "account.connected": "connected {provider} to {name}",
    "account.created": "joined",
    "account.disconnected": "disconnected {provider} from {name}",
    "account.email_verified": "verified the e-mail address of {name}",
    "account.locked": "locked the account {name} after too many failed sign-ins",
    "account.preferences_changed": "changed preferences",
    "account.promoted": "made {name} {role}",
    "account.recovery_codes_renewed": "made new recovery codes",
    "account.refresh_token_reused": "used a refresh token of {name} twice, so its session was ended",
    "account.reset_requested": "asked for a link to reset the password of {name}",
    "account.role_changed": "changed the role of {name} to {role}",
    "account.session_ended": "ended a session of {name}",
    "account.sign_in_failed": "failed to sign in as {name}",
    "account.signed_in": "signed in",
    "account.signed_out": "signed out",
    "account.switched_off": "switched the account {name} off",
    "account.switched_on": "switched the account {name} on",
    "account.two_factor_begun": "began to set up two-factor sign-in",
    "account.two_factor_off": "switched two-factor sign-in off for {name}",
    "account.two_factor_on": "switched two-factor sign-in on for {name}",
    "account.verification_sent": "asked for a link to verify the e-mail address of {name}",
    "audit.archived": "moved old entries of the audit to the sealed file {name}",
    "audit.exported": "exported the audit",
    "audit.verified": "checked the chain of the audit: {outcome}",
    "deployment.queued": "deployed {name}",
    "guest.added": "gave the role {role} on a project to the address {name}",
    "guest.removed": "took the role {role} back from the address {name}",
    "invitation.withdrawn": "withdrew the invitation of {name}",
    "mail.link_opened": "looked at the link in a letter to {name}",
    "mail.sent_again": "sent a letter to {name} again",
    "mail.tested": "sent a test letter to {name}",
    "member.invited": "invited {name} as {role}",
    "member.invited_again": "sent the invitation of {name} again",
    "member.joined": "joined {name}",
    "member.left": "left {name}",
    "member.removed": "removed {name} from the team",
    "member.role_changed": "changed the role of {name} to {role}",
    "platform.updated": "changed the rules of this instance",
    "service_account.switched_off": "switched the service account {name} off",
    "service_account.switched_on": "switched the service account {name} on",
    "token.reused": "used an old value of the API token {name}, so it was revoked",
    "user.role_given": "gave {name} the role {role}",
    "user.role_restored": "gave {name} back what the role {role} holds",
    "user.role_taken": "took the role {role} from {name}",
    "user.role_withheld": "took away from {name} what the role {role} holds",
}
"""What has its own words; `{name}` is the thing, any other word the new value of a field that changed."""
_NOUNS = {"token": "API token", "user": "account", "environment": "variables"}
_PLAIN_CHANGE = ("updated", "changed", "variables_changed")


def sentence(action: str, name: str, changes: Mapping[str, Any], result: str = "done") -> str:
    """What somebody did, to follow their name."""
    template = _SAID.get(action)
    if template is not None:
        try:
            new = {field: _new(value) for field, value in changes.items()}
            if action.startswith("member.") and new.get("role") == "member":
                new["role"] = "developer"  # what pages call it
            return template.format_map({**new, "name": name}).rstrip()
        except (KeyError, IndexError, ValueError):
            pass  # the act did not write down the field: the plain words below do
    if ":" in action:
        resource, _, verb = action.partition(":")
        told = f"{verb.replace('_', ' ')} {resource.replace('_', ' ')}"
        return f"was not allowed to {told}" if result == "denied" else told
    return _plainly(action, name, changes)


def words(action: str) -> str:
    """An action as a few words for a menu: `project.variables_changed` -> `Project variables changed`."""
    return action.replace(".", " ").replace("_", " ").replace(":", " ").capitalize()


def difference_lines(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What changed as lines of a diff: `("-", "branch: main")`, `("+", …)`, `("~", …)` for what is not shown."""
    lines: list[tuple[str, str]] = []
    for field, value in details.items():
        name = _field(field)
        if isinstance(value, list) and len(value) == 2:
            before, after = value
            lines += [("-", f"{name}: {_shown(before)}")] if before not in (None, "", [], {}) else []
            lines += [("+", f"{name}: {_shown(after)}")] if after not in (None, "", [], {}) else []
            if not (before or after):
                lines.append(("~", f"{name}: {_shown(before)} → {_shown(after)}"))
        elif value in ("changed", "deleted"):
            lines.append(("~" if value == "changed" else "-", f"{name} {value}"))
        else:
            lines.append(("", f"{name}: {_shown(value)}"))
    return lines


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _plainly(action: str, name: str, changes: Mapping[str, Any]) -> str:
    noun, _, verb = action.partition(".")
    thing = f"the {_NOUNS.get(noun, noun.replace('_', ' '))} {name}".rstrip()
    if verb in _PLAIN_CHANGE:
        return f"changed {_fields(changes)}{thing}"
    parts = verb.split("_")
    if len(parts) > 1 and parts[-1].endswith("ed"):
        return f"{parts[-1]} the {' '.join(parts[:-1])} of {thing}"
    return f"{' '.join(parts)} {thing}"


def _fields(changes: Mapping[str, Any]) -> str:
    """`branch, port and 2 more of `; nothing when no field is known."""
    names = [_field(field) for field in changes]
    if not names:
        return ""
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more of "
    return f"{' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))} of "


def _field(name: str) -> str:
    """A field for people; the name of a variable stays as it is written."""
    return name.partition(".")[2] if name.startswith("environment.") else name.replace("_", " ")


def _new(value: Any) -> str:
    """The value after a change."""
    after = value[1] if isinstance(value, list) and len(value) == 2 else value
    return "nothing" if after is None else str(after).replace("_", " ")
