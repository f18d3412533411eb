"""A toy stage that counts in steps, saves where it is when told to stop, and fails if it is to."""

import json
import time
from dataclasses import dataclass, field

import numpy as np

from neurodecode.core import stop
from neurodecode.core.stage import stage
from tests.data.made_runs import tables


@dataclass(frozen=True)
class Config:
    """Which member, how many steps of how many seconds, and which members are to fail."""

    number: int = 0
    steps: int = 1
    step_s: float = field(default=0.05, metadata={"keyed": False})
    fail: list[int] = field(default_factory=list)


@stage("member", config=Config, inputs=("shared",))
def run(config, inputs, out):
    """Count to `steps`; figures.json tells of every step once, also of a job that was stopped."""
    if config.number in config.fail:
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
    score = np.array([value * config.number / 100])
    for name, table in zip(("metrics", "comparisons"), tables(["sub-01"], score, 0), strict=True):
        table.to_csv(out.path(f"{name}.tsv"), sep="\t", index=False, na_rep="n/a")
