"""The command line: `neurodecode run experiment=demo`, and the doors for data.

Exit codes: 0 done; 1 an error nobody foresaw; 2 a mistake in the command, the configuration or the
data; 3 a group report was written, but runs are missing from it; 130 interrupted.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

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
neurodecode run -m experiment=demo seed=0,1,2    several runs, one after the other"""

APPLY_USAGE = """\
neurodecode apply runs/demo/… data=/data/new  decode every trial of new recordings; and, if wanted:
    subjects=[sub-01] runs=[run-09] task=…    only these
    derivatives=DIR                           confounds and preprocessed signals (as in the run)
    average=COLUMN                            average trials with one value in this events column
    candidates=all|test|train|FOLDER          seek among the study's stimuli, or a folder's pictures
    top=5 samples=4                           candidates named, pictures painted for each row
    out=DIR store=DIR study=DIR device=cuda n_jobs=2 threads=2"""


DRY = "--dry"
REPORT = """\
writes group_report.html, group_metrics.tsv, group_comparisons.tsv and group.json. Runs of equal
configuration are pooled over seeds and subjects, different ones stand side by side. Exit code 3:
written, but a run failed, is unfinished or never began.

neurodecode report runs/demo/sweep_2026-01-31_12-00-00
neurodecode report 'runs/demo/2026-*' --out together"""
PATTERNS = ("recipe.bold_entities", "recipe.mask", "recipe.rois", "recipe.confounds")


