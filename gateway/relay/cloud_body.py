"""What a request says to a cloud that speaks OpenAI's wire."""

from collections.abc import Mapping

from gateway.domain.request_fields import WIRE_FIELDS


def cloud_body(body: Mapping[str, object], *, defaults: Mapping[str, object]) -> dict[str, object]:
    """Of ``body``, the fields that a caller may have sent there, and as the role has them all others that its ``defaults`` hold:
    those are the operator's words, which no caller replaces."""
    known = {name: value for name, value in body.items() if name in WIRE_FIELDS}
    return {**known, **{name: value for name, value in defaults.items() if name not in WIRE_FIELDS}}
