"""One attempt to have a request answered, as errors, headers and the journal tell it."""

from typing import NamedTuple


class AttemptFacts(NamedTuple):
    """One attempt as the caller may see it: reference, failure class (empty for success), upstream's status, milliseconds.
    ``cloud``: the request went to a model that is not on the operator's machines. Only of such, and for budgets alone: about how
    many tokens the prompt had, and the most that the answer may have had, ``None`` where the request did not say."""

    model: str
    failure: str
    status: int | None
    ms: float
    cloud: bool = False
    prompt_tokens: int = 0
    most_tokens: int | None = None

    @property
    def left_the_machine(self) -> bool:
        """Was anything of the request sent to a cloud? Where no connection came about, nothing was."""
        return self.cloud and self.failure not in {"transport", "saturated"}
