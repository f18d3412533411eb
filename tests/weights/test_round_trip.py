"""A checkpoint in each published layout comes back as the network that it was of."""

import copy
import importlib
import inspect
import pkgutil

import pytest
import torch
from safetensors.torch import load_file

import neurodecode.models
from neurodecode.weights.importing import Asked, import_checkpoint
from tests.weights import layouts, tiny_network

UNSEEN = {"brainit": "the clusters that its network reads stand in another file"}


def with_a_layout():
    """Every network file that knows a published layout: (name, module)."""
    names = [m.name for m in pkgutil.iter_modules(neurodecode.models.__path__)]
    modules = [importlib.import_module(f"neurodecode.models.{name}") for name in names]
    own = lambda m: inspect.isfunction(f := getattr(m, "published", None)) and f.__module__
    return [tiny_network, *(m for m in modules if own(m) == m.__name__)]


NETWORKS = {module.__name__.rpartition(".")[2]: module for module in with_a_layout()}


def network_class(module, network):
    """Dotted path of the network's class, or of one that the file defines: what names its file."""
    own = [type(network), *(c for _, c in inspect.getmembers(module, inspect.isclass))]
    named = next(c for c in own if c.__module__ == module.__name__)
    return f"{module.__name__}.{named.__name__}"


def drawn(state):
    """The same keys with random numbers; counters stay."""
    generator = torch.Generator().manual_seed(0)
    new = lambda t: torch.rand(t.shape, generator=generator) if t.is_floating_point() else t.clone()
    return {key: new(tensor.detach()) for key, tensor in state.items()}


def filled(network, weights):
    """A network on the CPU with weights; what they lack is zero."""
    network = network.to_empty(device="cpu").eval()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.zero_()
    network.load_state_dict(weights, strict=False)
    return network


def answers(network):
    """What a network of the pipeline says about trials of its last subject."""
    sizes = network.sizes
    subject, n_channels = list(sizes.channels.items())[-1]
    shape = (2, n_channels) if sizes.n_times is None else (2, n_channels, sizes.n_times)
    trials = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return [part for part in network(trials, subject) if part is not None]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layout_comes_back(tmp_path, name):
    assert hasattr(layouts, name), f"say in tests/weights/layouts.py what {name}'s checkpoints hold"
    module, state = NETWORKS[name], drawn(getattr(layouts, name)())
    options = layouts.OPTIONS.get(name, {})
    plain = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    network, names = module.published({k: tuple(t.shape) for k, t in plain.items()}, **options)
    theirs = {names[key]: tensor for key, tensor in plain.items() if key in names}
    beside = {"epoch": 1, "optimizer_state_dict": {"state": {0: torch.ones(3)}}}
    torch.save(beside | {"model_state_dict": state}, tmp_path / "last.pth")
    node = {"_target_": network_class(module, network)} | options
    asked = Asked((tmp_path / "last.pth",), name, node)
    folder = import_checkpoint(asked, tmp_path / "imported", tell=lambda line: None)
    ours = load_file(folder / "model.safetensors")
    assert ours.keys() == theirs.keys() and len(ours) > len(state) / 2
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    if hasattr(getattr(network, "sizes", None), "channels") and name not in UNSEEN:
        published, imported = filled(copy.deepcopy(network), theirs), filled(network, ours)
        said = answers(published)
        assert said and all(part.isfinite().all() and part.std() > 0 for part in said)
        assert all(torch.equal(a, b) for a, b in zip(said, answers(imported), strict=True))
