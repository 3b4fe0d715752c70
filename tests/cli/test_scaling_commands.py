"""``gainstage scaling`` and ``gainstage preflight``."""

from __future__ import annotations

import json

NET = """
import torch


def build(width=32, depth=2):
    layers = [torch.nn.Linear(16, width), torch.nn.ReLU()]
    for _ in range(depth):
        layers += [torch.nn.Linear(width, width), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))
"""


def test_scaling_of_a_named_perceptron(run):
    found = run("scaling", "mlp:16x64x64x10", "--widths", "32,128", "--scheme", "mup", "--rates", "scaled", "--json")
    assert found.code == 0, found.err
    document = json.loads(found.out)
    assert document["kind"] == "scaling"
    assert document["record"]["widths"] == [32, 128]


def test_scaling_of_the_users_function_and_its_exit_code(run, tmp_path):
    (tmp_path / "nets.py").write_text(NET, encoding="utf-8")
    found = run("scaling", "nets.py:build", "--input", "16", "--widths", "32,128,512", "--html", "page.html")
    assert found.code == 1, found.err  # PyTorch's own start and one rate for all
    assert "grows with width" in " ".join(found.out.split())
    assert (tmp_path / "page.html").exists()


def test_preflight_of_a_named_perceptron(run):
    found = run("preflight", "mlp:16x64x64x10", "--widths", "32,128", "--depths", "2,4", "--dtype", "float16")
    assert found.code == 1, found.err
    told = " ".join(found.out.split())
    assert "What changes with width?" in told
    assert "Does it fit float16?" in told


def test_preflight_resizes_a_configuration(run):
    found = run(
        "preflight", "hf:gpt2,n_embd=64,n_layer=2,n_head=4,vocab_size=99", "--widths", "64,128", "--batch-size", "2",
        "--scheme", "mup", "--rates", "scaled", "--json",
    )  # fmt: skip
    assert found.code in (0, 1), found.err
    assert json.loads(found.out)["record"]["scaling"]["widths"] == [64, 128]


def test_refusals(run):
    found = run("scaling", "mlp:16x64x10")
    assert found.code == 2
    assert "--widths" in found.err
    found = run("scaling", "mlp:16x64x10", "--widths", "wide,wider")
    assert found.code == 2
    assert "whole numbers" in " ".join(found.err.split())
    found = run("preflight", "mlp:16x10", "--widths", "32,64")
    assert found.code == 2
    assert "no hidden layer" in found.err
