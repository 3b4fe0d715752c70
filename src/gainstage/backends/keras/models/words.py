"""The code and words that Keras users write, by the meanings that causes and remedies name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import keras

__all__ = ["words"]


def words() -> Mapping[str, str]:
    """The words by their meaning; values in braces are filled in.

    >>> words()["a layer of units"].format(units=10)
    'keras.layers.Dense(10)'
    """
    return MappingProxyType({**_WORDS, "a search for the line": _SEARCH[keras.config.backend()]})


_SEARCH: Mapping[str, str] = {
    "tensorflow": "import tensorflow as tf\n\ntf.debugging.enable_check_numerics()  # names the operation",
    "jax": 'import jax\n\njax.config.update("jax_debug_nans", True)  # names the operation',
    "torch": "import torch\n\ntorch.autograd.set_detect_anomaly(True)  # names the line",
}

_WORDS: Mapping[str, str] = {
    # losses
    "a cross-entropy on logits, of class numbers": (
        "loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
        '  # or activation="softmax" on the last layer'
    ),
    "a cross-entropy on logits, of shares": (
        'loss = keras.losses.CategoricalCrossentropy(from_logits=True)  # or activation="softmax" on the last layer'
    ),
    "a binary loss on logits": (
        'loss = keras.losses.BinaryCrossentropy(from_logits=True)  # or activation="sigmoid" on the last layer'
    ),
    "a loss of log-probabilities": "# no log_softmax on the last layer: with from_logits=True the loss applies it",
    "a squared error": "loss = keras.losses.MeanSquaredError()",
    "a divergence of probabilities": 'loss = keras.losses.KLDivergence()  # behind activation="softmax"',
    "a loss of equal shapes": "loss = loss_function(target, keras.ops.reshape(output, target.shape))",
    "output and target of one shape": "y = y.reshape(model.compute_output_shape(x.shape))",
    # the output layer
    "a layer of units": "keras.layers.Dense({units})",
    "one sigmoid a label": 'keras.layers.Dense({units}, activation="sigmoid")  # with loss="binary_crossentropy"',
    "one unit with a sigmoid": 'keras.layers.Dense(1, activation="sigmoid")  # with loss="binary_crossentropy"',
    "the last layer without its activation": 'keras.layers.Dense({units})  # without activation="{function}"',
    "no softmax before a loss that applies it": (
        'keras.layers.Dense({units})  # without activation="softmax"; or from_logits=False in the loss'
    ),
    "no sigmoid before a loss that applies it": (
        'keras.layers.Dense({units})  # without activation="sigmoid"; or from_logits=False in the loss'
    ),
    "no sigmoid before a softmax": 'keras.layers.Dense({units})  # without activation="sigmoid"',
    "a softmax instead of a sigmoid": 'keras.layers.Dense({units}, activation="softmax")  # instead of "sigmoid"',
    "an output bias of class shares": (
        "model.layers[-1].bias.assign(np.log(shares))  # or bias_initializer=keras.initializers.Constant(...)"
    ),
    # layers
    "a relu instead of a softmax": 'activation = "relu"  # instead of "softmax"',
    "a softplus instead of an exponential": 'activation = "softplus"  # instead of "exponential"',
    "a normalisation within the example": (
        "keras.layers.GroupNormalization(groups=-1)  # or groups=8; instead of BatchNormalization()"
    ),
    "a scale of one": "norm.gamma.assign(keras.ops.ones_like(norm.gamma))",
    "an operation along the units": "keras.layers.Softmax(axis=-1)  # and axis=-1, not 0, in keras.ops",
    "a dropout of this rate": "keras.layers.Dropout({rate})",
    # signals
    "the loss on logits of positions": "keras.losses.sparse_categorical_crossentropy(y, logits, axis=-1)",
    "a shuffled data set": "model.fit(x, y, shuffle=True)",
    "labels that are shifted": "model.fit(tokens[:, :-1], tokens[:, 1:])",
    "an activation between layers": 'keras.layers.Dense(units, activation="relu")',
    "a dropout in front of the last layer": "# move keras.layers.Dropout in front of the last Dense",
    "a model in training mode": "model.fit(x, y)  # trains; a call of your own needs model(x, training=True)",
    "a function that stays in tensors": "h = keras.ops.relu(self.a(x))  # without NumPy and float(...)",
    "axes exchanged, not folded anew": "x = keras.ops.swapaxes(x, 1, 2)  # or Permute((2, 1)), instead of Reshape",
    "scores over the root of their length": (
        "scores = q @ keras.ops.swapaxes(k, -2, -1) / keras.ops.sqrt(float(q.shape[-1]))"
    ),
    "attention weights of unbounded scores": "weights = keras.ops.softmax(scores)  # without the sigmoid",
    "scaled cosines": "logits = scale * keras.ops.normalize(h) @ keras.ops.transpose(keras.ops.normalize(w))",
    "an output scaled into a range": "prediction = low + (high - low) * keras.ops.sigmoid(output)",
    "two terms of one reduction": (
        "loss = keras.ops.sum(keras.ops.square(x - y)) / len(x) + keras.ops.sum(divergence) / len(x)"
    ),
    # what trains
    "a frozen part": "layer.trainable = False  # and compile again",
    "a model that trains": "model.trainable = True  # and compile again",
    "an output that gradients pass": (
        "# keep stop_gradient, argmax, casts to integers and NumPy out of the way from the weights to the loss"
    ),
    "why some gradients are cut": (
        "The way back is cut: stop_gradient, argmax, a cast to whole numbers, or NumPy stands in between."
    ),
    "why all gradients are cut": (
        "The way back is cut for all of them: stop_gradient, argmax, a cast to whole numbers, or NumPy stands between "
        "the last layer and the loss."
    ),
    "layers that are registered": (
        "self.blocks = [keras.layers.Dense(8) for _ in range(4)]  # an attribute, list or dict, made in __init__"
    ),
    "why weights are not registered": (
        "They are held where Keras does not look: in an object that is no layer, in a closure, or as a variable of the "
        "backend instead of self.add_weight(...)."
    ),
    # the optimizer
    "an optimizer of what is to train": (
        "model.compile(optimizer, model.loss)  # after layer.trainable = False, so that it is built anew"
    ),
    "decay for matrices alone": (
        "optimizer.exclude_from_weight_decay(var_names=['bias', 'gamma', 'beta'])  # before the optimizer is built"
    ),
    "a frozen base": "model.trainable = False  # before adapters are added",
    "random numbers in training alone": "x = keras.layers.Dropout(0.1)(x, training=training)",
    "a check of a gradient": "(loss(w + step) - loss(w - step)) / 2  # against the gradient times step",
    "experts in balance": "self.add_loss(0.01 * experts * ops.sum(share_of_tokens * mean_probability))",
    "time constants over the sequence": "A_log = ops.log(ops.arange(1, states + 1, dtype='float32'))",
    "outputs and targets side by side": "print(model(x)[:4], y[:4])",
    "the optimizer at this rate": "optimizer = keras.optimizers.{name}(learning_rate={rate})",
    "the optimizer made anew at this rate": (
        "model.compile(keras.optimizers.{name}(learning_rate={rate}), model.loss)  # after the last change of the model"
    ),
    "the optimizer made anew": (
        "model.compile(keras.optimizers.{name}(), model.loss)  # after the last change of the model"
    ),
    "an optimizer of small weight decay": "optimizer = keras.optimizers.{name}(weight_decay=0.01)",
    "an optimizer that minimises": "# descend: optimizer.apply(gradients), not their negatives",
    "an optimizer of this momentum": "optimizer = keras.optimizers.{name}(momentum={momentum})",
    "an optimizer of these betas": "optimizer = keras.optimizers.{name}(beta_1={first}, beta_2={second})",
    "another learning rate": "# choose another learning_rate",
    # a training while it runs
    "a gradient clipped to a norm": "optimizer = keras.optimizers.Adam(clipnorm={norm})",
    "a start at the right level": "gs.initialize(model, x=x)",
    "examples that are finite": "keep = np.isfinite(x).reshape(len(x), -1).all(1)  # the examples to train on",
    "a step that is skipped for a loss beyond all others": "# leave out batches whose loss is ten times the usual one",
    "targets of a slow copy": "target = keras.ops.stop_gradient(slow_copy(x))  # slow_copy is renewed now and then",
    "an activation without a flat side": 'keras.layers.Dense(units, activation="gelu")',
    "a target without a gradient": "target = keras.ops.stop_gradient(projector(other_view))",
    "gradients that are cleared": "# clear the gradients before every backward pass",
    "a format of a larger range": 'keras.mixed_precision.set_global_policy("mixed_bfloat16")',
    # numbers
    "a scaled loss": "optimizer = keras.optimizers.LossScaleOptimizer(optimizer)",
    "half precision for computing alone": (
        'keras.mixed_precision.set_global_policy("mixed_{dtype}")  # before the layers are made'
    ),
    "a guarded logarithm": "keras.ops.log(keras.ops.maximum(x, 1e-12))",
    "a guarded exponential": "keras.ops.exp(keras.ops.minimum(x, 80))",
    "a guarded root": "keras.ops.sqrt(keras.ops.maximum(x, 1e-12))",
    "a guarded inverse root": "keras.ops.rsqrt(x + 1e-6)",
    "a guarded reciprocal": "1 / keras.ops.maximum(x, 1e-12)",
    "a guarded power": "keras.ops.power(keras.ops.maximum(x, 1e-12), p)",
}
