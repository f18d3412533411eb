"""Small checkpoints in the published layout of each network of models/, for the round trip.

A network whose file has `published` needs a line here: a function that returns tensors by their
published keys, prefixes included. What is drawn is drawn anew by the test.
"""

from neurodecode.models.base import Sizes

OPTIONS = {"wave": {"n_heads": 4}}  # of the model, that no shape tells


def _below(start, network):
    return {start + key: tensor for key, tensor in network.state_dict().items()}


def tiny_network():
    """The network of these tests."""
    from tests.weights.tiny_network import random_state

    return random_state()


def mindeye1():
    """High level: `voxel2clip.*`."""
    from neurodecode.models.mindeye1 import MindEye1

    return _below("voxel2clip.", MindEye1(20, 40, 8, h=16, n_blocks=3, projector_hidden=12))


def mindeye1_low():
    """Low level: no prefix."""
    from neurodecode.models.mindeye1_low import VoxelsToLatents

    return VoxelsToLatents(20, h=16, n_blocks=2, shape=(8, 8, 4), width=4).state_dict()


def mindeye2():
    """Subjects by number below `ridge.linears`."""
    from neurodecode.models.mindeye2 import MindEye2

    sizes = Sizes({"sub-01": 20, "sub-02": 17}, dim=40, n_tokens=5, token_dim=8, blurry=(8, 8, 3))
    network = MindEye2(sizes, hidden=16, n_blocks=2, low_width=4, compat=True)
    own = _below("backbone.", network.backbone)
    for number, subject in enumerate(sizes.channels):
        own |= _below(f"ridge.linears.{number}.", network.ridge[subject])
    return own


def mindbridge():
    """Subjects by their numbers in NSD."""
    from neurodecode.models.mindbridge import MindBridge

    return _below("module.", MindBridge(24, 16, 2, 15, 9, ["1", "7"], 4))


def brainit():
    """The semantic branch within Lightning's file."""
    from neurodecode.models.brainit import BIT

    return _below("gnn_model.", BIT(70, 16, 4, 8, 3, 2, 5))


def neuropictor():
    """Three parts of a file that holds a whole diffusion model."""
    from neurodecode.models.neuropictor import PublishedNeuroPictor

    own = PublishedNeuroPictor(
        {"map_px": 32, "patch_px": 8, "embed_dim": 64, "depth": 2, "num_heads": 1},
        {"n_codes": 17, "embed_dim": 64, "n_tokens": 5, "token_dim": 12},
        {"n_codes": 17, "embed_dim": 64, "out_channel": 10, "out_dim": 4},
    )
    parts = {"encoder": "fmri_encoder.transformer.", "semantic": "cond_stage."}
    parts["modulation"] = "control_model.fmri_mapper."
    return {
        k: t for part, start in parts.items() for k, t in _below(start, getattr(own, part)).items()
    }


def wave():
    """Second stage, behind `voxel2clip`."""
    from neurodecode.models.wave import PublishedWave

    network = PublishedWave(
        {"in_dim": 11, "embed_dim": 16},
        {"embed_dim": 16, "n_layers": 2, "n_heads": 4, "n_positions": 9},
        clip_size=12,
        n_values=24,
    )
    own = network.state_dict()
    start = {"embedder": "voxel2clip.fmri_encoder.original_model."}
    start["decoder"] = start["embedder"]
    start["fmri_projector"] = "voxel2clip."
    return {start.get(key.partition(".")[0], "") + key: tensor for key, tensor in own.items()}


def brainmagick():
    """One network for all subjects, numbered in one tensor."""
    from neurodecode.models.brainmagick import SimpleConv

    small = {"out": 12, "n_subjects": 3, "hidden": 16, "initial_linear": 10, "merger_channels": 10}
    return SimpleConv(**small, merger_pos_dim=32, depth=4).state_dict()


def nice():
    """The files of encoder and projection, put into one."""
    from neurodecode.models.nice import Encoder

    own = Encoder(n_channels=6, n_times=95, dim=8, filters=4, compat=True)
    return own.Enc_eeg.state_dict() | own.Proj_eeg.state_dict()


def atm():
    """With the published slips."""
    from neurodecode.models.atm import ATMS

    small = {"n_channels": 6, "n_times": 95, "dim": 8, "n_subjects": 10, "d_ff": 7, "filters": 4}
    return ATMS(**small, compat=True).state_dict()


def ubp():
    """Behind `brain`."""
    from neurodecode.models.ubp import EEGProject

    return _below("brain.", EEGProject(8, 17, 250))


def cognition_capturer():
    """Behind `EEGmodel`."""
    from neurodecode.models.cognition_capturer import Cogcap

    return _below("EEGmodel.", Cogcap(n_channels=6, n_times=95, dim=8, d_ff=7, filters=4))


def duin():
    """The masked model."""
    from neurodecode.models.duin import DuInMae
    from neurodecode.models.duin_networks import DuInSizes

    small = {"d_neural": 4, "filters": (4, 4, 3), "kernels": (9, 3, 3), "strides": (5, 1, 1)}
    small |= {"patch": 10, "n_blocks": 1, "decoder_blocks": 1, "n_heads": 2, "d_head": 4}
    return DuInMae(DuInSizes(6, 4, 2, **small, d_ff=12, n_codes=16, d_code=4)).state_dict()


def rbtransformer():
    """Behind `module`."""
    from neurodecode.models.rbtransformer import RBTransformerNetwork

    return _below("module.", RBTransformerNetwork(14, 5, head=(32, 24, 16)))
