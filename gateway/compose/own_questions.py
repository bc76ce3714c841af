"""What the gateway asks models of its own accord. Where a cloud is asked, it is journalled and paid for like any request."""

import asyncio
from typing import Literal

from gateway.api.exchange import CALLER_GONE, left_the_machine
from gateway.domain.ports import Clock, Journal
from gateway.domain.record import RequestRecord
from gateway.errors import AttemptFacts, RequestFailed, RolegateError
from gateway.relay.answer import Answer
from gateway.relay.relay import Relay
from gateway.relay.request import ChatRequest
from gateway.relay.route import Route
from gateway.relay.wire import ChatWire


async def ask_unasked(
    relay: Relay,
    *,
    question: ChatRequest,
    route: Route,
    role: str,
    word: Literal["canary", "test"],
    journal: Journal | None,
    clock: Clock,
) -> Answer:
    """The answer to a question that no caller sent. ``word`` stands in the journal for the endpoint, ``role`` for what was asked
    for; what left the machine is in there, however it ended. Raises what ``Relay.answer`` does."""
    began_s, time_s = clock.monotonic(), clock.time()
    answer: Answer | None = None
    attempts: tuple[AttemptFacts, ...] = ()
    status, failure, message = 200, "", ""

    def abandoned(made: tuple[AttemptFacts, ...]) -> None:
        nonlocal attempts
        attempts = made

    try:
        given = await relay.answer(
            inquiry=question, wire=ChatWire(include_usage=False), route=route, request_id=word, abandoned=abandoned
        )
        assert isinstance(given, Answer)  # noqa: S101  (the question does not ask for a stream)
        answer, attempts = given, given.attempts
    except asyncio.CancelledError:
        status, failure, message = CALLER_GONE, "cancelled", "it took too long, or the gateway stopped"
        raise
    except RequestFailed as error:
        attempts = error.attempts
        status, failure, message = error.status, error.failure_code, error.message
        raise
    except RolegateError as error:
        status, failure, message = error.http_status, error.code, error.message
        raise
    finally:
        if journal is not None and left_the_machine(attempts):
            usage = (answer.usage if answer is not None else None) or {}
            journal.record(
                RequestRecord(
                    request_id=word,
                    time_s=time_s,
                    endpoint=word,
                    role=role,
                    stream=False,
                    status=status,
                    failure=failure,
                    model="" if answer is None else str(answer.deployment.ref),
                    generation=route.generation or None,
                    cloud=True,
                    attempts=attempts,
                    fallback_reason="",
                    prompt_tokens=_count(usage.get("prompt_tokens")),
                    completion_tokens=_count(usage.get("completion_tokens")),
                    first_token_ms=None,
                    duration_ms=round((clock.monotonic() - began_s) * 1000, 1),
                    message=message,
                )
            )
    return answer


def _count(told: object) -> int | None:
    return told if type(told) is int else None
