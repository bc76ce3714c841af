"""What a command asks the running gateway to do."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

from gateway import errors, file_errors
from gateway.domain.secret import Secret
from gateway.errors import GatewayUnreachable, Problem, RolegateError
from gateway.file_errors import ConfigInvalid

CONNECT_S: Final = 5.0
STATUS_S: Final = 5.0
"""A gateway that has not said what it is within this time is not waited for."""
BACKSTOP_S: Final = 3600.0
"""The gateway has a deadline for each thing it is asked to do; this is for one that has lost it."""

Trust = ssl.SSLContext | bool

_ABOUT_KEYS: Final = ("invalid_api_key", "key_not_allowed")
_NEEDS_KEY: Final = (
    "commands show the admin key in ROLEGATE_ADMIN_KEY, or in the file that ROLEGATE_ADMIN_KEY_FILE names; "
    "`rolegate keys create NAME --admin` makes one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a command shows the gateway (an admin key, if it has one), and whose certificates it takes for the gateway's: those of
    the first of ``trust``, else of the next. ``withheld`` says why a key that there is is not shown."""

    key: Secret | None = None
    trust: tuple[Trust, ...] = (True,)
    withheld: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.key is None else {"authorization": f"Bearer {self.key.reveal()}"}


NOTHING: Final = Credentials()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A whole answer, and the address that it came from, as far as that is known."""

    answer: httpx.Response
    address: tuple[str, int] | None


class GatewaySaid(RolegateError):
    """The running gateway refused, or failed at, what it was asked to do; code, exit code and problems are those of its own
    error."""

    def __init__(
        self, message: str, *, code: str, http_status: int, problems: Sequence[Problem] = (), hint: str = ""
    ) -> None:
        if problems:  # its words have the hint in them, for those who get nothing but words
            invalid = ConfigInvalid(problems)
            super().__init__(invalid.message, hint=invalid.hint)
        else:
            super().__init__(message, hint=hint)
        self.problems = tuple(problems)
        self.code = code  # type: ignore[misc]  # another's error has another's code
        self.http_status = http_status  # type: ignore[misc]
        self.exit_code = _exit_code(code, http_status)  # type: ignore[misc]


async def ask_gateway(
    url: str,
    method: str,
    path: str,
    *,
    body: Mapping[str, object] | None = None,
    credentials: Credentials = NOTHING,
) -> dict[str, Any]:
    """The answer of the gateway at ``url`` (without a path). Raises ``GatewayUnreachable``, or ``GatewaySaid``."""
    heard = await hear_gateway(
        url,
        method,
        path,
        body=body,
        headers=credentials.headers,
        trust=credentials.trust,
        within_s=BACKSTOP_S,
        connect_s=CONNECT_S,
    )
    content, answer = _content(heard, url=url), heard.answer
    if answer.is_success and isinstance(content, dict):
        return content
    said = said_by(content, http_status=answer.status_code, withheld=credentials.withheld)
    raise said or GatewayUnreachable(url=url, reason="what listens there is not this gateway")


async def hear_gateway(
    url: str,
    method: str,
    path: str,
    *,
    trust: Sequence[Trust],
    headers: Mapping[str, str],
    body: Mapping[str, object] | None = None,
    within_s: float = STATUS_S,
    connect_s: float = STATUS_S,
) -> Heard:
    """What is answered at ``url``, whatever that is, to a request with these ``headers``. ``trust`` is that of credentials.
    Raises ``GatewayUnreachable``."""
    *first, last = trust
    try:
        asked = httpx.Request(method, f"{url}{path}", json=body, headers=headers)
        async with asyncio.timeout(within_s):
            for one in first:
                try:
                    return await _heard(asked, trust=one, connect_s=connect_s)
                except httpx.ConnectError as error:
                    if not _is_about_the_certificate(error):
                        raise
            return await _heard(asked, trust=last, connect_s=connect_s)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as exc:
        raise GatewayUnreachable(url=url, reason=str(exc) or type(exc).__name__) from exc


def said_by(content: object, *, http_status: int, withheld: str = "") -> GatewaySaid | None:
    """The error in an answer of a gateway; ``None`` for what no gateway says. ``withheld`` is that of the credentials."""
    told = content.get("error") if isinstance(content, dict) else None
    if not isinstance(told, dict) or not isinstance(told.get("message"), str):
        return None
    return GatewaySaid(
        told["message"],
        code=str(told.get("code") or "internal_error"),
        http_status=http_status,
        problems=_problems(told.get("problems")),
        hint=(withheld or _NEEDS_KEY) if told.get("code") in _ABOUT_KEYS else "",
    )


async def gateway_status(url: str, *, credentials: Credentials = NOTHING) -> dict[str, Any]:
    """What the gateway at ``url`` (without a path) says of itself. Raises ``GatewayUnreachable``, and ``GatewaySaid`` where it
    asks for another key."""
    heard = await hear_gateway(url, "GET", "/admin/v1/status", headers=credentials.headers, trust=credentials.trust)
    content, status = _content(heard, url=url), heard.answer.status_code
    if status in {401, 403} and (said := said_by(content, http_status=status, withheld=credentials.withheld)):
        raise said
    if status != 200 or not isinstance(content, dict) or "generation" not in content:
        raise GatewayUnreachable(url=url, reason="what listens there is not this gateway")
    return content


async def _heard(asked: httpx.Request, *, trust: Trust, connect_s: float) -> Heard:
    timeout = httpx.Timeout(None, connect=connect_s)
    async with httpx.AsyncClient(timeout=timeout, trust_env=False, verify=trust) as client:
        answer = await client.send(asked, stream=True)
        end = answer.extensions["network_stream"].get_extra_info("server_addr")
        await answer.aread()
        return Heard(answer=answer, address=(str(end[0]), int(end[1])) if isinstance(end, tuple) else None)


def _content(heard: Heard, *, url: str) -> object:
    try:
        return heard.answer.json()
    except ValueError as exc:
        raise GatewayUnreachable(url=url, reason=str(exc) or type(exc).__name__) from exc


def _is_about_the_certificate(error: BaseException) -> bool:
    """Whether no connection came about because of the certificate that was shown."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def model_path(reference: str, action: str = "") -> str:
    """The admin route of a model: colons and slashes stay as they are."""
    return f"/admin/v1/models/{quote(reference, safe=':/')}{f'/{action}' if action else ''}"


def _problems(told: object) -> tuple[Problem, ...]:
    """Those that an error came with; none where one of them is not as this rolegate knows problems."""
    if not isinstance(told, list):
        return ()
    try:
        return tuple(Problem(**one) for one in told)
    except TypeError:
        return ()


def _exit_code(code: str, http_status: int) -> int:
    """The exit code that an error of this code has in a command of its own."""
    for one in (*vars(errors).values(), *vars(file_errors).values()):
        if isinstance(one, type) and issubclass(one, RolegateError) and one.code == code:
            return one.exit_code
    return (
        errors.BadRequest.exit_code
        if 400 <= http_status < 500 or http_status == 501
        else errors.ProviderFailed.exit_code
    )
