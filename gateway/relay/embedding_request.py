"""An embedding request as it came in, checked, and which deployments can serve it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.model import Lane, Provider
from gateway.domain.plan import Deployment
from gateway.errors import BadRequest
from gateway.relay.fields import Check, a_whole_number, check_fields, wrong
from gateway.relay.inquiry import Operation
from gateway.relay.json_object import model_of, read_object
from gateway.relay.needs import Needs, why_not
from gateway.relay.once import once

MAX_INPUTS: Final = 2048
"""How many inputs one request may hold, as OpenAI has it."""

_ALLOWED: Final = "a text, a list of texts, a list of token numbers or a list of such lists"
_TOKENISED: Final = frozenset({"openai", "azure", "hosted_vllm", "litellm_proxy"})
"""The providers, as LiteLLM names them, that are known to take token numbers in place of a text."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingRequest:
    """One embedding request, an ``Inquiry``. ``body`` is what the caller sent, with ``input`` always a list.

    ``texts`` are the inputs, or ``tokens`` where they came as token numbers: one of the two is empty. ``base64`` says how
    vectors are to be written.
    """

    model: str
    texts: tuple[str, ...] = ()
    tokens: tuple[tuple[int, ...], ...] = ()
    base64: bool = False
    body: Mapping[str, object]

    @staticmethod
    def parse(body: bytes) -> "EmbeddingRequest":
        """Read and check a request body. Raises ``BadRequest`` naming the field at fault."""
        content = read_object(body)
        model = model_of(content)
        check_fields(content, _FIELDS)
        texts, tokens = _inputs(content.get("input"))
        return EmbeddingRequest(
            model=model,
            texts=texts,
            tokens=tokens,
            base64=content.get("encoding_format") == "base64",
            body={**content, "input": list(texts) if texts else [list(one) for one in tokens]},
        )

    @property
    def operation(self) -> Literal[Operation.EMBEDDING]:
        return Operation.EMBEDDING

    @property
    def stream(self) -> bool:
        return False

    @property
    def include_usage(self) -> bool:
        return False

    @once
    def needs(self) -> Needs:
        """What its longest text asks of a model: each input has the whole context for itself."""
        return Needs(texts=(max(self.texts, key=_most_tokens),) if self.texts else ())

    @once
    def longest_tokens(self) -> int:
        """The length of the longest input that came as token numbers, exactly."""
        return max(map(len, self.tokens), default=0)


def why_not_embed(deployment: Deployment, *, request: EmbeddingRequest, provider: Provider | None) -> str:
    """Why ``deployment`` cannot serve an embedding request; empty if it can. The role's task is not looked at."""
    reason = why_not(deployment, needs=request.needs, provider=provider)
    if reason or provider is None or not request.tokens:
        return reason
    if not _takes_tokens(deployment.lane, provider=provider):
        return "takes texts only, not token arrays"
    context_tokens = deployment.context_tokens
    if context_tokens is not None and request.longest_tokens > context_tokens:
        return f"its context of {context_tokens} tokens is too small for an input of {request.longest_tokens} tokens"
    return ""


def _takes_tokens(lane: Lane, *, provider: Provider) -> bool:
    return lane is Lane.OPENAI or (lane is Lane.LITELLM and provider.litellm_name in _TOKENISED)


def _most_tokens(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)


def _inputs(given: object) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """The inputs as texts or as token numbers. Raises ``BadRequest`` for anything else, a mixture included."""
    if isinstance(given, str):
        return (_text(given, where="input"),), ()
    if not isinstance(given, list) or not given:
        raise wrong("input", found=given, allowed=_ALLOWED)
    if _is_token(given[0]):
        return (), (_tokens(given, where="input"),)
    if len(given) > MAX_INPUTS:
        allowed = f"at most {MAX_INPUTS} inputs in one request; send the rest in another"
        raise BadRequest(f"input: found {len(given)} inputs; allowed: {allowed}", param="input")
    if isinstance(given[0], list):
        return (), tuple(_tokens(one, where=f"input[{number}]") for number, one in enumerate(given))
    return tuple(_text(one, where=f"input[{number}]") for number, one in enumerate(given)), ()


def _text(given: object, *, where: str) -> str:
    if not isinstance(given, str) or not given:
        raise wrong(where, found=given, allowed="a text of at least one character")
    return given


def _tokens(given: object, *, where: str) -> tuple[int, ...]:
    if not isinstance(given, list) or not given:
        raise wrong(where, found=given, allowed="a list of at least one token number")
    bad = next((number for number, one in enumerate(given) if not _is_token(one)), None)
    if bad is not None:
        raise wrong(f"{where}[{bad}]", found=given[bad], allowed="a token number from 0")
    return tuple(given)


def _is_token(value: object) -> bool:
    return type(value) is int and value >= 0


_FIELDS: Final[Mapping[str, Check]] = {
    "dimensions": a_whole_number(1),
    "encoding_format": ('"float" or "base64"', lambda value: value in ("float", "base64")),
    "user": ("a string", lambda value: isinstance(value, str)),
}
