"""How the Messages API tells of a failure."""

import orjson
import pytest

from gateway.api.messages import Messages
from gateway.errors import RequestFailed, Unsupported


def a_failure(status: int, code: str = "upstream_error", message: str = "it broke") -> RequestFailed:
    return RequestFailed(
        message, code=code, http_status=status, openai_type="api_error", source="upstream", attempts=()
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_the_type_of_an_error_follows_from_its_status(status: int, kind: str) -> None:
    assert orjson.loads(Messages().error(a_failure(status), request_id="req-1")) == {
        "type": "error",
        "error": {"type": kind, "message": "it broke", "code": "upstream_error", "source": "upstream", "attempts": []},
        "request_id": "req-1",
    }


def test_an_error_about_a_field_names_it() -> None:
    error = orjson.loads(Messages().error(Unsupported("container: no", param="container"), request_id="req-1"))["error"]
    assert error == {
        "type": "invalid_request_error",
        "message": "container: no",
        "code": "unsupported",
        "param": "container",
        "source": "gateway",
    }


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("9000 tokens do not fit", "prompt is too long: 9000 tokens do not fit"),
        ("Prompt is too long: 9000 > 4096", "Prompt is too long: 9000 > 4096"),
    ],
)
def test_a_prompt_that_is_too_long_is_told_in_the_words_clients_look_for(message: str, said: str) -> None:
    error = a_failure(400, "context_length_exceeded", message)
    assert orjson.loads(Messages().error(error, request_id="req-1"))["error"]["message"] == said
