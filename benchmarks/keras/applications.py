"""Every model of keras.applications that fits: traced, checked as Keras starts it, initialized, checked again.

KERAS_BACKEND=tensorflow python benchmarks/keras/applications.py            # all
KERAS_BACKEND=tensorflow python benchmarks/keras/applications.py VGG16      # some
"""

import sys
import time

import numpy as np

import gainstage as gs
from gainstage.backends.keras.inputs import example_batch
from gainstage.backends.keras.load import load, model_names

LARGEST = 150e6  # weights; what is larger does not fit a small machine
BATCH = 8


def findings(diagnosis):
    codes = [f.code for f in diagnosis.findings if f.severity != "note"]
    return ", ".join(dict.fromkeys(codes)) or "healthy"


def row(name):
    start = time.perf_counter()
    found = load(f"keras:{name}", seed=0)
    weights = sum(int(np.prod(v.shape)) for v in found.model.trainable_variables)
    if weights > LARGEST:
        return f"{name:20} {weights / 1e6:6.1f} M  left out: too large"
    x = example_batch(found.model, found.inputs, batch=BATCH)  # pixels where the model scales them itself
    before = gs.check(found.model, x, synthetic=True)
    gs.initialize(found.model, batch=x, seed=0)
    after = gs.check(found.model, x, synthetic=True)
    unknown = sum(n.operation == "unknown" for n in before.profile.graph.nodes)
    took = time.perf_counter() - start
    return (
        f"{name:20} {weights / 1e6:6.1f} M  {len(before.profile.graph.nodes):5} nodes, {unknown} unknown  "
        f"{findings(before):30} -> {findings(after):30} {took:4.0f} s"
    )


for name in sys.argv[1:] or model_names():
    print(row(name), flush=True)
