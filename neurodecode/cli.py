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

PATTERNS = ("recipe.bold_entities", "recipe.mask", "recipe.rois", "recipe.confounds")


def main(argv=None):
    """Run the command line and return its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if argv[:1] == ["run"] and not {"-h", "--help"} & set(argv):
        return run(argv[1:])
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
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
    _doctor_parser(add("doctor", "say what a folder holds, what is missing, and what to run"))
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
    import hydra
    from omegaconf import OmegaConf

    codes = []

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def job(composed):
        # interpolations into hydra's own node resolve only here
        config = OmegaConf.to_container(composed, resolve=True)
        codes.append(guarded(lambda: run_composed(config, _output_folder())))

    # No experiment is what there is without one; Hydra takes null in the file only.
    wanted = replacing(o for o in overrides if o != "experiment=null")
    sys.argv = ["neurodecode run", *wanted]
    try:
        job()
    except SystemExit as done:  # Hydra has said why the configuration could not be composed
        return max(codes) if codes else (2 if done.code else 0)
    return max(codes, default=0)


def replacing(overrides):
    """Let a pattern of entities replace the one there; Hydra would merge them."""
    whole = lambda key, value: key in PATTERNS and value.startswith("{")
    parts = [(o, *o.partition("=")[::2]) for o in overrides]
    return [
        word
        for o, key, value in parts
        for word in ((f"~{key}", f"+{key}={value}") if whole(key, value) else (o,))
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
    """Run an action and return its exit code (None is 0); a foreseen mistake is one message."""
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
        foreseen = isinstance(error, UserError | ValueError | OSError)
        name = "error" if foreseen else f"unforeseen {type(error).__name__}"
        print(f"{name}: {error}", file=sys.stderr)
        print("(NEURODECODE_DEBUG=1 shows where it came from)", file=sys.stderr)
        return 2 if foreseen else 1
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
