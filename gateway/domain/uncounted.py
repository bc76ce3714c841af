"""What clouds did of which they told no count: an answer that broke off, or whose caller left. Budgets go by an estimate of it,
since whoever leaves in time could otherwise spend without end."""

from collections.abc import Iterator
from typing import Final

from gateway.attempt_facts import AttemptFacts
from gateway.domain.cost import Usage
from gateway.domain.failure import FailureClass
from gateway.domain.record import RequestRecord

TOKENS_S: Final = 100
"""Tokens that an answer is taken to grow by in a second."""
_NO_WORD: Final = FailureClass.TIMEOUT_FIRST_TOKEN.value
_BEGUN: Final = frozenset(
    {"", _NO_WORD, FailureClass.CANCELLED.value, FailureClass.STALL.value, FailureClass.TRUNCATED.value}
)
"""How attempts end, a whole answer included, for which a provider has begun to work."""


def uncounted(request: RequestRecord) -> Iterator[tuple[AttemptFacts, Usage]]:
    """Every attempt at a cloud that no count came of, with about what was done for it."""
    counted = request.prompt_tokens is not None and (
        request.completion_tokens is not None or request.endpoint == "embeddings"
    )
    for one in request.attempts:
        if one.cloud and one.failure in _BEGUN and (one.failure or not counted):
            yield one, Usage(prompt=one.prompt_tokens, completion=_answer_tokens(one, request=request))


def _answer_tokens(one: AttemptFacts, *, request: RequestRecord) -> int:
    if request.endpoint == "embeddings" or one.failure == _NO_WORD:
        return 0
    # An attempt that was answered is noted when its answer begins.
    took_ms = one.ms if one.failure else request.duration_ms - (request.first_token_ms or 0.0)
    tokens = int(max(took_ms, 0.0) / 1000 * TOKENS_S)
    return tokens if one.most_tokens is None else min(tokens, one.most_tokens)
