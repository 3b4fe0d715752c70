"""Small looks at layers and functions, for experiments; what they return holds no tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gainstage.backends.protocol import SoftmaxUse
from gainstage.backends.torch.models.inputs import labelled_batch
from gainstage.backends.torch.models.preserve import preserved
from gainstage.backends.torch.models.random_states import random_state
from gainstage.data import Dataset
from gainstage.errors import InputError

__all__ = [
    "companions", "normalised_units", "one_thread", "refuses_one_example",
    "softmax_gradient", "textbook_weights", "with_shifts",
]  # fmt: skip


def softmax_gradient(logits: tuple[float, ...], target: int, use: SoftmaxUse) -> tuple[float, ...]:
    """The gradient by the logits of a softmax, for one example.

    Args:
        logits: z, with probabilities p = softmax(z).
        target: the true class.
        use: the loss on top: ``cross_entropy`` −log p[target]; ``mse`` the sum of (p − y)² over classes, y being
            one-hot; ``hidden`` the softmax as a layer whose unit ``target`` alone is asked for (one row of its
            Jacobian).

    Raises:
        InputError: the target is no class.

    >>> [round(g, 3) for g in softmax_gradient((0.0, 0.0), 0, "cross_entropy")]
    [-0.5, 0.5]
    """
    if not 0 <= target < len(logits):
        raise InputError(f"The target is a class from 0 to {len(logits) - 1}; received {target}.")
    z = torch.tensor([logits], dtype=torch.float64, requires_grad=True)
    label = torch.tensor([target])
    losses: dict[SoftmaxUse, Callable[[], Tensor]] = {
        "cross_entropy": lambda: functional.cross_entropy(z, label),
        "mse": lambda: (z.softmax(1) - functional.one_hot(label, len(logits))).square().sum(),
        "hidden": lambda: z.softmax(1)[0, target],
    }
    (gradient,) = torch.autograd.grad(losses[use](), z)
    return tuple(gradient[0].tolist())


def normalised_units(model: nn.Module, dataset: Dataset, *, batch: int = 256) -> tuple[float, float, float]:
    """What leaves the batch normalisations of a model in training mode, unit by unit over the batch.

    Returns:
        the largest |mean|, the smallest and the largest standard deviation (divided by the number of examples) of any
        unit.

    Raises:
        InputError: the model has no batch normalisation.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    if not layers:
        raise InputError(f"'{type(model).__name__}' has no BatchNorm1d layer to look at.")
    seen: list[Tensor] = []
    with preserved(model):
        handles = [layer.register_forward_hook(lambda _m, _i, out: seen.append(out.detach())) for layer in layers]
        try:
            model.train()
            with torch.no_grad():
                model(labelled_batch(dataset, batch=batch)[0])
        finally:
            for handle in handles:
                handle.remove()
    means = torch.cat([out.mean(0) for out in seen])
    spreads = torch.cat([out.std(0, correction=0) for out in seen])
    return float(means.abs().max()), float(spreads.min()), float(spreads.max())


def refuses_one_example(model: nn.Module, dataset: Dataset) -> bool:
    """Whether a forward pass of a single example in training mode raises.

    >>> from gainstage.data import gaussian
    >>> data = gaussian(classes=3, features=2, examples=300)
    >>> refuses_one_example(nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)), data)
    True
    """
    with preserved(model), torch.no_grad():
        model.train()
        try:
            model(labelled_batch(dataset, batch=1)[0])
        except ValueError:
            return True
    return False


def companions(
    model: nn.Module, dataset: Dataset, sizes: Sequence[int], *, seed: int = 0, rounds: int = 8
) -> tuple[float, ...]:
    """How much the companions in a batch change what becomes of an example in the first batch normalisation.

    Args:
        model: with a ``BatchNorm1d`` whose input depends on no other one.
        dataset: its training examples are used.
        sizes: of the batches.
        seed: of the choice of examples.
        rounds: batches of every size.

    Returns:
        for every size, the root mean square of the difference between an example normalised in a batch and normalised
        by all examples.

    Raises:
        InputError: the model has no batch normalisation.

    >>> from gainstage.data import gaussian
    >>> small, large = companions(nn.Sequential(nn.BatchNorm1d(2)), gaussian(features=2), (2, 128))
    >>> small > large
    True
    """
    layer = next((m for m in model.modules() if isinstance(m, nn.BatchNorm1d)), None)
    if layer is None:
        raise InputError(f"'{type(model).__name__}' has no BatchNorm1d layer to look at.")
    seen: list[Tensor] = []
    with preserved(model), torch.no_grad():
        handle = layer.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].detach()))
        try:
            model.train()
            model(torch.from_numpy(dataset.x_train))
        finally:
            handle.remove()
    values, generator = seen[0], torch.Generator().manual_seed(seed)
    whole = functional.batch_norm(values, None, None, training=True)
    found = []
    for size in sizes:
        chosen = torch.stack([torch.randperm(len(values), generator=generator)[:size] for _ in range(rounds)])
        apart = [functional.batch_norm(values[rows], None, None, training=True) - whole[rows] for rows in chosen]
        found.append(float(torch.stack(apart).double().square().mean().sqrt()))
    return tuple(found)


def with_shifts(model: nn.Module, shift: float = 0.5, scale: float = 1.25) -> nn.Module:
    """Shift and scale what leaves every batch normalisation anew in every training step, the same for a whole batch.

    Every unit is multiplied by a number from 1 to ``scale`` and moved by one from -``shift`` to ``shift``, both drawn
    uniformly. In evaluation nothing is changed. Source: Santurkar et al. 2018, section 2.2 and its defaults.

    >>> noisy = with_shifts(nn.Sequential(nn.BatchNorm1d(4)))
    >>> bool(noisy(torch.randn(100, 4)).mean(0).abs().max() > 1e-3)
    True
    """

    def change(layer: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        if not layer.training:
            return None
        factors, offsets = (
            1 + (scale - 1) * torch.rand(output.shape[-1]),
            shift * (2 * torch.rand(output.shape[-1]) - 1),
        )
        return torch.addcmul(offsets, output, factors)

    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.register_forward_hook(change)
    return model


def textbook_weights(sizes: tuple[int, ...], *, he: bool, seed: int = 0) -> tuple[NDArray[np.float32], ...]:
    """The weights of ``nn.Linear`` layers as PyTorch itself draws them, each of shape ``(out, in)``.

    Args:
        sizes: widths from the input to the output.
        he: ``torch.nn.init.kaiming_normal_`` with ``nonlinearity='relu'``, or the layer's own default.
        seed: of PyTorch's random numbers.

    >>> [weight.shape for weight in textbook_weights((784, 128, 10), he=False)]
    [(128, 784), (10, 128)]
    """
    with random_state(seed):
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        if he:
            for layer in layers:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return tuple(layer.weight.detach().numpy().copy() for layer in layers)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread meanwhile: small networks gain nothing from more, and threads that wait take time.

    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
