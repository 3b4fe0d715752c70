"""The public face: few names, each with a home, and an import that costs next to nothing."""

import importlib.util
import subprocess
import sys

import pytest

import gainstage as gs


def test_there_are_at_most_forty_names_and_each_is_there():
    assert len(gs.__all__) <= 40
    assert set(gs.__all__) <= set(dir(gs))
    for name in gs.__all__:
        if name != "keras" or importlib.util.find_spec("keras"):
            assert getattr(gs, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'initialise'"):
        gs.initialise  # noqa: B018


def test_importing_it_imports_no_framework_and_no_numpy():
    check = "import sys, gainstage; sys.exit(bool({'torch', 'keras', 'numpy', 'scipy', 'rich'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_plan_that_was_only_loaded_can_be_written_as_code(tmp_path):
    plan = gs.Plan((), seed=3, scheme="he_normal", framework="torch")
    plan.save(tmp_path / "plan.json")
    script = f"import gainstage as gs; print(gs.load({str(tmp_path / 'plan.json')!r}).to_code())"
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert "def initialize(model: nn.Module, seed: int = 3)" in printed
