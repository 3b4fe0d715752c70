"""From the description of an input to an example batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gainstage.backends.shared.example_inputs import arranged, first_examples, no_vocabulary, require_specs
from gainstage.data import Dataset, InputSpec, parse_input
from gainstage.errors import InputError

__all__ = ["Batch", "InputSpec", "example_batch", "labelled_batch", "on_device", "parse_input"]

Batch = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
"""What is handed to the model: one input, several in order, or several by name."""


def example_batch(
    model: nn.Module, specs: Sequence[InputSpec], *, batch: int = 32, seed: int = 0, device: str | torch.device = "cpu"
) -> Batch:
    """Standard normal values and uniform tokens, the same for the same seed.

    Args:
        model: whose first embedding bounds tokens that have no vocabulary of their own.
        specs: one for every input; either all are named or none is.
        batch: number of examples.
        seed: of values and tokens.
        device: where the batch is put; it is drawn on the CPU, so that its values do not depend on this.

    Raises:
        InputError: no input, a batch that is not positive, names on some inputs only, or tokens for a model
            without an embedding.

    >>> example_batch(nn.Linear(4, 2), [InputSpec((4,))], batch=3).shape
    torch.Size([3, 4])
    """
    require_specs(specs, batch)
    generator = torch.Generator().manual_seed(seed)
    made = arranged(specs, [_draw(model, spec, batch, generator).to(device) for spec in specs])
    return tuple(made) if isinstance(made, list) else made


def _draw(model: nn.Module, spec: InputSpec, batch: int, generator: torch.Generator) -> Tensor:
    if spec.kind == "values":
        return torch.randn(batch, *spec.shape, generator=generator)
    vocabulary = spec.vocabulary
    if vocabulary is None:
        embeddings = (m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag))
        first = next(embeddings, None)
        if first is None:
            raise no_vocabulary(model, spec, "3,224,224")
        vocabulary = first.num_embeddings
    return torch.randint(0, vocabulary, (batch, *spec.shape), generator=generator)


def labelled_batch(
    dataset: Dataset,
    specs: Sequence[InputSpec] | None = None,
    *,
    batch: int = 32,
    device: str | torch.device = "cpu",
) -> tuple[Batch, Tensor]:
    """The first training examples of a dataset (it comes shuffled) and their labels.

    Args:
        dataset: where they come from.
        specs: what the model takes; its one input gives the examples shape and name; None leaves them as stored.
        batch: number of examples, or all there are.
        device: where they are put.

    Raises:
        InputError: the model takes several inputs, or one of another size.

    >>> from gainstage.data import load
    >>> labelled_batch(load("digits"), [InputSpec((1, 8, 8))], batch=4)[0].shape
    torch.Size([4, 1, 8, 8])
    """
    examples, labels, name = first_examples(dataset, specs, batch)
    x = torch.from_numpy(examples).to(device)
    return ({name: x} if name else x), torch.from_numpy(labels).to(device)


def on_device(model: nn.Module, device: str) -> nn.Module:
    """The model, moved.

    Raises:
        InputError: there is no such device here.

    >>> on_device(nn.Linear(1, 1), "cpu").weight.device.type
    'cpu'
    """
    try:
        target = torch.device(device)
        torch.empty(1, device=target).cpu()
        return model.to(target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"The device '{device}' cannot be used: {reason}.") from error
