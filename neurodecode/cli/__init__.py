"""The command line: `neurodecode run experiment=demo`, and the doors for data.

Exit codes: 0 done; 1 an error nobody foresaw; 2 a mistake in the command, the configuration or the
data; 3 a group report was written, but runs are missing from it; 4 a sweep has members that failed
(the others are done); 5 `verify` found something stale or damaged; 130 interrupted; 143 told to
stop by a signal or a scheduler.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from neurodecode.cli.compose import (
    DRY,
    composed,
    conf_folder,
    dry_run,
    experiments,
    planned_jobs,
    run,
    run_composed,
)
from neurodecode.cli.import_checkpoint import add_import_checkpoint
from neurodecode.cli.machine import guarded, limit_threads, resolve_device, resolve_threads
from neurodecode.cli.rating import add_rate
from neurodecode.cli.shelf import add_export, add_store, add_verify
from neurodecode.cli.status import status_parser
from neurodecode.cli.zoo import add_zoo
from neurodecode.core.stop import in_order

__all__ = ["composed", "conf_folder", "main", "planned_jobs", "resolve_device", "run_composed"]

USAGE = """\
neurodecode run experiment=demo                  simulated study, to pictures and a report
neurodecode run experiment=retrieval recipe.root=DIR recipe.task=NAME
                                                 your own BIDS folder: which picture was seen
neurodecode run experiment=retrieval_meeg recipe=bids_meg recipe.root=DIR
                                                 the same of EEG (the default), MEG, iEEG
neurodecode run experiment=folder recipe.root=DIR
                                                 responses.npy, trials.tsv and pictures, as they are
neurodecode run experiment=demo seed=1 train.decoder_training.n_epochs=10
                                                 any key of the configuration, by name
neurodecode run experiment=demo --cfg job        print the configuration, run nothing
neurodecode run --dry experiment=demo            what is cached, what will be computed, and its cost
neurodecode run -m experiment=demo seed=0,1,2    several runs, one after the other
neurodecode run -m seed=0,1,2 launcher=slurm     the same as a SLURM job array: docs/slurm.md"""

APPLY_USAGE = """\
neurodecode apply runs/demo/… data=/data/new  decode every trial of new recordings; and, if wanted:
    subjects=[sub-01] runs=[run-09] task=…    only these
    derivatives=DIR                           confounds and preprocessed signals (as in the run)
    average=COLUMN                            average trials with one value in this events column
    candidates=all|test|train|FOLDER          seek among the study's stimuli, or a folder's pictures
    top=5 samples=4                           candidates named, pictures painted for each row
    out=DIR store=DIR study=DIR device=cuda n_jobs=2 threads=2"""


REPORT = """\
writes group_report.html, group_metrics.tsv, group_comparisons.tsv and group.json. Runs of equal
configuration are pooled over seeds and subjects, different ones stand side by side. Exit code 3:
written, but a run failed, is unfinished or never began.

neurodecode report runs/demo/sweep_2026-01-31_12-00-00
neurodecode report 'runs/demo/2026-*' --out together"""


PLAN = """\
neurodecode plan runs/demo/… within=.05           from a finished run: its score and spread
neurodecode plan score=.3 chance=.01 within=.05 power=.9
neurodecode plan score=.8 metric=two_way stimuli=[50,100,200] subjects=[8,20] \\
    population=both subject_sd=.05               without one: what you hope for

    score metric candidates chance sd            what is planned for: metric=top1, top5, two_way …
    stimuli repeats subjects                     sizes to lay out: a number or a list
    reliability                                  correlation of single trials with the same picture
    shared subject_sd population                 how subjects differ; stimuli, subjects or both
    within power level alpha                     what is wanted: ± half width, power
    condition                                    of the run: model

docs/planning.md has it in full."""


def main(argv=None):
    """Run the command line and return its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # Modules of your own lie where you stand; last, so that no file there hides a library.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    parser = _parser()
    if argv[:1] == ["run"] and not {"-h", "--help"} & set(argv):
        with in_order():
            return dry_run(argv[1:]) if DRY in argv else run(argv[1:])
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("neurodecode").setLevel(logging.INFO)
    with in_order():
        return guarded(lambda: arguments.action(arguments))