def main(argv=None):
    """Run the command line and return its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # Modules of your own lie where you stand; last, so that no file there hides a library.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    parser = _parser()
    if argv[:1] == ["run"] and not {"-h", "--help"} & set(argv):
        return dry_run(argv[1:]) if DRY in argv else run(argv[1:])
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("neurodecode").setLevel(logging.INFO)
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
    report = add("report", "report several runs together, over subjects and seeds")
    report.epilog = REPORT
    report.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or of a sweep")
    report.add_argument(
        "--out", type=Path, help="folder of the report; by default the sweep's, else this one"
    )
    report.set_defaults(action=_report_runs)
    return parser


def _report_runs(arguments):
    from neurodecode.stages.group import group_report

    made = group_report(arguments.runs, arguments.out, planned_jobs)
    print(f"{made.sentence}\nreport: {made.page}")
    return 0 if made.complete else 3


def planned_jobs(sweep):
    """Return the overrides of every job that a sweep was to run, from its ``multirun.yaml``.

    Empty where there is no such file, or where another sweeper than Hydra's own chose the jobs.
    """
    import itertools

    import yaml
    from hydra.core.override_parser.overrides_parser import OverridesParser

    file = Path(sweep) / "multirun.yaml"
    if not file.is_file():
        return []
    hydra = yaml.safe_load(file.read_text(encoding="utf-8"))["hydra"]
    if not hydra["sweeper"]["_target_"].endswith(".BasicSweeper") or hydra["sweeper"].get("params"):
        return []
    choices = []
    for override in OverridesParser.create().parse_overrides(hydra["overrides"]["task"]):
        key = override.get_key_element()
        swept = override.is_sweep_override()
        if swept and not override.is_discrete_sweep():
            return []
        given = override.sweep_string_iterator() if swept else [override.get_value_element_as_str()]
        choices.append([f"{key}={value}" for value in given])
    return [list(job) for job in itertools.product(*choices)]


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
    import yaml

    from neurodecode.core.errors import ConfigError

    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"{text!r}: expected key=value, such as data=/data/new")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
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


def conf_folder():
    """Return the folder of configurations: inside an installed package, or beside a checkout's."""
    package = Path(__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def experiments():
    """Return the names of the experiments that come with the package."""
    return sorted(p.stem for p in (conf_folder() / "experiment").glob("*.yaml"))


def run(overrides):
    """Compose the configuration with Hydra and run the pipeline; return the exit code."""
    return _composed(overrides, lambda config: run_composed(config, _output_folder()))


def dry_run(overrides):
    """Compose the configuration, or those of a sweep, and print what running it would take."""
    import tempfile

    told = []
    with tempfile.TemporaryDirectory() as folder:  # Hydra wants one; nothing of it is kept
        away = [f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}", "hydra/launcher=basic"]
        given = [o for o in overrides if o != DRY]
        code = _composed([*given, *away], lambda config: told.append(foresee(config)))
    if len(told) > 1:
        from neurodecode.core.forecast import free_mib, summary

        every, roots = [line for lines, _ in told for line in lines], {r for _, r in told}
        print("\n".join(summary(every, min(map(free_mib, roots)), len(told))))
    return code


def foresee(config):
    """Print the forecast of one composed configuration; return its lines and the store's folder."""
    from neurodecode.core.forecast import forecast, free_mib, summary, table
    from neurodecode.core.runner import Pipeline, Store

    config, hardware = _on_this_machine(config)
    store = Store.looked_at(config["store"])
    lines = forecast(Pipeline(config, store, hardware))
    on = f"{hardware['device']}, {hardware['threads']} threads"
    print(f"dry run: {config['name']} on {on}; store {store.root}; nothing is run or written\n")
    print(table(lines, store.root) + "\n")
    print("\n".join(summary(lines, free_mib(store.root))) + "\n")
    return lines, store.root


def _composed(overrides, action):
    """Compose with Hydra, call the action with each configuration; return the worst exit code."""
    import hydra
    from omegaconf import OmegaConf

    codes = []

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def job(composed):
        # interpolations into hydra's own node resolve only here
        config = OmegaConf.to_container(composed, resolve=True)
        folder = _output_folder()
        codes.append(guarded(lambda: action(config), folder))

    # No experiment is what there is without one; Hydra takes null in the file only.
    wanted = replacing(o for o in overrides if o != "experiment=null")
    sys.argv = ["neurodecode run", *wanted]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raised to `guarded`, not printed by Hydra
    try:
        composing = guarded(job)
    except SystemExit as done:  # --help, --cfg and the like
        composing = done.code or 0
    return max([composing, *codes])


def replacing(overrides):
    """Let a pattern of entities replace the one there, or null; Hydra would merge them."""
    whole = lambda key, value: key in PATTERNS and value.startswith("{")
    parts = [(o, *o.partition("=")[::2]) for o in overrides]
    return [
        word
        for o, key, value in parts
        for word in ((f"{key}=null", o) if whole(key, value) else (o,))
    ]


def composed(overrides):
    """Compose the configuration as `run` does, without running it; resolved."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(conf_folder().absolute()), version_base="1.3"):
        return OmegaConf.to_container(compose("config", replacing(overrides)), resolve=True)


def _output_folder():
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def run_composed(config, run_folder):
    """Run one composed configuration; products and ``run.json`` go to `run_folder`."""
    config, hardware = _on_this_machine(config)
    from neurodecode.core.runner import Pipeline, Store

    log = logging.getLogger("neurodecode")
    report = run_folder / "report.html"
    report.unlink(missing_ok=True)  # of an earlier run in the same folder
    log.info(
        "neurodecode: %s on %s, %d threads; store %s",
        config["name"],
        hardware["device"],
        hardware["threads"],
        config["store"],
    )
    Pipeline(config, Store(config["store"]), hardware, run_folder).run()
    log.info("report: %s", report if report.exists() else f"none asked for; see {run_folder}")


def _on_this_machine(config):
    """Check the top, hold to the threads, find the device; return (config, what enters keys)."""
    from neurodecode.core.checks import typed
    from neurodecode.core.composing import check_given, check_read

    check_read(config, {p.stem for p in (conf_folder() / "stage").glob("*.yaml")})
    check_given({stage: config.get(stage) or {} for stage in config["stages"]})
    typed(config.get("subjects"), list[str] | None, "subjects")
    threads = resolve_threads(config["threads"])
    limit_threads(threads)
    device = resolve_device(config["device"])
    return _with_device(config, config["device"], device), {"device": device, "threads": threads}


def resolve_threads(threads):
    """Return the number of CPU threads; null is all cores."""
    from neurodecode.core.checks import typed
    from neurodecode.core.errors import ConfigError

    if typed(threads, int | None, "threads") is None:
        return len(os.sched_getaffinity(0))
    if threads < 1:
        raise ConfigError(f"threads: expected 1 or more, or null for all cores, got {threads}")
    return threads


def limit_threads(threads):
    """Hold every numeric library to `threads` threads, whether it is loaded already or not."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    # sleeping threads leave shared cores to others: a UNet step took .7 s instead of 2-4 s
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def resolve_device(device):
    """Return ``cpu`` or ``cuda``; ``auto`` is cuda where torch finds one."""
    from neurodecode.core.errors import ConfigError

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: expected auto, cpu or cuda, got {device!r}")
    if device == "cpu":
        return device
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch finds no GPU; use device=cpu")
    return "cuda" if torch.cuda.is_available() else "cpu"


def _with_device(node, before, after):
    """Replace the asked-for device by the found one in every node that holds it."""
    if not isinstance(node, dict):
        return node
    found = {k: _with_device(v, before, after) for k, v in node.items()}
    return found | {"device": after} if found.get("device") == before else found


def guarded(action, folder="."):
    """Run an action; return its exit code, and turn foreseen mistakes into a message and a code.

    Parameters
    ----------
    action : callable
    folder : path
        Where it writes, for the message of a full disk.
    """
    from neurodecode.core import composing, resources
    from neurodecode.core.errors import UserError

    debug = os.environ.get("NEURODECODE_DEBUG")
    try:
        code = action()
    except KeyboardInterrupt:
        print("interrupted: run the same command to go on from here", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        error = composing.explained(error) or resources.explained(error, folder) or error
        foreseen = isinstance(error, UserError | ValueError | OSError)
        name = "error" if foreseen else f"unforeseen {type(error).__name__}"
        print(f"{name}: {error}", file=sys.stderr)
        print("(NEURODECODE_DEBUG=1 shows where it came from)", file=sys.stderr)
        return 2 if foreseen else 1
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
