"""What comes in and goes out about roles."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from devflow.core.access import DESCRIPTIONS, GRANTABLE, Permission
from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Moment, Output

_GRANTABLE = {permission.value for permission in GRANTABLE}


def permission_names(names: list[str]) -> list[str]:
    """Each known permission once, in order; raises ValueError on one that no role can hold."""
    unknown = sorted(set(names) - _GRANTABLE)
    if unknown:
        raise ValueError(f"There is no permission {', '.join(repr(name[:60]) for name in unknown[:3])} to give.")
    return sorted(set(names))


def visible(text: str) -> str:
    """A name that shows: no control characters, not only blanks."""
    if not text.isprintable():
        raise ValueError("Use characters that can be seen.")
    return text


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(visible)]
Permissions = Annotated[list[str], Field(max_length=200), AfterValidator(permission_names)]


class RoleIn(Input):
    name: Name
    description: str = Field("", max_length=500)
    permissions: Permissions = Field(default_factory=list)


class RolePatch(Input):
    name: Name | None = None
    description: str | None = Field(None, max_length=500)
    permissions: Permissions | None = None


class PermissionsIn(Input):
    permissions: Permissions
    mode: Literal["add", "replace", "remove"] = "add"


class RoleQuery(ListQuery):
    default_limit: ClassVar[int] = 50

    search: str = Field("", max_length=64)


class RoleOut(Output):
    id: str
    name: str
    description: str
    permissions: list[str]
    is_system: bool
    user_count: int
    created_at: Moment | None = Field(description="None for a built-in role.")
    updated_at: Moment | None = Field(description="None for a built-in role.")


class PermissionOut(Output):
    name: str
    resource: str
    action: str
    description: str


def described(permission: Permission) -> PermissionOut:
    """A permission with its sentence."""
    resource, _, action = permission.value.partition(":")
    return PermissionOut(name=permission.value, resource=resource, action=action, description=DESCRIPTIONS[permission])
