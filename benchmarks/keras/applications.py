"""Every model of keras.applications that fits: traced, checked as Keras starts it, initialized, checked again.

KERAS_BACKEND=tensorflow python benchmarks/keras/applications.py            # all
KERAS_BACKEND=tensorflow python benchmarks/keras/applications.py VGG16      # some

The rows are those of docs/keras.md. Images have the model's own size up to WIDEST a side; eight larger ones do not fit
a small machine.
"""

import sys

import keras
import numpy as np

import gainstage as gs
from gainstage.backends.keras.models.applications import load, model_names
from gainstage.backends.keras.models.inputs import example_batch

LARGEST = 150e6  # weights; what is larger does not fit a small machine
WIDEST = 400  # pixels a side; models that take more are built for images of REDUCED instead
REDUCED = 224
BATCH = 8


def findings(diagnosis):
    codes = [f.code for f in diagnosis.findings if f.severity != "note"]
    return ", ".join(dict.fromkeys(codes)) or "healthy"


def built(name):
    """The model as the command line builds it, or for smaller images."""
    found = load(f"keras:{name}", seed=0)
    if found.inputs[0].shape[0] <= WIDEST:
        return found.model, found.inputs
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(REDUCED, REDUCED, 3))
    return model, [type(found.inputs[0])((REDUCED, REDUCED, 3))]


def row(name):
    model, inputs = built(name)
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    size = f"| {name} | {inputs[0].shape[0]} | {weights / 1e6:.1f} M |"
    if weights > LARGEST:
        return f"{size} left out: too large | | | |"
    x = example_batch(model, inputs, batch=BATCH)  # pixels where the model scales them itself
    before = gs.check(model, x, synthetic=True)
    gs.initialize(model, "auto", x=x, seed=0)
    after = gs.check(model, x, synthetic=True)
    nodes = before.profile.graph.nodes
    unknown = sum(n.operation == "unknown" for n in nodes)
    return f"{size} {len(nodes)} | {unknown} | {findings(before)} | {findings(after)} |"


def main():
    print(f"Keras {keras.__version__} on {keras.config.backend()}, {BATCH} images\n")
    print("| model | pixels | weights | operations | unknown | as Keras starts it | initialized |")
    print("|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or model_names():
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
