"""``/v1/embeddings``: OpenAI's own wire."""

from gateway.api.dialect import Asked
from gateway.api.errors import error_body
from gateway.errors import RolegateError
from gateway.relay.embedding_request import EmbeddingRequest


class Embeddings:
    """Implements ``Dialect``."""

    name = "embeddings"

    def asked(self, body: bytes) -> Asked:
        return Asked(inquiry=EmbeddingRequest.parse(body))

    def error(self, error: RolegateError, *, request_id: str) -> bytes:
        return error_body(error)
