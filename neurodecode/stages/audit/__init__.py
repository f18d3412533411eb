"""Audit: what the scores are worth, said of the model's predictions in every study.

Which level of the picture was read (`verdict`), how much of a score the brain is owed, how many of
its dimensions the decoder needs, whether predictions collapsed, how well anybody could do with
these trials, which candidates cannot be told out, and which pictures are the prior's rather than
the brain's. Nothing is fitted to test rows, and nothing is chosen here.
"""

from dataclasses import dataclass, field

from neurodecode.core.ranges import Count, Level, PartShare, Seed
from neurodecode.core.stage import stage
from neurodecode.stages.audit import doubts, limits, scores
from neurodecode.stages.audit.material import Study
from neurodecode.stages.embed import HANDLE


@dataclass(frozen=True)
class AuditConfig:
    """How sure, and at which steps; conf/stage/audit.yaml explains each."""

    alpha: PartShare = 0.005
    n_bootstrap: Count = 1000
    n_permutations: Count = 5000
    level: Level = 0.95
    sets_level: Level = 0.9
    abstain_above: PartShare = 0.05
    steps_per_octave: Count = 2
    n_described: Count = 3000
    seed: Seed = 0
    device: str = "cpu"
    root: str = field(default="", metadata={"keyed": False})


READS = ("index:stimuli.tsv", "embed", "split", "preprocess", "align", "train", "predict")
READS += ("?reconstruct", "evaluate", HANDLE)


@stage("audit", config=AuditConfig, inputs=READS, opens_test=True)
def run(config, inputs, out):
    """Write the verdict, and a table of each question."""
    import pandas as pd

    study = Study.of(config, inputs)
    verdict = scores.verdict(config, study)
    out.save_json("verdict.json", verdict)
    out.save_table("attributable.tsv", scores.attributable_table(config, inputs, study))

    collapsed, profiles, ceilings, curves, knees = [], [], [], [], {}
    sets, states, rows = [], [], []
    for subject in out.progress(study.subjects, label="subjects audited"):
        asked = study.subject(subject)
        collapsed += limits.collapsed(asked)
        profiles += limits.recovery(config, asked)
        ceilings += limits.ceilings(asked)
        lines, knees[subject] = limits.bottleneck(config, asked)
        curves += lines
        told, own = doubts.candidate_sets(config, asked)
        sets += told
        states += doubts.shared_states(config, asked)
        rows.append(doubts.rows(config, asked, own))
    out.save_table("collapse.tsv", pd.DataFrame(collapsed))
    out.save_table("recovery.tsv", pd.DataFrame(profiles))
    out.save_table("ceilings.tsv", pd.DataFrame(ceilings, columns=limits.CEILING))
    out.save_table("bottleneck.tsv", pd.DataFrame(curves))
    out.save_json("bottleneck.json", knees)
    out.save_table("conformal.tsv", pd.DataFrame(sets, columns=doubts.SETS))
    out.save_table("shared_state.tsv", pd.DataFrame(states))
    out.save_table("rows.parquet", pd.concat(rows, ignore_index=True))
    for line in states:
        if line["p"] < config.alpha:
            out.log(
                f"{line['subject']}: test rows resemble training rows of their own {line['group']} "
                f"(p {line['p']:.3f}): state leaks through {line['group']}s that the split cut"
            )
    for subject, graded in verdict["subjects"].items():
        out.log(f"{subject}: {graded['level']}. {graded['reasons'][0]}")
