"""The description of the data plane that schemathesis goes by leaves out nothing that the gateway looks at."""

from collections.abc import Callable, Mapping

import pytest

import wire_questions as questions
from gateway.api import messages_request, responses_request
from gateway.api.admin_schemas import TEXT, Schema
from gateway.relay import completion_request, embedding_request, request


@pytest.mark.parametrize(
    ("question", "checked"),
    [
        (questions.chat, request._FIELDS),
        (questions.completion, completion_request._FIELDS),
        (questions.embedding, embedding_request._FIELDS),
        (questions.message, messages_request._FIELDS),
        (questions.response, responses_request._FIELDS),
    ],
)
def test_every_field_that_is_checked_is_described(
    question: Callable[[Schema], Schema], checked: Mapping[str, object]
) -> None:
    assert set(checked) - set(question(TEXT)["properties"]) == set()
