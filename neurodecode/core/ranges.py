"""Ranges of options, as types: what a signature says is checked before anything is computed."""

from dataclasses import dataclass
from typing import Annotated

from neurodecode.core.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, either of them open where `within` says so; None: no end."""

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False

    def check(self, value, where):
        """Raise ConfigError, naming the key, if a value lies outside."""
        low = self.low is None or (value > self.low if self.above else value >= self.low)
        high = self.high is None or (value < self.high if self.below else value <= self.high)
        if not (low and high):
            raise ConfigError(f"{where}: expected {self}, got {value}")

    def __str__(self):
        """In words: ``0 to 1``, ``more than 0``, ``1 or more``."""
        if self.low is not None and self.high is not None:
            start = f"{'more than ' if self.above else ''}{self.low:g}"
            return f"{start} to {'less than ' if self.below else ''}{self.high:g}"
        return f"more than {self.low:g}" if self.above else f"{self.low:g} or more"


Share = Annotated[float, Range(0, 1)]  # both ends included
PartShare = Annotated[float, Range(0, 1, below=True)]  # less than all
Level = Annotated[float, Range(0, 1, above=True, below=True)]  # of an interval
Correlation = Annotated[float, Range(-1, 1)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Count = Annotated[int, Range(1)]
CountOrNone = Annotated[int, Range(0)]  # none at all is a choice
Seed = Annotated[int, Range(0)]
