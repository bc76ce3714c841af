"""Every error Rolegate raises on purpose, in one tree; the branch about files is in ``gateway.file_errors``.

RolegateError
├── UnknownRole              the requested model is neither a role nor a model reference
├── ByRoleOnly               the requested model answers for roles, and for nobody who names it
├── UnknownName              a command or route named something that does not exist
├── BadRequest               the caller's request cannot be understood
│   ├── RequestTooLarge      it is over a size limit
│   ├── RequestTooSlow       it did not arrive in time
│   ├── HeadTooLarge         its headers are over the limit
│   ├── Unsupported          it asks for something this gateway does not offer
│   ├── NoCapableDeployment  deployments exist, but none can serve it
│   ├── ModelInUse           a model that roles need was to be removed
│   ├── ProfileInUse         a profile that is needed was to be deleted
│   └── NameTaken            something was to be created, and one of that name is there
├── HostNotAllowed           a request was meant for another machine, or comes from another site's page
├── NoSuchRoute              a request went to a path that there is not
├── WrongMethod              a path does not take this method
├── NoModelForRole           selection left a role without any deployment
├── UpstreamFailed           one call to one deployment failed, with its class
├── RequestFailed            every deployment that could serve a request was tried, and none did
├── TooManyConnections       as many connections are open as may be
├── GatewayStarting          a request came before the first plan is live
├── GatewayStopping          the gateway ends before the request does
├── HotSwapDisabled          a running gateway was to change, and hot-swap is off
├── AddressTaken             the gateway cannot listen where it was told to
├── GatewayUnreachable       a command could not reach the running gateway
│   └── OtherGateway         the one that it found goes by another configuration
└── ProviderFailed           a provider answered wrongly or not at all
    ├── ProviderDown         it does not answer
    ├── EngineUnavailable    the embedded engine cannot run here
    └── ModelUnavailable     model files are missing or failed their check

Each leaf has a ``code`` (stable, for programs), an HTTP status, a process exit code and a hint that says what to do. Errors
carry facts and build their own message.
"""

from collections.abc import Sequence
from typing import ClassVar

from gateway.attempt_facts import AttemptFacts as AttemptFacts  # noqa: PLC0414 - as below
from gateway.problem import Problem as Problem  # noqa: PLC0414 - how mypy is told that it is passed on


class RolegateError(Exception):
    """Root of the tree. ``str(error)`` says what happened; ``error.hint`` says what to do about it. ``problems`` are what is
    wrong in files, where that is the trouble."""

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    openai_type: ClassVar[str] = "api_error"
    problems: "tuple[Problem, ...]" = ()

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnknownRole(RolegateError):
    """A request named a model that is neither a role nor an exposed model reference."""

    code = "model_not_found"
    http_status = 404
    openai_type = "invalid_request_error"

    def __init__(self, *, name: str, roles: Sequence[str], nearest: str = "") -> None:
        self.name, self.roles, self.nearest = name, tuple(roles), nearest
        listed = ", ".join(self.roles) or "none"
        super().__init__(
            f'there is no role or model "{name}"; the roles are: {listed}',
            hint=f'did you mean "{nearest}"?' if nearest else "GET /v1/models lists what can be asked for",
        )


class ByRoleOnly(RolegateError):
    """A request named a model by its reference that only roles lead to: one in the cloud, say. ``what`` says which models those
    are, ``roles`` are those that have this one."""

    code = "model_not_found"
    http_status = 404
    openai_type = "invalid_request_error"

    def __init__(self, *, name: str, what: str, roles: Sequence[str]) -> None:
        self.name, self.roles = name, tuple(roles)
        listed = ", ".join(self.roles)
        super().__init__(
            f'"{name}" cannot be asked for by its reference: models {what} answer only for roles that name them',
            hint=f"ask for one of its roles: {listed}" if listed else "no role has it now",
        )


class UnknownName(RolegateError):
    """A command or an admin route named a role, model, profile or provider that does not exist."""

    code = "not_found"
    http_status = 404
    exit_code = 2
    openai_type = "invalid_request_error"

    def __init__(self, *, kind: str, name: str, known: Sequence[str], nearest: str = "") -> None:
        self.kind, self.name, self.known, self.nearest = kind, name, tuple(known), nearest
        listed = ", ".join(self.known) or "none"
        super().__init__(
            f'there is no {kind} "{name}"; known: {listed}', hint=f'did you mean "{nearest}"?' if nearest else ""
        )


