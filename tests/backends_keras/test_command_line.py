"""Models of Keras's collection on the command line."""

import pytest
from click.testing import CliRunner

from gainstage.cli.app import gainstage

MODEL = "keras:MobileNetV2"


def run(*arguments):
    return CliRunner().invoke(gainstage, list(arguments), prog_name="gainstage")


def test_weights_are_drawn_and_written(tmp_path):
    file = tmp_path / "net.weights.h5"
    done = run("init", MODEL, "--batch", "2", "--scheme", "he_normal", "--out", str(file))
    assert done.exit_code == 0, done.stderr
    assert "he_normal" in done.stdout
    assert file.stat().st_size > 1_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "keras:MobilNetV2"), "Did you mean 'MobileNetV2'?"),
        (("check", MODEL, "--data", "digits"), "--data does not go with"),
        (("init", MODEL, "--emit-code"), "--emit-code prints PyTorch"),
        (("init", MODEL, "--out", "net.safetensors"), "the ending .weights.h5 or .keras"),
    ],
)
def test_what_does_not_go_is_said(arguments, message):
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr
