"""A state as a program, a command, and a notebook."""

from __future__ import annotations

import json
from typing import Any

from gainstage.backends import lesson_workbench
from gainstage.errors import InputError
from gainstage.lab.state import OWN, State

__all__ = ["as_command", "as_notebook", "as_python"]

_TORCH_NORMS = {"batch": "nn.BatchNorm1d(width)", "layer": "nn.LayerNorm(width)"}
_KERAS_NORMS = {"batch": "layers.BatchNormalization()(x)", "layer": "layers.LayerNormalization()(x)"}


def as_command(state: State, name: str = "") -> str:
    """Return the command that opens the lab in this state.

    >>> as_command(State(depth=50))
    "gainstage lab --state 'depth=50'"
    """
    model = f" {name}" if name and state.model == OWN else ""
    return f"gainstage lab{model}" + (f" --state '{state.query}'" if state.query else "")


def as_python(state: State) -> str:
    """Return a program that builds the network, starts it, checks it, predicts it and trains it.

    Raises:
        InputError: the state is of the model that the lab was started with, whose source the lab does not know.
    """
    if state.model == OWN:
        raise InputError("The lab does not know the source of your own model. Copy the command instead.")
    return "\n".join([*_network(state), "", *_start(state), "", *_look(state), ""])


def _network(state: State) -> list[str]:
    if state.model:
        return [
            "import gainstage as gs",
            "from gainstage.backends import workbench_of",
            "from gainstage.backends.load import load",
            "",
            f"loaded = load({state.model!r}, seed={state.seed})",
            "model, bench = loaded.model, workbench_of(loaded.framework)",
            f"x = bench.example_batch(model, loaded.inputs, batch={min(state.batch, 8)}, seed={state.seed})",
            "y = loss = None",
        ]
    return _keras(state) if state.framework == "keras" else _torch(state)


def _torch(state: State) -> list[str]:
    parts = ["nn.Linear(before, width)"]
    parts += [_TORCH_NORMS[state.norm]] if state.norm != "none" else []
    parts += [f"nn.{lesson_workbench().activation_code(state.activation)}"]
    parts += [f"nn.Dropout({state.dropout:g})"] if state.dropout else []
    skip = [
        "", "",
        "class Residual(nn.Module):",
        "    def __init__(self, body):",
        "        super().__init__()",
        "        self.body = body",
        "",
        "    def forward(self, x):",
        "        return x + self.body(x)",
    ] if state.residual else []  # fmt: skip
    made = f"nn.Sequential({', '.join(parts)})"
    layer = f"Residual({made}) if before == width else {made}" if state.residual else made
    return [
        "import torch", "from torch import nn", "", "import gainstage as gs", "from gainstage.data import load",
        *skip, "", "",
        f"data = load({state.data!r}, seed={state.seed})",
        f"torch.manual_seed({state.seed})",
        f"width, before, hidden = {state.width}, data.features, []",
        f"for _ in range({state.depth}):",
        f"    hidden.append({layer})",
        "    before = width",
        "model = nn.Sequential(*hidden, nn.Linear(width, data.classes))",
        f"x, y = torch.from_numpy(data.x_train[:{state.batch}]), torch.from_numpy(data.y_train[:{state.batch}])",
        'loss = "cross_entropy"',
    ]  # fmt: skip


def _keras(state: State) -> list[str]:
    lines = [
        f"    x = layers.Dense({state.width})(before)",
        *([f"    x = {_KERAS_NORMS[state.norm]}"] if state.norm != "none" else []),
        f"    x = layers.Activation({state.activation!r})(x)",
        *([f"    x = layers.Dropout({state.dropout:g})(x)"] if state.dropout else []),
        *(["    x = layers.Add()([before, x]) if before.shape == x.shape else x"] if state.residual else []),
    ]
    return [
        "import keras", "from keras import layers", "", "import gainstage as gs", "from gainstage.data import load", "",
        f"data = load({state.data!r}, seed={state.seed})",
        f"keras.utils.set_random_seed({state.seed % 2**31})",
        "x = inputs = keras.Input((data.features,))",
        f"for _ in range({state.depth}):",
        "    before = x",
        *lines,
        "model = keras.Model(inputs, layers.Dense(data.classes)(x))",
        f"x, y = data.x_train[:{state.batch}], data.y_train[:{state.batch}]",
        "loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
    ]  # fmt: skip


def _start(state: State) -> list[str]:
    lines = ["# The start: its plan is printed."]
    lines += [f"plan = gs.initialize(model, {state.scheme!r}, x=x, seed={state.seed})"]
    if state.gain != 1 or state.bias:
        lines = [
            "# The start, with louder or softer hidden weights and biases of a chosen spread.",
            "import dataclasses", "", "import numpy as np", "",
            f"plan = gs.plan(model, {state.scheme!r}, x=x, seed={state.seed})",
            f"rng, gain, bias = np.random.default_rng({state.seed}), {state.gain:g}, {state.bias:g}", "", "",
            "def louder(line):",
            '    if line.kernel is not None and line.role not in ("head", "embedding"):',
            "        return dataclasses.replace(line, gain=line.gain * gain)",
            '    if line.role == "bias" and bias and line is not plan.assignments[-1]:',
            "        values = tuple(map(float, bias * rng.standard_normal(line.shape[0])))",
            '        return dataclasses.replace(line, bias="measured", values=values)',
            "    return line", "", "",
            "plan = dataclasses.replace(plan, assignments=tuple(map(louder, plan)))",
            "gs.apply(model, plan)",
        ]  # fmt: skip
    return [*lines, "print(plan)"]


def _look(state: State) -> list[str]:
    lines = [
        "# What is measured, what is wrong, and what theory says.",
        "print(gs.check(model, x, y, loss=loss))",
        "print(gs.predict(model, x, y, loss=loss))",
    ]
    if not state.model:
        lines += [
            "",
            "# Trained, against the automatic start, from fresh draws.",
            "build = lambda: " + _clone(state),
            f"print(gs.compare(build, data, [{state.scheme!r}, 'auto'], seeds=3, steps={state.steps}, "
            f"optimizer={state.optimizer!r}, learning_rates={state.rate:g}, workers=1))",
        ]
    return lines


def _clone(state: State) -> str:
    return "keras.models.clone_model(model)" if state.framework == "keras" else "__import__('copy').deepcopy(model)"


def as_notebook(state: State) -> str:
    """Return the program of a state as a notebook, in Jupyter's format 4.5.

    >>> json.loads(as_notebook(State()))["nbformat"]
    4
    """
    parts = [part for part in as_python(state).split("\n\n# ") if part.strip()]
    cells = [_cell(0, "markdown", f"# A state of the lab\n\n`{as_command(state)}` opens it again.")]
    for place, part in enumerate(parts, 1):
        cells.append(_cell(place, "code", part if place == 1 else f"# {part}"))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _cell(place: int, kind: str, text: str) -> dict[str, Any]:
    more: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    lines = text.strip().splitlines(keepends=True)
    return {"cell_type": kind, "id": f"cell-{place}", "metadata": {}, **more, "source": lines}
