"""Checkpoints in the published layouts, filled at random: for tests of what reads them."""

import torch

NEW_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def old_attention(key):
    """A key of today's VAE decoder as the diffusers of that time named it."""
    if "attentions" not in key:
        return key
    for new, old in NEW_NAMES.items():
        key = key.replace(f".{new}.", f".{old}.")
    return key


def randomly(state, start="", rename=lambda key: key):
    """Tensors of a state dict's shapes, under other keys."""
    rng = torch.Generator().manual_seed(0)
    return {start + rename(k): torch.randn(v.shape, generator=rng) for k, v in state.items()}


def shapes(state):
    """The shape of every weight."""
    return {key: tuple(value.shape) for key, value in state.items()}


def filled(network, names, state):
    """The network that `published` built, with the weights of a checkpoint."""
    network = network.to_empty(device="cpu")
    network.load_state_dict({ours: state[theirs] for theirs, ours in names.items()})
    return network.eval()
