"""What `neurodecode train-zoo` is given, and the words that use what it made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neurodecode.core.errors import ConfigError
from neurodecode.core.ranges import Count, NotNegative, Positive, Seed

ORDER = ("clip", "generator", "prior")
MINUTES = 20.0  # of each part, where neither steps nor minutes are given
OPEN_CLIP = "neurodecode.contrastive.targets.OpenClipTarget"


@dataclass(frozen=True)
class Zoo:
    """What `neurodecode train-zoo` is given; docs/zoo.md explains each."""

    pictures: str
    out: str = "zoo"
    captions: str | None = None
    test: str | None = None
    parts: tuple[Literal["clip", "generator", "prior"], ...] = ("generator", "prior")
    px: Count = 64
    clip: str | dict = "shipped:clip"
    start: str = "shipped"
    steps: Count | None = None
    minutes: Positive | None = None
    batch: Count = 256
    rate: Positive = 5e-4
    width: Count = 256
    layers: Count = 6
    components: Count = 64
    edges: NotNegative = 2.0
    compile: bool = False
    damaged: Literal["refuse", "skip"] = "refuse"
    duplicates: Literal["near", "equal"] = "near"
    judged: Count = 500
    device: str = "cpu"
    seed: Seed = 0


def check(asked: Zoo) -> None:
    """Refuse options that do not go together."""
    if not asked.parts:
        raise ConfigError(f"train-zoo.parts: name at least one of {', '.join(ORDER)}")
    if "clip" in asked.parts and asked.clip != "shipped:clip":
        raise ConfigError(
            "train-zoo.clip names a target, and parts has clip, which trains one: give one of them"
        )
    if asked.px % 16:
        raise ConfigError(f"train-zoo.px: expected a multiple of 16, got {asked.px}")
    if asked.width % 32:
        raise ConfigError(f"train-zoo.width: expected a multiple of 32, got {asked.width}")


def target_node(asked: Zoo, out: Path) -> dict:
    """The `_target_` node of what the generator and the prior are trained for."""
    if isinstance(asked.clip, dict):
        return {**asked.clip, **({"device": asked.device} if "device" in asked.clip else {})}
    model = str(out / "clip") if "clip" in asked.parts else asked.clip
    return {"_target_": OPEN_CLIP, "model": model, "device": asked.device}


def use_line(asked: Zoo, out: Path, choice: str | None = None) -> str:
    """The words that let a run use what was trained.

    Parameters
    ----------
    asked : Zoo
    out : Path
    choice : str or None
        The choice of conf/embed that names the target, if one does.
    """
    out = out.absolute()
    node = target_node(asked, out)
    if choice is not None:
        words = [f"embed={choice}"]
    elif node["_target_"] == OPEN_CLIP:
        words = ["embed=shipped_clip", f"embed.target.model={node['model']}"]
        words += [f"embed.target.pretrained={node['pretrained']}"] if node.get("pretrained") else []
    else:
        words = ["embed=…"]  # the choice of one's own that this target stands in
    if "prior" in asked.parts:
        words += ["prior=shipped", f"train.prior.path={out / 'prior'}"]
    if "generator" in asked.parts:
        words += ["generator=shipped", f"reconstruct.generator.path={out / 'generator'}"]
    return " ".join(["neurodecode run …", *words])
