"""The command `train-zoo`: models of a user's own pictures."""

ZOO = """\
neurodecode train-zoo pictures=DIR out=zoo minutes=20 device=cuda
    pictures=DIR            png, jpg, webp …, nested, of any size; at least 50, better thousands
    out=DIR                 models, model cards, contact sheets (default: zoo)
and, if wanted:
    parts=[generator,prior] which are trained; [clip,generator,prior] trains the target too
    clip=shipped:clip       the target when it is not trained: shipped:clip, a folder, a name that
                            open_clip knows (hf-hub:owner/model), a choice of conf/embed (vit_b_32)
    captions=FILE           .tsv with path and caption: the target learns them, the prior's code
                            begins with their words; without, pictures alone
    test=FILE               .tsv with path: pictures that are held out in any case, such as the test
                            pictures of your study. A tenth is held out anyway, copies together
    start=shipped|none|DIR  weights to begin from; DIR is the out= of an earlier training
    px=64                   width of the generator's pictures, a multiple of 16
    steps=… minutes=…       of each part; whichever ends first (default: 20 minutes)
    batch=256 rate=0.0005 width=256 layers=6 edges=2 components=64 compile=false
    damaged=refuse|skip     files that cannot be read
    duplicates=near|equal   copies kept together: scaled, cut, mirrored ones too; or equal ones
    judged=500              held-out pictures that the figures are computed from
    device=auto|cpu|cuda threads=… seed=0

The same command goes on after a kill. It ends by printing the words to give `neurodecode run`.
docs/zoo.md has it in full."""


def add_zoo(add):
    """Add `train-zoo`."""
    parser = add("train-zoo", "train target, generator and prior on your own pictures")
    parser.epilog = ZOO
    parser.add_argument("options", nargs="+", metavar="KEY=VALUE", help="pictures=DIR, and others")
    parser.set_defaults(action=_train_zoo)


def _train_zoo(arguments):
    from neurodecode.cli import key_values
    from neurodecode.cli.compose import conf_folder
    from neurodecode.cli.machine import limit_threads, resolve_device, resolve_threads

    options = key_values(arguments.options)
    limit_threads(resolve_threads(options.pop("threads", None)))
    options["device"] = resolve_device(options.get("device", "auto"))
    choice = clip if isinstance(clip := options.get("clip"), str) and clip.isidentifier() else None
    if choice is not None:
        file = conf_folder() / "embed" / f"{choice}.yaml"
        options["clip"] = _embed_node(file, options["device"])
    from neurodecode.zoo.train import train_zoo

    print(train_zoo(choice, **options))


def _embed_node(file, device):
    """The target of a choice of conf/embed, with the device filled in."""
    from neurodecode.cli.machine import with_device
    from neurodecode.core.documents import read_yaml
    from neurodecode.core.errors import ConfigError

    if not file.is_file():
        known = sorted(p.stem for p in file.parent.glob("*.yaml"))
        raise ConfigError(
            f"clip={file.stem}: there is no such choice; there are {', '.join(known)}"
        )
    return with_device(read_yaml(file), "${device}", device)
