"""The command `import-checkpoint`: published weights as a folder that a run can start from."""

IMPORT = """\
neurodecode import-checkpoint FILE model=mindeye1
    FILE                    .pth .pt .th .bin .ckpt of torch.save, .safetensors, or a folder with
                            model.safetensors (whole or in parts); several, where a checkpoint was
                            published in several files
    model=NAME|FILE.yaml    the network: a choice of conf/model or conf/classifier, or your own YAML
and, if wanted:
    out=FOLDER              where it goes (default: below imported/)
    subjects=[sub-01,…]     names for the subjects whose own parts the file has, in its order
    licence=TEXT            of the weights, for the model card (default: unknown)
    partial=true            accept a file that lacks parameters of the network
    KEY=VALUE               options of the model that no shape tells (heads, compat …)

Nothing of the file's code runs: tensors are read, other classes are not made, and a network that
was saved whole is refused. What matched by key and shape is printed; exit code 2 where parameters
are missing. The folder gets model.safetensors, prior.safetensors (where the file has a diffusion
prior), config.json and a model card. Then:

neurodecode run experiment=… model=mindeye1 train.start=FOLDER train.linear_start=null

docs/checkpoints.md has it in full."""
GROUPS = ("model", "classifier")
OWN = ("out", "subjects", "licence", "partial")


def add_import_checkpoint(add):
    """Add `import-checkpoint`."""
    parser = add("import-checkpoint", "import a published checkpoint by key and shape")
    parser.epilog = IMPORT
    parser.add_argument("file", help="the checkpoint that was downloaded")
    parser.add_argument("words", nargs="+", metavar="KEY=VALUE", help="model=NAME, and others")
    parser.set_defaults(action=_import_checkpoint)


def _import_checkpoint(arguments):
    from pathlib import Path

    from neurodecode.cli import key_values
    from neurodecode.core.checks import typed
    from neurodecode.core.errors import ConfigError

    given = key_values(word for word in arguments.words if "=" in word)
    files = [arguments.file, *(word for word in arguments.words if "=" not in word)]
    model = given.pop("model", None)
    if not isinstance(model, str):
        raise ConfigError("import-checkpoint needs the network the file is of: give model=NAME")
    own = {name: given.pop(name) for name in OWN if name in given}
    subjects = typed(own.get("subjects") or [], list[str], "subjects")
    licence = typed(own.get("licence", "unknown"), str, "licence")
    partial = typed(own.get("partial", False), bool, "partial")
    out = typed(own.get("out"), str | None, "out")
    name, node = model_node(model)
    if isinstance(node.get("compat"), bool):  # weights were trained with the published quirks
        given = {"compat": True} | given

    from neurodecode.weights.importing import Asked, import_checkpoint

    asked = Asked(tuple(map(Path, files)), name, node | given, tuple(subjects), licence, partial)
    folder = import_checkpoint(asked, out)
    print(f"written: {folder}")
    print(use_line(name, folder, given))


def use_line(name, folder, given):
    """The words that let a run begin with what was imported."""
    from neurodecode.cli.compose import conf_folder

    file = conf_folder() / GROUPS[0] / f"{name}.yaml"
    if not file.is_file():
        return "use: train.start of a network of your own; stages of classifiers have no start"
    size = " size=published" if "${size:" in file.read_text(encoding="utf-8") else ""
    options = "".join(f" train.model.{key}={_word(value)}" for key, value in given.items())
    words = f"model={name}{size} train.start={folder} train.linear_start=null{options}"
    return f"use: neurodecode run experiment=… {words}"


def _word(value):
    return str(value).lower() if isinstance(value, bool) else value


def model_node(model):
    """The name and the composed options of a network: a choice of conf/model, or a YAML file.

    Raises
    ------
    ConfigError
        If there is none; FileNotFoundError for a file that is not there.
    """
    from pathlib import Path

    from neurodecode.cli.compose import composed, conf_folder
    from neurodecode.core.documents import read_yaml
    from neurodecode.core.errors import ConfigError

    if model.endswith((".yaml", ".yml")):
        node = read_yaml(model)
        if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
            raise ConfigError(f"{model} names no network: it needs a _target_")
        return Path(model).stem, node
    choices = {p.stem: p for group in GROUPS for p in (conf_folder() / group).glob("*.yaml")}
    if model not in choices:
        raise ConfigError(
            f"model={model}: there is no such choice; there are {', '.join(sorted(choices))}, or "
            "give the path of a YAML file"
        )
    sized = "${size:" in choices[model].read_text(encoding="utf-8")
    words = ["name=import", *(["size=published"] if sized else [])]
    if choices[model].parent.name == GROUPS[0]:
        return model, composed([*words, f"model={model}"])["train"]["model"]
    node = composed([*words, f"+classifier@import={model}"])["import"]
    return model, node
