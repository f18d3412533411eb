"""The command `rate`: a page on which people rate reconstructions, and its analysis."""

from pathlib import Path

RATE = """\
neurodecode rate runs/demo/…                      a page, its key and its protocol in RUN/rating
    conditions=model,ridge                        which of two reconstructions is of this picture?
    pairs=model:ridge                             which of two conditions is more like the picture?
    pairs=model:other/model other=RUN             the same of another run
    n_trials=100 seed=0 out=DIR store=DIR
neurodecode rate runs/demo/… answers=DIR          what people answered: RUN/rating/ratings.html

Give raters rating.html alone; key.tsv tells the answers and stays with you. docs/rating.md has it
in full."""


def add_rate(add):
    """Add `rate` to the commands; `add` makes a parser of a name and a sentence."""
    parser = add("rate", "make a page on which people rate reconstructions, or analyse answers")
    parser.epilog = RATE
    parser.add_argument("run", type=Path, help="folder of a run that painted pictures")
    parser.add_argument("options", nargs="*", metavar="KEY=VALUE", help="answers=, conditions=, …")
    parser.set_defaults(action=_rate)


def _rate(arguments):
    from neurodecode.cli import key_values
    from neurodecode.core.errors import ConfigError
    from neurodecode.stages.rating_run import analyse, make_page, told

    options = key_values(arguments.options)
    known = {"out", "seed", "store"}
    known |= {"answers"} if "answers" in options else {"conditions", "pairs", "n_trials", "other"}
    if strangers := sorted(set(options) - known):
        raise ConfigError(f"{strangers[0]}: rate knows {', '.join(sorted(known))} here")
    if "answers" in options:
        found = analyse(arguments.run, **options)
        folder = options.get("out") or arguments.run / "rating"
        print(f"{told(found)}\nratings: {Path(folder) / 'ratings.html'}")
        return 0
    folder = make_page(arguments.run, **options)
    print(
        f"page: {folder / 'rating.html'}\nkey: {folder / 'key.tsv'} (keep it to yourself)\n"
        "The page shows the study's own pictures: see that their licence lets raters look at them."
    )
    return 0
