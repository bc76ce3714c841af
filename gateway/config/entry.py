"""What every mapping in a configuration file is checked with."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Entry(BaseModel):
    """A mapping in a file: unknown keys are errors, and no value is converted from another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """The fields that say something."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
