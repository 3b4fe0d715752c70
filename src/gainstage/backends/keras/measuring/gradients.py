"""Gradients: the one thing for which Keras has no words of its own. One small function for each of its backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

from gainstage.backends.keras.measuring.replay import Tap

__all__ = ["Differentiated", "compiled", "differentiate", "gradient_by_first", "own_variables"]

Tensors = dict[str, Any]
Function = Callable[[Tensors, Tap], tuple[Any, Any]]
"""From weights and a tap to the loss, and what else is wanted of the pass."""

Differentiated = tuple[Any, Any, Tensors, dict[int, Any], dict[int, Any]]
"""The loss, what else was wanted, its gradients by the weights, the tapped outputs, the gradients by these."""


def differentiate(
    function: Function, weights: Tensors, shapes: Mapping[int, tuple[tuple[int, ...], str]]
) -> Differentiated:
    """Run forward and backward once.

    Args:
        function: hands every tapped node's output through its tap.
        weights: tensors by path, the loss is differentiated by.
        shapes: shape and dtype of every output that is tapped, by node.
    """
    return _BACKENDS[keras.config.backend()](function, weights, shapes)


def compiled(function: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """The function, without gradients: compiled on JAX, where one operation at a time is slow."""
    match keras.config.backend():
        case "jax":
            import jax

            jitted: Callable[[list[Any]], Any] = jax.jit(function)
            return jitted
        case "torch":
            import torch

            return torch.no_grad()(function)
    return function


def gradient_by_first(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Differentiate a number by the first of two tensors; compiled once on JAX.

    Args:
        function: from two tensors to one number.

    Returns:
        from the same two tensors to the number and its gradient, which is None where the number does not depend on
        the first one.
    """
    match keras.config.backend():
        case "jax":
            import jax

            run: Callable[[Any, Any], tuple[Any, Any]] = jax.jit(jax.value_and_grad(function))
            return run
        case "torch":
            return lambda first, second: _torch_gradient(function, first, second)
    return lambda first, second: _tensorflow_gradient(function, first, second)


def _tensorflow_gradient(function: Callable[[Any, Any], Any], first: Any, second: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(first)
        value = function(first, second)
    return value, tape.gradient(value, first)


def _torch_gradient(function: Callable[[Any, Any], Any], first: Any, second: Any) -> tuple[Any, Any]:
    import torch

    leaf = first.detach().requires_grad_()
    with torch.enable_grad():
        value = function(leaf, second)
        if not value.requires_grad:
            return value, None
        return value.detach(), torch.autograd.grad(value, leaf, allow_unused=True)[0]


@contextmanager
def own_variables() -> Iterator[list[Any]]:
    """Collect TensorFlow's trainable variables that a block reads, once it is left; none on other backends."""
    found: list[Any] = []
    if keras.config.backend() != "tensorflow":
        yield found
        return
    import tensorflow as tf

    with tf.GradientTape() as tape:
        yield found
    found += tape.watched_variables()


def _tensorflow(function: Function, weights: Tensors, shapes: Mapping[int, Any]) -> Differentiated:
    import tensorflow as tf

    seen: dict[int, Any] = {}
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        loss, rest = function(weights, _collecting(seen, shapes))
    by_weight, by_node = tape.gradient(loss, (weights, seen))
    dense = {k: tf.convert_to_tensor(g) for k, g in by_weight.items() if g is not None}
    return loss, rest, dense, seen, {k: g for k, g in by_node.items() if g is not None}


def _torch(function: Function, weights: Tensors, shapes: Mapping[int, Any]) -> Differentiated:
    import torch

    leaves = {k: w.detach().requires_grad_() for k, w in weights.items()}
    seen: dict[int, Any] = {}
    with torch.enable_grad():
        loss, rest = function(leaves, _collecting(seen, shapes))
    inside = {node: out for node, out in seen.items() if out.requires_grad}
    if not loss.requires_grad:
        return loss, rest, {}, seen, {}
    found = torch.autograd.grad(loss, [*leaves.values(), *inside.values()], allow_unused=True)
    by_weight = {k: g for k, g in zip(leaves, found, strict=False) if g is not None}
    by_node = {k: g for k, g in zip(inside, found[len(leaves) :], strict=True) if g is not None}
    return loss, rest, by_weight, {k: out.detach() for k, out in seen.items()}, by_node


def _jax(function: Function, weights: Tensors, shapes: Mapping[int, Any]) -> Differentiated:
    import jax
    import jax.numpy as jnp

    taps = {node: jnp.zeros(shape, dtype) for node, (shape, dtype) in shapes.items() if _floating(dtype)}

    def total(weights: Tensors, taps: dict[int, Any]) -> tuple[Any, Any]:
        seen: dict[int, Any] = {}

        def tap(node: int, output: Any) -> Any:
            if node in shapes:
                seen[node] = output
            return output + taps[node] if node in taps else output

        loss, rest = function(weights, tap)
        return loss, (rest, seen)

    run = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))
    (loss, (rest, seen)), (by_weight, by_node) = run(weights, taps)
    return loss, rest, by_weight, seen, by_node


def _collecting(seen: dict[int, Any], shapes: Mapping[int, Any]) -> Tap:
    def tap(node: int, output: Any) -> Any:
        if node in shapes:
            seen[node] = output
        return output

    return tap


def _floating(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))


_BACKENDS: Mapping[str, Callable[[Function, Tensors, Mapping[int, Any]], Differentiated]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
