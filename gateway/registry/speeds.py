"""How fast models have been here: what discovery adds to what their servers say."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from gateway.domain.model import Model
from gateway.domain.ports import SpeedLog
from gateway.domain.speed import measured_speed


class Speeds:
    """The measured speeds of all models, whatever registry lists them: they outlive swaps, and the log that they are read from
    outlives the process."""

    def __init__(self, log: SpeedLog | None = None) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._known: dict[str, float] = {}

    @property
    def known(self) -> Mapping[str, float]:
        """Tokens/s by model reference."""
        return dict(self._known)

    def recall(self) -> None:
        """Look at the latest answers. Blocks."""
        if self._log is None:
            return
        with self._lock:
            for reference, answers in self._log.latest().items():
                speed = measured_speed(answers, before=self._known.get(reference))
                if speed is not None:
                    self._known[reference] = speed

    def applied(self, models: Iterable[Model]) -> tuple[Model, ...]:
        """The models with their measured speed, where there is one."""
        known = self._known
        if not known:
            return tuple(models)
        return tuple(
            model if (speed := known.get(str(model.ref))) is None else replace(model, speed_tokens_s=speed)
            for model in models
        )
