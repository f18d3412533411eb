"""A network that several processes train together: equal copies, and gradients of the whole batch.

Gradients are averaged by DistributedDataParallel while the backward pass goes on, except those of
large linear layers: these are made from gathered rows (`gather.GatheredLinear`).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neurodecode.contrastive.gather import Rank, all_rows, gather_gradients

BUCKET_MB = 25


class Replica:
    """One process's copy of the network.

    Parameters
    ----------
    model : nn.Module
        The same in all processes.
    loss : callable (model, batch, epoch) -> dict of Tensor
        What is descended stands under `total`.
    first : object
        A batch to try: the same one whenever a training starts or goes on.
    rank : Rank

    Raises
    ------
    ValueError
        For a network with layers that look across trials (BatchNorm), or whose copies differ.
    """

    def __init__(self, model: nn.Module, loss: Callable, first: object, rank: Rank):
        refuse_layers_across_trials(model)
        self.model, self.rank = model, rank
        self.costs = _Costs(model, loss)
        self.check_equal()
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        chosen = large_linear_layers(model, lambda: self.costs(first, 0), rank.world)
        self.gathered = list(chosen.values())
        for layer in self.gathered:
            gather_gradients(layer, rank.world)
        gathered = {f"model.{n}.{p}" for n in chosen for p in ("weight", "bias")}
        left = [
            n for n, p in self.costs.named_parameters() if p.requires_grad and n not in gathered
        ]
        if left:
            self.costs = _averaged(self.costs, gathered)
        # Buckets of gradients are laid out anew after the first backward pass, and sums depend on
        # it in their last bits: what is trained starts after that, also when it is resumed.
        for _ in range(2):
            self(model, first, 0)["total"].backward()
            model.zero_grad(set_to_none=True)
        for buffer, before in buffers:  # nothing was learnt from trying
            buffer.data.copy_(before)

    def __call__(self, model: nn.Module, batch: object, epoch: int) -> dict[str, Tensor]:
        """The parts of the loss of this process's share of a batch, of the one model there is."""
        for layer in self.gathered:
            layer.cast = None
        return self.costs(batch, epoch)

    def check_equal(self) -> None:
        """Raise ValueError if the copies of the processes are no longer the same."""
        sums = [p.detach().sum(dtype=torch.float64) for p in self.model.parameters()]
        everybody = all_rows(torch.stack(sums)[None], self.rank.world)
        bits = everybody.view(torch.int64)  # what is no number is equal to itself
        if not (bits == bits[:1]).all():
            raise ValueError(
                "the copies of the network in the processes that train it differ: its layers use "
                "weights of others, or the devices are of different kinds; train on one, "
                "train.devices=1"
            )


class _Costs(nn.Module):
    """The loss as a module, so that all that a step does is one forward pass."""

    def __init__(self, model, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch, epoch):
        parts = self.loss(self.model, batch, epoch)
        return {n: part if n == "total" else part.detach() for n, part in parts.items()}


def _averaged(costs, without):
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(costs, without)
    return DistributedDataParallel(
        costs,
        bucket_cap_mb=BUCKET_MB,
        init_sync=False,  # checked to be equal
        gradient_as_bucket_view=True,
        static_graph=True,
    )


def refuse_layers_across_trials(model: nn.Module) -> None:
    """Raise ValueError for a network in which a trial's answer depends on others (BatchNorm)."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"{name} is a {type(layer).__name__}, which looks across the trials of a batch, "
                "and these lie on several devices: use LayerNorm or GroupNorm, or train.devices=1"
            )


def large_linear_layers(model: nn.Module, run: Callable, world: int) -> dict[str, nn.Linear]:
    """Find the linear layers whose rows take less room than their weights.

    Parameters
    ----------
    model : nn.Module
    run : callable () -> object
        Runs the model on a batch.
    world : int
        How many processes' rows are gathered.

    Returns
    -------
    layers : dict of Linear
        By name; only trained ones that share no weight with another module.
    """
    owners = [id(p) for m in model.modules() for p in m._parameters.values() if p is not None]
    alone = lambda layer: all(owners.count(id(p)) == 1 for p in layer.parameters())
    trained = lambda layer: all(p.requires_grad for p in layer.parameters())
    layers = {
        n: m for n, m in model.named_modules() if type(m) is nn.Linear and alone(m) and trained(m)
    }
    n_rows = dict.fromkeys(layers, 0)

    def count(name):
        def hook(layer, args):
            n_rows[name] += args[0].shape[:-1].numel()

        return hook

    hooks = [layer.register_forward_pre_hook(count(name)) for name, layer in layers.items()]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    room = lambda m: m.in_features + m.out_features
    return {
        n: m for n, m in layers.items() if 0 < world * n_rows[n] * room(m) < m.weight.numel() / 2
    }
