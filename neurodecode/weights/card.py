"""The model card (README.md) of an imported checkpoint."""

SHOWN = 200  # names listed on a card; config.json has all


def card(about: dict, folder, paper: str | None) -> str:
    """Say what a folder of imported weights is, where it is from, and how it is used.

    Parameters
    ----------
    about : dict
        What config.json holds.
    folder : path
    paper : str or None
        What the network's file cites.
    """
    source, subjects = about["source"], about["subjects"]
    rows = {
        "system": about["name"],
        "network": f"`{about['model']['_target_']}`",
        "paper": paper or "not named by the network's file",
        "licence of the weights": about["asked"]["licence"],
        "file": source["file"],
        "bytes": source["size"],
        "sha256": f"`{source['sha256']}`",
        "parameters": f"{about['n_parameters']} in {about['n_tensors']} tensors",
        "subjects": ", ".join(subjects) or "none of their own",
        "diffusion prior": "prior.safetensors" if about["prior"] else "none in the file",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""# Imported weights: {about["name"]}

Imported by `neurodecode import-checkpoint`. The weights are of others, under
their licence.

| | |
|---|---|
{table}

## What did not match

{_unmatched(about)}

## Use

    neurodecode run experiment=… model={about["name"]} train.start={folder} train.linear_start=null

starts the network at these weights, by key and shape; with `train.decoder_training=null` it stays
as imported. Tokens are those of the published target, not standardised. docs/checkpoints.md has it
in full.
"""


def _unmatched(about):
    kinds = {
        "Parameters of the network that the file lacks (they start at random)": about["missing"],
        "Tables of the network that the file lacks (they are computed)": about["missing_tables"],
        "There in another shape": [
            f"{key}: network {tuple(own)}, file {tuple(there)}"
            for key, (own, there) in about["other_shapes"].items()
        ],
        "In the file, without a place in the network": about["unexpected"],
        "Parameters that the file's prior lacks": about["prior_lacks"],
        "In the file beside the weights": about["left"],
        "Classes that the file names; they were not made": about["inert"],
    }
    told = [f"{what}:\n\n{_listed(names)}" for what, names in kinds.items() if names]
    return "\n\n".join(told) or "Everything matched."


def _listed(names):
    more = [f"- … and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return "\n".join([f"- `{name}`" for name in names[:SHOWN]] + more)