class BadRequest(RolegateError):
    """The caller's request cannot be understood; ``param`` names the field at fault."""

    code = "invalid_request"
    http_status = 400
    exit_code = 2
    openai_type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.param = param


class RequestTooLarge(BadRequest):
    """The request body is over the configured limit."""

    code = "request_too_large"
    http_status = 413


class RequestTooSlow(BadRequest):
    """The request body did not arrive in time."""

    code = "request_timeout"
    http_status = 408


class HeadTooLarge(BadRequest):
    """The request line and headers are over the limit."""

    code = "headers_too_large"
    http_status = 431

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"the head of the request is over the limit of {limit_bytes:,} bytes")


class Unsupported(BadRequest):
    """The request asks for something this gateway, or the models behind it, do not offer."""

    code = "unsupported"
    http_status = 501


class NoCapableDeployment(BadRequest):
    """Deployments exist for the role, but what this request needs ruled each of them out."""

    code = "no_capable_deployment"
    http_status = 400

    def __init__(self, *, role: str, ruled_out: Sequence[tuple[str, str]]) -> None:
        self.role, self.ruled_out = role, tuple(ruled_out)
        reasons = "; ".join(f"{model}: {reason}" for model, reason in self.ruled_out)
        super().__init__(f'no deployment of role "{role}" can serve this request: {reasons}', param="model")


class ModelInUse(BadRequest):
    """A model that roles need was to be removed."""

    code = "model_in_use"
    http_status = 409

    def __init__(self, *, model: str, roles: Sequence[str]) -> None:
        self.model, self.roles = model, tuple(roles)
        named = "the role" if len(self.roles) == 1 else "the roles"
        super().__init__(
            f"{model} serves {named} {', '.join(self.roles)}",
            hint="take it out of what they prefer, or insist: --force on the command line, ?force=1 over HTTP",
        )


class ProfileInUse(BadRequest):
    """A profile was to be deleted that is active, or that others extend."""

    code = "profile_in_use"
    http_status = 409

    def __init__(self, *, name: str, why: str, hint: str) -> None:
        self.name = name
        super().__init__(f'the profile "{name}" is needed: {why}', hint=hint)


class NameTaken(BadRequest):
    """Something was to be created under a name, and one of that name is there already."""

    code = "name_taken"
    http_status = 409

    def __init__(self, *, kind: str, name: str, place: str, hint: str) -> None:
        self.kind, self.name, self.place = kind, name, place
        super().__init__(f'there is a {kind} "{name}" already, in {place}', hint=hint)


class HostNotAllowed(RolegateError):
    """A request's ``Host`` or ``Origin`` is not this machine, which is all that a gateway on loopback answers."""

    code = "host_not_allowed"
    http_status = 403
    openai_type = "invalid_request_error"


class NoSuchRoute(RolegateError):
    """A request went to a path that there is not."""

    code = "not_found"
    http_status = 404
    openai_type = "invalid_request_error"


class WrongMethod(RolegateError):
    """The path of a request does not take its method."""

    code = "http_error"
    http_status = 405
    openai_type = "invalid_request_error"


class NoModelForRole(RolegateError):
    """Selection left a role without any deployment. ``reference`` says that it is no role, but a model that a request named."""

    code = "no_model_for_role"
    http_status = 503
    exit_code = 4

    def __init__(self, *, role: str, reasons: Sequence[str] = (), reference: bool = False) -> None:
        self.role, self.reasons = role, tuple(reasons)
        why = ": " + "; ".join(self.reasons) if self.reasons else ""
        if reference:
            message, hint = (
                f'"{role}" cannot serve now{why}',
                f"`rolegate models show {role}` shows what is known of it",
            )
        else:
            message, hint = (
                f'no model can serve the role "{role}" now{why}',
                f"`rolegate explain {role}` shows every candidate",
            )
        super().__init__(message, hint=hint)


