"""What nobody foresaw, as a failure of the attempt in which it happened."""

import logging
from typing import Final

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed

_log: Final = logging.getLogger(__name__)


def unforeseen(exc: Exception, *, model: str) -> UpstreamFailed:
    """Log ``exc`` with its traceback and say what it means for the request: upstream sent what the gateway cannot handle.

    Call it where ``exc`` is being handled.
    """
    _log.exception("the answer of %s could not be handled", model)
    message = f"the answer could not be handled ({type(exc).__name__}); the gateway's log says more"
    return UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