def _parser():
    import neurodecode

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("neurodecode", description=neurodecode.__doc__)
    parser.add_argument(
        "--version", action="version", version=f"neurodecode {neurodecode.__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = lambda name, text: commands.add_parser(
        name, help=text, description=text, formatter_class=raw
    )
    run_parser = add("run", "run an experiment: from recordings to a report")
    run_parser.epilog = f"{USAGE}\n\nexperiments: {', '.join(experiments())}"
    run_parser.add_argument(
        DRY, action="store_true", help="say what is cached and what the rest will cost; run nothing"
    )
    run_parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides")
    _apply_parser(add("apply", "decode new recordings by the trained model of a run"))
    _doctor_parser(add("doctor", "say what a folder holds, what is missing, and what to run"))
    for name, text in {
        "fetch": "download a public data set as BIDS",
        "import": "turn files you have into BIDS",
    }.items():
        _data_parser(add(name, text), name)
    plan = add("plan", "say how many test pictures, repeats and subjects a study needs")
    plan.epilog = PLAN
    plan.add_argument("words", nargs="+", metavar="[RUN] KEY=VALUE", help="a finished run; numbers")
    plan.set_defaults(action=_plan)
    report = add("report", "report several runs together, over subjects and seeds")
    report.epilog = REPORT
    report.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or of a sweep")
    report.add_argument(
        "--out", type=Path, help="folder of the report; by default the sweep's, else this one"
    )
    report.add_argument(
        "--permutations",
        action="store_true",
        help="p-values of one run among others of it with train.permutation=1,2,…",
    )
    report.set_defaults(action=_report_runs)
    status_parser(add("status", "say what of a run is done, running and waiting"))
    _leaderboard_parser(
        add("leaderboard", "rank runs by one score; unlike protocols are not mixed")
    )
    _audit_parser(
        add("audit", "audit anybody's predictions: a table of ids and embeddings will do")
    )
    add_zoo(add)
    add_import_checkpoint(add)
    add_rate(add)
    add_verify(add)
    add_store(add)
    add_export(add)
    return parser


def _report_runs(arguments):
    if arguments.permutations:
        from neurodecode.stages.permutations import permutation_report, told

        table, place = permutation_report(arguments.runs, arguments.out)
        print("\n".join([*told(table), f"table: {place}"]))
        return 0
    from neurodecode.stages.group import group_report

    made = group_report(arguments.runs, arguments.out, planned_jobs)
    print(f"{made.sentence}\nreport: {made.page}")
    return 0 if made.complete else 3


def _plan(arguments):
    from neurodecode.stages.plan import make_plan

    runs = [word for word in arguments.words if "=" not in word]
    if len(runs) > 1:
        from neurodecode.core.errors import ConfigError

        raise ConfigError(f"plan goes by one run, got {' and '.join(runs)}")
    options = key_values(word for word in arguments.words if "=" in word)
    print(make_plan(*runs, **options))
    return 0


LEADERBOARD = """\
Every run's score card says how its scores were come by. Where two differ in what makes scores
comparable (split, averaging, candidates, version of the metric …) nothing is ranked and the field
is named. docs/score_card.md has them all.

neurodecode leaderboard runs/demo --metric brain_to_image_top1
neurodecode leaderboard runs/demo runs/other --by protocol --csv board.csv"""


def _leaderboard_parser(parser):
    parser.epilog = LEADERBOARD
    parser.add_argument("runs", nargs="+", metavar="DIR", help="folder of a run, or of several")
    parser.add_argument("--metric", help="score to rank by; by default the first that was compared")
    parser.add_argument("--set-size", type=int, help="number of candidates; by default all")
    parser.add_argument("--subject", default="all", help="by default the mean over subjects")
    parser.add_argument(
        "--condition", action="append", help="model by default; may be given several times"
    )
    parser.add_argument("--by", choices=["protocol"], help="a table for each protocol")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="FIELD", help="may differ, as if it did not"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every line, unrounded")
    parser.set_defaults(action=_leaderboard)


def _leaderboard(arguments):
    from neurodecode.stages.leaderboard import leaderboard, save_csv, table_text

    board = leaderboard(
        arguments.runs,
        arguments.metric,
        arguments.set_size,
        arguments.subject,
        arguments.condition or ["model"],
        by_protocol=arguments.by == "protocol",
        allow=arguments.allow,
    )
    print(table_text(board), end="")
    if arguments.csv:
        save_csv(board, arguments.csv)
        print(f"table: {arguments.csv}")


