"""Who sends a request, as far as a key says so."""

from dataclasses import dataclass
from typing import Final, cast

from starlette.types import Scope

from gateway.api.door_errors import role_not_allowed
from gateway.errors import RolegateError, UnknownRole
from gateway.vault.client_key import ClientKey

VISITOR: Final = "rolegate.visitor"
"""Under this name, among the extensions of a request's scope, stands its ``Visitor``; where keys are not asked for, none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """``key`` is ``None`` for callers from whom none is asked: they may use every role."""

    key: ClientKey | None = None

    @property
    def name(self) -> str:
        """The key's name, for log and journal; empty without one."""
        return "" if self.key is None else self.key.name

    def may_use(self, role: str) -> bool:
        """Whether they may ask for ``role``. A key that is bound to roles opens no model by its reference."""
        return self.key is None or self.key.may_use(role)

    def must_use(self, role: str) -> None:
        """Raises ``KeyNotAllowed`` for a role that they may not ask for."""
        if self.key is not None and not self.key.may_use(role):
            raise role_not_allowed(role, allowed=self.key.roles or ())

    def told(self, error: RolegateError) -> RolegateError:
        """The error as they may hear it: one that lists the roles there are lists theirs only."""
        if self.key is None or self.key.roles is None or not isinstance(error, UnknownRole):
            return error
        return UnknownRole(name=error.name, roles=[one for one in error.roles if self.may_use(one)])


ANYBODY: Final = Visitor()


def visitor_of(scope: Scope) -> Visitor:
    """Who sends the request of this scope."""
    return cast(Visitor, scope.get("extensions", {}).get(VISITOR, ANYBODY))
