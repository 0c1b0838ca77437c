"""People as they are shown and changed: accounts, profiles, preferences, lists."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Moment, Output
from devflow.features.accounts.schemas.fields import AvatarAddress, UserName


class ProfilePatch(Input):
    name: str | None = Field(None, min_length=1, max_length=255)
    full_name: str | None = Field(None, min_length=1, max_length=255)
    username: UserName | None = None
    avatar_url: AvatarAddress | None = Field(None, description="An https address; null removes it.")


class PreferencesPatch(Input):
    theme: Literal["light", "dark", "system"] | None = None
    email_notifications: bool | None = None
    deployment_success_notifications: bool | None = None
    deployment_failure_notifications: bool | None = None
    email_ticket_assigned: bool | None = None
    email_sla_breach: bool | None = None
    in_app_comments: bool | None = None


class PreferencesOut(Output):
    theme: str = "system"
    email_notifications: bool = True
    deployment_success_notifications: bool = True
    deployment_failure_notifications: bool = True
    email_ticket_assigned: bool = True
    email_sla_breach: bool = True
    in_app_comments: bool = True
    updated_at: Moment | None = None


class UserOut(Output):
    id: str
    username: str
    email: str
    name: str
    full_name: str
    role: str
    is_active: bool
    is_verified: bool
    email_verified: bool
    avatar_url: str | None
    subscription_plan: str
    github_connected: bool
    created_at: Moment
    updated_at: Moment
    last_login: Moment | None


class MeOut(UserOut):
    roles: list[str]
    permissions: list[str]


SystemRole = Literal["user", "approver", "admin", "master_admin"]


class UserQuery(ListQuery):
    role: SystemRole | None = None
    search: str = Field("", max_length=254)
    is_active: bool | None = None


class AssignableQuery(ListQuery):
    default_limit: ClassVar[int] = 50

    role: SystemRole | None = None
    search: str = Field("", max_length=254)


class UserPatch(Input):
    is_active: bool


class UserRole(Input):
    role: SystemRole


class PersonOut(Output):
    """As much of an account as colleagues see."""

    id: str
    full_name: str
    avatar_url: str | None
    role: str