AUDIT = """\
neurodecode audit predictions=predicted.tsv truth=true.tsv
    predictions=FILE  stimulus_id and the predicted embedding (.tsv, .csv, .parquet, .npz,
                      .npy beside a .tsv of ids), or a folder of pictures named by stimulus id
    truth=FILE        the same of the stimuli that were shown
and, if wanted:
    categories=FILE category=COLUMN           what a decoder of categories alone would score
    low_level=FILE                            low-level features of the stimuli, or the folder of
                                              their pictures, for the verdict
    train=FILE                                true embeddings of the training stimuli
    prior=FILE ceiling=FILE                   predictions without a brain; with the true features
    n_bootstrap=1000 n_permutations=1000 level=0.95 seed=0
    out=DIR                                   where the page and the tables go; default audit

docs/audit.md shows the files and what is printed."""


def _audit_parser(parser):
    parser.epilog = AUDIT
    parser.add_argument("options", nargs="+", metavar="KEY=VALUE", help="predictions=, truth=, …")
    parser.set_defaults(action=_audit)


def _audit(arguments):
    from neurodecode.stages.audit_files import audit_files

    print(audit_files(**key_values(arguments.options)), end="")


def _data_parser(parser, verb):
    parser.add_argument("dataset", choices=["haxby"])
    if verb == "import":
        parser.add_argument("folder", type=Path, help="the OpenfMRI folder")
        parser.add_argument("--stimuli", type=Path, help="folder with faces/ and houses/ pictures")
    parser.add_argument("--out", type=Path, default=Path("data/haxby"), help="BIDS folder to write")
    parser.set_defaults(action=_import_haxby if verb == "import" else _fetch_haxby)


def _apply_parser(parser):
    parser.epilog = APPLY_USAGE
    parser.add_argument("run", type=Path, help="folder of a run that trained a model")
    parser.add_argument("options", nargs="*", metavar="KEY=VALUE", help="data=FOLDER, and others")
    parser.set_defaults(action=_apply)


def _apply(arguments):
    options = key_values(arguments.options)
    limit_threads(resolve_threads(options.pop("threads", None)))
    from neurodecode.api.apply import apply

    folder = apply(arguments.run, **options)
    print(f"decoded: {folder / 'decoded.html'}")


def key_values(texts):
    """Read ``key=value`` as YAML does: ``top=5``, ``runs=[run-1,run-2]``."""
    from neurodecode.core.documents import parse_yaml
    from neurodecode.core.errors import ConfigError

    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"{text!r}: expected key=value, such as data=/data/new")
        try:
            found[key] = parse_yaml(value, key)
        except ConfigError as error:
            raise ConfigError(
                f"{key}: {value!r} cannot be read as YAML: put it in quotes"
            ) from error
    return found


def _doctor_parser(parser):
    parser.add_argument("path", nargs="?", help="data to look at; without it, the installation")
    parser.add_argument("--derivatives", type=Path, help="fMRIPrep's output, if it lies elsewhere")
    parser.add_argument(
        "--store",
        default=os.environ.get("NEURODECODE_STORE", "store"),
        help="where artifacts are kept (for the check of the installation)",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.set_defaults(action=_doctor)


def _doctor(arguments):
    from neurodecode.stages.doctor import examine
    from neurodecode.stages.doctor.installation import examine_installation
    from neurodecode.stages.doctor.text import as_json, as_text
    from neurodecode.stages.doctor.words import as_overrides

    if arguments.path is None:
        found = examine_installation(arguments.store)
    else:
        compose = lambda words: composed(as_overrides(words))
        found = examine(arguments.path, compose, arguments.derivatives)
    print(as_json(found) if arguments.json else as_text(found), end="")
    return found.code


def _import_haxby(arguments):
    from neurodecode.data.haxby import import_openfmri

    import_openfmri(arguments.folder, arguments.out, arguments.stimuli)
    print(
        f"wrote {arguments.out}\nnext: neurodecode run experiment=haxby recipe.root={arguments.out}"
    )


def _fetch_haxby(arguments):
    from neurodecode.data.haxby import fetch

    fetch(arguments.out)
    print(  # the download holds no motion estimates
        f"wrote {arguments.out}\nnext: neurodecode run experiment=haxby "
        f"recipe.root={arguments.out} preprocess.method.confounds=[]"
    )
