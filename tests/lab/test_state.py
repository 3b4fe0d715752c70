"""Settings from the network are of the right kind and within their limits, and addresses bring them back."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gainstage.errors import GainstageError
from gainstage.lab.names import require_listed
from gainstage.lab.state import CHOICES, LIMITS, State, read_state

UNHURRIED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

STATES = st.builds(
    State,
    depth=st.integers(1, 40),
    width=st.sampled_from([8, 64, 256]),
    activation=st.sampled_from(CHOICES["activation"]),
    scheme=st.sampled_from(CHOICES["scheme"]),
    residual=st.booleans(),
    gain=st.floats(0.05, 20).map(lambda v: float(f"{v:.4g}")),
    seed=st.integers(0, 2**32 - 1),
)


@UNHURRIED
@given(STATES)
def test_an_address_brings_its_state_back(state):
    assert read_state(state.query) == state


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@UNHURRIED
@given(st.dictionaries(st.sampled_from([*State.__dataclass_fields__, "code", "path"]), JUNK, max_size=6))
def test_anything_else_is_refused_with_an_error_of_its_own(junk):
    try:
        state = read_state(junk)
    except GainstageError:
        return
    assert all(low <= getattr(state, name) <= high for name, (low, high) in LIMITS.items())
    assert all(getattr(state, name) in known for name, known in CHOICES.items())


@pytest.mark.parametrize(
    "name",
    ["package.module:build", "nets.py:build", "/etc/passwd", "hf:../secret", "hf:a/b", "keras:/tmp/model.keras",
     "mlp:9x9", "hf:gpt2,x=__import__", "timm:resnet18\n", "tests", "torchvision:", "hf:gpt2,n_layer=99999999"],
)  # fmt: skip
def test_neither_code_nor_a_path_is_a_model(name):
    with pytest.raises(GainstageError):
        read_state({"model": name})


def test_a_folder_of_the_models_name_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "gpt2").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GainstageError, match="refused"):
        require_listed("hf:gpt2")
    require_listed("hf:bert,num_hidden_layers=2")


def test_a_network_of_too_many_weights_is_refused():
    with pytest.raises(GainstageError, match="narrower"):
        State(depth=200, width=1024)
