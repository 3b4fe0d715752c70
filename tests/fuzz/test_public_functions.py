"""Nothing that a user can hand over is answered by anything but a result or an error of gainstage's own.

Arguments of the wrong kind, extreme numbers and hostile names go through the public functions and the command line.
``GAINSTAGE_FUZZ`` multiplies the number of examples (``make fuzz``).
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress

import numpy as np
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import gainstage as gs
from gainstage.cli.app import COMMANDS, gainstage

TIMES = int(os.environ.get("GAINSTAGE_FUZZ", "1"))
LIGHT = settings(
    max_examples=40 * TIMES, deadline=None, derandomize=TIMES == 1, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(2**63, 2**90), st.floats(), st.text(max_size=30),
    st.binary(max_size=8), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
    st.sampled_from([object(), net, nn.Linear, np.zeros(0), np.array(["a"]), torch.tensor(1.0), torch.zeros(0, 4),
                     torch.full((3, 4), torch.nan), torch.zeros(3, 5), torch.zeros(3, 4, dtype=torch.complex64),
                     torch.zeros(3, 4).to_sparse(), torch.zeros(3, 4, device="meta"), float("nan"), 10**400]),
)  # fmt: skip
X = torch.randn(3, 4)

FUNCTIONS = {
    "check": lambda a, b: gs.check(net(), a, loss=b),
    "check labels": lambda a, b: gs.check(net(), X, a, loss=b),
    "check optimizer": lambda a, b: gs.check(net(), X, optimizer=a, learning_rate=b),
    "check model": lambda a, b: gs.check(a, b),
    "check seed and detail": lambda a, b: gs.check(net(), X, seed=a, detail=b),
    "fix": lambda a, b: gs.fix(net(), X, seed=a, diagnosis=b),
    "plan": lambda a, b: gs.plan(net(), a, x=X, seed=b),
    "plan overrides": lambda a, b: gs.plan(net(), "he_normal", overrides=a, branch_start=b),
    "initialize": lambda a, b: gs.initialize(net(), a, x=b),
    "apply": lambda a, b: gs.apply(net(), a),
    "predict": lambda a, b: gs.predict(net(), a, plan=b),
    "predict shape": lambda a, b: gs.predict(net(), input_shape=a, input_moments=b),
    "trace": lambda a, b: gs.trace(net(), a, b),
    "groups": lambda a, b: gs.parameter_groups(net(), X, learning_rate=a, base_width=b),
    "gain": lambda a, b: gs.gain(a, b),
    "gain level": lambda a, b: gs.gain("tanh", q=a),
    "meanfield": lambda a, b: gs.meanfield("tanh", sigma_w=a, sigma_b=b),
    "rule": lambda a, b: gs.rule(a),
    "loads": lambda a, b: gs.loads(a),
    "load": lambda a, b: gs.load(a),
    "dumps": lambda a, b: gs.dumps(a),
    "schema": lambda a, b: gs.schema(a),
    "compare": lambda a, b: gs.compare(a, (np.zeros((9, 4), "float32"), np.arange(9) % 2), b, seeds=1, steps=1),
    "compare numbers": lambda a, b: gs.compare(net, (np.zeros((9, 4), "float32"), np.arange(9) % 2), ["keep"], seeds=a,
                                               learning_rates=b, steps=1),
}  # fmt: skip


@LIGHT
@given(name=st.sampled_from(sorted(FUNCTIONS)), first=ANYTHING, second=ANYTHING)
def test_functions_answer_with_a_result_or_an_error_of_their_own(name, first, second):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(gs.GainstageError):
            FUNCTIONS[name](first, second)


WORD = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.sampled_from(
        """
        mlp:4x2 mlp:4x0 mlp:x mlp:99999999999999999999x2 mlp:4x2,act=sin mlp:4x2,bias=maybe hf:../.. hf: timm: : a:b
        keras: x.py:y --seed=99999999999999999999999 --batch-size=0 --batch-size=99999999999 --input=0 --input=1e9
        --input=ids:999999999999 --input=99999999999,99999999999 --lr=nan --lr=inf --data=/dev/null --data=absent.npz
        --html=/ --html=/proc/x --out=. --json --format=junit --fail-on=never --device=meta --device=cuda:99 --loss=nul
        --optimizer=adam --weights=/dev/null --scheme=auto --scheme=xavier --override=*=* --override==== --quiet GS101
        relu tanh,a=b leaky_relu,negative_slope=nan --level=-1 --level=1e999 --depth=999999999999
        """.split()
    ),
)
SLOW = {"demo", "compare", "ask", "init", "lab"}  # what trains, writes files, or serves until it is stopped


@LIGHT
@given(name=st.sampled_from([c for c in COMMANDS if c not in SLOW]), words=st.lists(WORD, max_size=4))
def test_the_command_line_never_raises(name, words):
    result = CliRunner().invoke(gainstage, [name, *words], prog_name="gainstage")
    assert result.exit_code in (0, 1, 2), (words, result.exit_code)
    assert "not expected" not in result.stderr, (name, words, result.stderr)
    assert "Traceback" not in result.stderr