class UpstreamFailed(RolegateError):
    """One call to one deployment failed. ``failure`` is a ``FailureClass``; ``status`` what upstream answered, if it did.

    ``spoken`` says that upstream itself called it a failure: always where there is a status, and where an error came inside an
    answer that had begun well. Otherwise it is the gateway that does. ``retry_after_s`` is upstream's own word; ``prompt_tokens``
    is what it counted when the prompt was too long.
    """

    code = "upstream_failed"
    http_status = 502
    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        failure: str,
        status: int | None = None,
        spoken: bool = False,
        retry_after_s: float | None = None,
        prompt_tokens: int | None = None,
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.status = status
        self.spoken = spoken or status is not None
        self.retry_after_s = retry_after_s
        self.prompt_tokens = prompt_tokens


class RequestFailed(RolegateError):
    """No deployment served a request. The last meaningful failure decides status and code; all attempts are listed."""

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        code: str,
        http_status: int,
        openai_type: str,
        source: str,
        attempts: Sequence[AttemptFacts],
        retry_after_s: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.failure_code = code
        self.status = http_status
        self.failure_type = openai_type
        self.source = source
        self.attempts = tuple(attempts)
        self.retry_after_s = retry_after_s


class TooManyConnections(RolegateError):
    """As many connections are open as the gateway takes."""

    code = "too_many_connections"
    http_status = 503

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"{limit:,} connections are open, which is all this gateway takes",
            hint="try again later, or raise gateway.max_connections",
        )


class GatewayStarting(RolegateError):
    """A request came before the first plan is live."""

    code = "starting"
    http_status = 503

    def __init__(self) -> None:
        super().__init__("the gateway is starting: no plan is live yet", hint="ask again in a moment")


class GatewayStopping(RolegateError):
    """The gateway was told to stop, and the time it gives to requests under way is over."""

    code = "stopping"
    http_status = 503

    def __init__(self) -> None:
        super().__init__("the gateway is stopping and could not wait any longer", hint="send the request again")


class HotSwapDisabled(RolegateError):
    """The running gateway was asked to take up a change, and hot-swap is off."""

    code = "hot_swap_disabled"
    http_status = 409
    exit_code = 2
    openai_type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__(
            "hot-swap is off: this gateway keeps the plan it was started with",
            hint="start it with --hot-swap, or set gateway.hot_swap to true and restart it",
        )


class AddressTaken(RolegateError):
    """The gateway cannot listen where it was told to."""

    code = "address_taken"

    def __init__(self, *, host: str, port: int, reason: str, hint: str) -> None:
        self.host, self.port = host, port
        super().__init__(f"cannot listen on {host}:{port}: {reason}", hint=hint)


class GatewayUnreachable(RolegateError):
    """A command asked the running gateway, and nothing answered."""

    code = "gateway_unreachable"
    http_status = 503
    exit_code = 5

    def __init__(self, *, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"no gateway answers at {url}: {reason}", hint="start one with `rolegate serve`")


class OtherGateway(GatewayUnreachable):
    """A command looked for the gateway of its configuration, and found one that goes by another."""

    def __init__(self, *, url: str, folder: str) -> None:
        super().__init__(url=url, reason=f"it goes by another configuration, {folder}")
        self.message = f"the gateway at {url} goes by another configuration, {folder}, and was not asked"
        self.args = (self.message,)
        self.hint = (
            "name its folder with --config-dir, or start one that goes by this configuration with `rolegate serve`"
        )


class ProviderFailed(RolegateError):
    """A provider answered wrongly. ``provider`` is its configured name, ``status`` what it answered with, if it did."""

    code = "provider_failed"
    http_status = 502
    exit_code = 6

    def __init__(self, message: str, *, provider: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.status = status


class ProviderDown(ProviderFailed):
    """A provider does not answer at all."""

    code = "provider_down"
    http_status = 503


class EngineUnavailable(ProviderFailed):
    """The embedded engine cannot run here: the package is missing, or the child process does not come up."""

    code = "engine_unavailable"
    http_status = 503


class ModelUnavailable(ProviderFailed):
    """Model files are missing, or are not what they should be."""

    code = "model_unavailable"
    http_status = 503
