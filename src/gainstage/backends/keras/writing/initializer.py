"""gainstage's schemes as a Keras initializer."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import global_state  # the only way to learn which layer asks for values
from keras.src.backend.common.name_scope import current_path

from gainstage import schemes
from gainstage.backends.keras.models.geometry import Geometry, convolution, layer_kernel, matrix
from gainstage.backends.keras.models.layout import native
from gainstage.errors import InputError
from gainstage.graph import KernelShape
from gainstage.streams import Stream

__all__ = ["Initializer"]

_unplaced = itertools.count()  # Keras makes copies of initializers, so only the process can tell draws apart


@keras.saving.register_keras_serializable(package="gainstage")
class Initializer(keras.initializers.Initializer):  # type: ignore[misc]
    """Draws the weights of a Keras layer by one of gainstage's schemes, with the layer's true fans.

    Every weight has a random stream of its own, also where layers share one initializer or copies of it. It is keyed
    by the seed, the names of the layers around the weight, its shape, and how often this initializer was asked there
    before. Names that Keras makes up count up during a session, so the values are the same in every run of a program,
    but not when the same cell of a notebook runs twice; ``keras.utils.clear_session`` starts the names afresh.
    ``gainstage.initialize`` goes by structure instead, and knows more: roles, skips, what an activation does.

    Args:
        scheme: a name in gainstage's table of schemes, or one of its aliases.
        gain: factor on the scheme's spread.
        seed: of all streams.

    Raises:
        UnknownNameError: there is no such scheme.
        InputError: the gain or seed cannot be used; on drawing, the scheme cannot serve the shape.

    >>> layer = keras.layers.Dense(128, kernel_initializer=Initializer("he_normal", seed=7))
    >>> layer.build((None, 784))
    >>> layer.kernel_initializer.get_config()
    {'scheme': 'he_normal', 'gain': 1.0, 'seed': 7}
    """

    def __init__(self, scheme: str = "normal", gain: float = 1.0, seed: int = 0) -> None:
        self.scheme = schemes.get(scheme).name
        schemes.get(scheme).spread(KernelShape(1, 1), gain)  # refuses a gain that is no finite number
        Stream(seed, "")  # and a seed that is none
        self.gain, self.seed = float(gain), int(seed)
        self._asked: Counter[str] = Counter()
        self._geometries: dict[str, Geometry] = {}

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Values of that shape.

        Raises:
            InputError: the scheme cannot serve the shape.
        """
        shape = tuple(int(size) for size in shape)
        dtype = dtype or keras.config.floatx()
        where, layer = _asking()
        place = f"{where}:{'x'.join(map(str, shape))}"
        if layer is not None or place not in self._geometries:
            self._geometries[place] = _geometry(layer, shape)
        if global_state.get_global_attribute("stateless_scope") is not None:
            return ops.zeros(shape, dtype)  # Keras works out shapes; it asks for the values again afterwards
        geometry, asked = self._geometries[place], self._asked[place]
        self._asked[place] += 1
        scheme = schemes.get(self.scheme)
        streams = (Stream(self.seed, f"{place}:{asked}", block) for block in range(geometry.blocks))
        blocks = [scheme.draw(geometry.kernel, self.gain, stream) for stream in streams]
        values = native(np.concatenate(blocks), shape, geometry.kernel, geometry.blocks, geometry.layout)
        return ops.cast(ops.convert_to_tensor(values), dtype)

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs to make it again."""
        return {"scheme": self.scheme, "gain": self.gain, "seed": self.seed}


def _asking() -> tuple[str, Any]:
    """The names of the layers around the weight that is made now, and the innermost of them if it is at work.

    A model that is built by its first call makes its weights afterwards, one by one and outside of their layers.
    """
    waiting = global_state.get_global_attribute("uninitialized_variables") or ()
    working_out_shapes = global_state.get_global_attribute("stateless_scope") is not None
    late = next((v for v in waiting if v._value is None), None) if not working_out_shapes else None
    if late is not None:
        return late.path.rpartition("/")[0], None
    scopes = list(global_state.get_global_attribute("name_scope_stack") or ())
    layer = next((s.caller for s in reversed(scopes) if isinstance(s.caller, keras.layers.Layer)), None)
    return (current_path() if scopes else str(next(_unplaced))), layer


def _geometry(layer: Any, shape: tuple[int, ...]) -> Geometry:
    if len(shape) < 2:
        raise InputError(
            f"A scheme draws kernels of two or more axes; received the shape {shape}. Use 'zeros' or 'ones' of Keras "
            "for biases and scales."
        )
    found = layer_kernel(layer, shape) if layer is not None and type(layer).__module__.startswith("keras.") else None
    return found or (matrix(shape) if len(shape) == 2 else convolution(shape))
