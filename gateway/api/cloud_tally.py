"""How often something of a request went to a cloud."""

from gateway.domain.ports import Journal
from gateway.domain.record import RequestRecord


class CloudTally:
    """Counts on the way to the journal, since the start. Implements ``Journal``."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._requests = 0
        self._last_s: float | None = None

    def record(self, request: RequestRecord) -> None:
        """See ``Journal.record``."""
        if request.cloud:
            self._requests += 1
            self._last_s = request.time_s
        if self._journal is not None:
            self._journal.record(request)

    def data(self) -> dict[str, object]:
        """The count, and when the last of them arrived (epoch seconds)."""
        return {"requests": self._requests, "last_s": self._last_s}
