"""The command line: `neurodecode run experiment=demo`, and the doors for data.

Exit codes: 0 done; 1 an error nobody foresaw; 2 a mistake in the command, the configuration or the
data; 130 interrupted.
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
neurodecode run experiment=demo seed=1 train.decoder_training.n_epochs=10
                                                 any key of the configuration, by name
neurodecode run experiment=demo --cfg job        print the configuration, run nothing
neurodecode run -m experiment=demo seed=0,1,2    several runs, one after the other"""

APPLY_USAGE = """\
neurodecode apply runs/demo/… data=/data/new  decode every trial of new recordings; and, if wanted:
    subjects=[sub-01] runs=[run-09] task=…    only these
    derivatives=DIR                           confounds and preprocessed signals (as in the run)
    average=COLUMN                            average trials with one value in this events column
    candidates=all|test|train|FOLDER          seek among the study's stimuli, or a folder's pictures
    top=5 samples=4                           candidates named, pictures painted for each row
    out=DIR store=DIR study=DIR device=cuda n_jobs=2 threads=2"""


def main(argv=None):
    """Run the command line and return its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if argv[:1] == ["run"] and not {"-h", "--help"} & set(argv):
        return run(argv[1:])
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
    run_parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides")
    _apply_parser(add("apply", "decode new recordings by the trained model of a run"))
    for name, text in {
        "fetch": "download a public data set as BIDS",
        "import": "turn files you have into BIDS",
    }.items():
        _data_parser(add(name, text), name)
    return parser


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
    import hydra
    from omegaconf import OmegaConf

    codes = []

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def job(composed):
        # interpolations into hydra's own node resolve only here
        config = OmegaConf.to_container(composed, resolve=True)
        codes.append(guarded(lambda: run_composed(config, _output_folder())))

    # No experiment is what there is without one; Hydra takes null in the file only.
    sys.argv = ["neurodecode run", *(o for o in overrides if o != "experiment=null")]
    try:
        job()
    except SystemExit as done:  # Hydra has said why the configuration could not be composed
        return max(codes) if codes else (2 if done.code else 0)
    return max(codes, default=0)


def _output_folder():
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def run_composed(config, run_folder):
    """Run one composed configuration; products and ``run.json`` go to `run_folder`."""
    threads = resolve_threads(config["threads"])
    limit_threads(threads)
    device = resolve_device(config["device"])
    from neurodecode.core.runner import Pipeline, Store

    config = _with_device(config, config["device"], device)
    hardware = {"device": device, "threads": threads}
    log = logging.getLogger("neurodecode")
    report = run_folder / "report.html"
    report.unlink(missing_ok=True)  # of an earlier run in the same folder
    log.info(
        "neurodecode: %s on %s, %d threads; store %s",
        config["name"],
        device,
        threads,
        config["store"],
    )
    Pipeline(config, Store(config["store"]), hardware, run_folder).run()
    log.info("report: %s", report if report.exists() else f"none asked for; see {run_folder}")


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


def guarded(action):
    """Run an action; turn foreseen mistakes into one message and an exit code."""
    from neurodecode.core.errors import UserError

    debug = os.environ.get("NEURODECODE_DEBUG")
    try:
        action()
    except KeyboardInterrupt:
        print("interrupted: run the same command to go on from here", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        foreseen = isinstance(error, UserError | ValueError | OSError)
        name = "error" if foreseen else f"unforeseen {type(error).__name__}"
        print(f"{name}: {error}", file=sys.stderr)
        print("(NEURODECODE_DEBUG=1 shows where it came from)", file=sys.stderr)
        return 2 if foreseen else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
