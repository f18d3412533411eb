"""A toy stage that counts in steps, saves where it is when told to stop, and fails if it is to."""

import json
import time
from dataclasses import dataclass, field

from neurodecode.core import stop
from neurodecode.core.stage import stage


@dataclass(frozen=True)
class Config:
    """Which member, how many steps of how many seconds, and what goes wrong."""

    number: int = 0
    steps: int = 1
    step_s: float = field(default=0.05, metadata={"keyed": False})
    fails: bool = False


@stage("member", config=Config, inputs=("shared",))
def run(config, inputs, out):
    """Count to `steps`; figures.json tells of every step once, however often the job was stopped."""
    if config.fails:
        raise ValueError(f"member {config.number} was to fail")
    place = out.work / "steps.json"
    steps = json.loads(place.read_text()) if place.exists() else []
    began = len(steps)
    with stop.postponed():
        for step in range(began, config.steps):
            time.sleep(config.step_s)
            steps.append(step)
            if stop.asked():
                place.write_text(json.dumps(steps))
                print(f"saved at step {step}", flush=True)
                stop.leave()
    value = inputs.json("shared", "value.json")
    out.save_json("figures.json", {"value": value * config.number, "steps": steps})
    out.save_json("began.json", began)
