"""A text completion request as it came in, checked as far as the gateway must understand it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.failure import FailureClass
from gateway.errors import Unsupported, UpstreamFailed
from gateway.relay.fields import (
    SAMPLING,
    Check,
    a_boolean,
    a_whole_number,
    check_fields,
    wrong,
)
from gateway.relay.inquiry import Operation
from gateway.relay.json_object import model_of, read_object, wants_usage
from gateway.relay.needs import Needs, answer_tokens_of, effort_of
from gateway.relay.once import once

MAX_LOGPROBS: Final = 5

_ONLY_TEXT: Final = frozenset({"prompt", "suffix", "echo", "best_of", "logprobs"})
"""What a text completion has and a chat has not, or has in another form."""


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """One text completion request, an ``Inquiry``. ``body`` is what the caller sent, with ``prompt`` always one text."""

    model: str
    stream: bool
    include_usage: bool
    body: Mapping[str, object]

    @staticmethod
    def parse(body: bytes) -> "CompletionRequest":
        """Read and check a request body. Raises ``BadRequest`` naming the field at fault, or ``Unsupported``."""
        content = read_object(body)
        model = model_of(content)
        check_fields(content, _FIELDS)
        prompt = _prompt(content.get("prompt"))
        _check_offered(content)
        return CompletionRequest(
            model=model,
            stream=content.get("stream") is True,
            include_usage=wants_usage(content),
            body={**content, "prompt": prompt},
        )

    @property
    def operation(self) -> Literal[Operation.COMPLETION]:
        return Operation.COMPLETION

    @once
    def needs(self) -> Needs:
        """What it asks of a model."""
        texts = [text for key in ("prompt", "suffix") if isinstance(text := self.body.get(key), str)]
        return Needs(
            logit_bias=bool(self.body.get("logit_bias")),
            suffix=bool(self.body.get("suffix")),
            effort=effort_of(self.body),
            answer_tokens=answer_tokens_of(self.body),
            messages=1,
            texts=tuple(texts),
        )


def as_chat(body: Mapping[str, object]) -> dict[str, object]:
    """A completion body as a chat body, the prompt being the one message, for what only chats.

    ``logprobs`` become what a chat asks for. Raises ``UpstreamFailed`` (``capability``) where there is a suffix: a chat has no
    place for it.
    """
    if body.get("suffix"):
        raise UpstreamFailed("does not fill in the middle (suffix)", failure=FailureClass.CAPABILITY)
    chat = {key: value for key, value in body.items() if key not in _ONLY_TEXT}
    chat["messages"] = [{"role": "user", "content": body["prompt"]}]
    count = body.get("logprobs")
    if type(count) is int:
        chat["logprobs"] = True
        if count:
            chat["top_logprobs"] = count
    return chat


def _prompt(prompt: object) -> str:
    if isinstance(prompt, list) and prompt:
        if not all(isinstance(one, str) for one in prompt):
            raise Unsupported("prompt: this gateway does not take token numbers; send the text itself", param="prompt")
        if len(prompt) > 1:
            instead = f"send {len(prompt)} requests instead"
            raise Unsupported(f"prompt: found {len(prompt)} texts; allowed: one; {instead}", param="prompt")
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt:
        raise wrong("prompt", found=prompt, allowed="a text of at least one character")
    return prompt


def _check_offered(content: Mapping[str, object]) -> None:
    for key in ("n", "best_of"):
        count = content.get(key)
        if isinstance(count, int) and count > 1:
            raise Unsupported(f"{key}: found {count}; allowed: 1; send the request {count} times instead", param=key)
    if content.get("echo"):
        instead = "leave it out and put the prompt before the answer yourself"
        raise Unsupported(f"echo: found true; allowed: false; {instead}", param="echo")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_FIELDS: Final[Mapping[str, Check]] = {
    **SAMPLING,
    "suffix": ("a text", _is_text),
    "best_of": a_whole_number(1, 20),
    "echo": a_boolean(),
    "logprobs": a_whole_number(0, MAX_LOGPROBS),
    "user": ("a string", _is_text),
}
