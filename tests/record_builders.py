"""Requests that are over, for tests of the journal and of who reads it."""

from typing import Any

from gateway.domain.record import RequestRecord
from gateway.errors import AttemptFacts

NOON_S = 1_000_036_800.0
"""2001-09-09, 12:00 UTC."""


def an_attempt(model: str = "ollama:llama3.1:8b", failure: str = "", **changes: Any) -> AttemptFacts:
    told: dict[str, Any] = {"status": None if failure else 200, "ms": 2000.0 if failure else 120.0}
    return AttemptFacts(model=model, failure=failure, **{**told, **changes})


def a_record(request_id: str = "one", **changes: Any) -> RequestRecord:
    """A chat request that its role's first model answered; ``changes`` say what was otherwise."""
    told: dict[str, Any] = {
        "time_s": NOON_S,
        "endpoint": "chat",
        "role": "planner",
        "stream": False,
        "status": 200,
        "failure": "",
        "model": "ollama:llama3.1:8b",
        "generation": 1,
        "cloud": False,
        "attempts": (an_attempt(),),
        "fallback_reason": "",
        "prompt_tokens": 1204,
        "completion_tokens": 88,
        "first_token_ms": 120.0,
        "duration_ms": 1840.0,
        "message": "",
    }
    return RequestRecord(request_id=request_id, **{**told, **changes})


def a_failed_record(request_id: str = "two", **changes: Any) -> RequestRecord:
    """One that every model of its role failed."""
    told: dict[str, Any] = {
        "status": 504,
        "failure": "upstream_timeout",
        "model": "",
        "attempts": (
            an_attempt(failure="timeout"),
            an_attempt("openai:gpt-4o-mini", failure="upstream_error", status=500, ms=40.0),
        ),
        "prompt_tokens": None,
        "completion_tokens": None,
        "first_token_ms": None,
        "duration_ms": 2045.0,
        "message": "no deployment of planner answered",
    }
    return a_record(request_id, **{**told, **changes})
