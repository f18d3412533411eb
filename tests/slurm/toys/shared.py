"""A toy stage that all members need: slow enough that several ask for it at once."""

import time
from dataclasses import dataclass

from neurodecode.core.stage import stage


@dataclass(frozen=True)
class Config:
    """How long it takes, s."""

    seconds: float = 1.0


@stage("shared", config=Config)
def run(config, inputs, out):
    """Work, and leave a trace outside the store of who did it."""
    time.sleep(config.seconds)
    out.save_json("value.json", 7)
