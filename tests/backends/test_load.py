"""Models by name: every source, and every way a name can fail to be one."""

from __future__ import annotations

import json
import sys
import textwrap
import types

import pytest
import torch
from torch import nn

from gainstage import data
from gainstage.backends.torch.models.build import ACTIVATIONS, mlp, parse_mlp
from gainstage.backends.torch.models.inputs import InputSpec, example_batch, labelled_batch, on_device, parse_input
from gainstage.backends.torch.models.load import load
from gainstage.errors import InputError, LoadError, MissingPackageError, UnknownNameError

MODELS = """
    from torch import nn
    instance = nn.Linear(3, 2)
    number = 7
    def build(width=4): return nn.Linear(width, 1)
    def needs(width, depth, *rest, mode="x"): return nn.Linear(width, depth)
    def breaks(): raise RuntimeError("no cuda here")
    def returns_nothing(): return None
    class Net(nn.Sequential):
        def __init__(self): super().__init__(nn.Linear(5, 5))
        @staticmethod
        def small(): return nn.Linear(1, 1)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory that is the current one, and a way to write modules into it; imports are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture(params=["nets_by_module:", "sub/nets.py:", "absolute"])
def prefix(request, project, tmp_path):
    """The same code as a module, as a file below the current directory, and as a file by its absolute path."""
    project("nets_by_module.py", MODELS)
    project("sub/nets.py", MODELS)
    return f"{tmp_path / 'sub' / 'nets.py'}:" if request.param == "absolute" else request.param


@pytest.mark.parametrize(
    ("attribute", "size"), [("instance", (3, 2)), ("build", (4, 1)), ("Net", (5, 5)), ("Net.small", (1, 1))]
)
def test_instance_function_class_and_method(prefix, attribute, size):
    model = load(prefix + attribute).model
    linear = next(m for m in model.modules() if isinstance(m, nn.Linear))
    assert (linear.in_features, linear.out_features) == size


@pytest.mark.parametrize(
    ("attribute", "kind", "message"),
    [
        ("buid", UnknownNameError, "Unknown attribute 'buid'.*Did you mean 'build'"),
        ("Net.smll", UnknownNameError, "Did you mean 'small'"),
        ("needs", LoadError, r"arguments width, depth\."),
        ("breaks", LoadError, "raised RuntimeError: no cuda here .at .*nets.*line 7"),
        ("returns_nothing", LoadError, "returned a NoneType"),
        ("number", LoadError, "is a int"),
    ],
)
def test_an_attribute_that_is_no_model(prefix, attribute, kind, message):
    with pytest.raises(kind, match=message):
        load(prefix + attribute)


def test_a_missing_module_is_told_apart_from_an_import_error_inside_it(project):
    project("broken/__init__.py", "")
    project("broken/net.py", "import not_installed_anywhere")
    project("wrong.py", "raise ValueError('bad day')")
    project("syntax.py", "def f(:")
    project("script.py", "import sys\nsys.exit(3)")
    project("alone.py", "from . import other")
    cases = {
        "absent:net": "no module 'absent'",
        "broken.nothing:net": "no module 'broken.nothing'",
        "broken.net:net": "Importing the module 'broken.net' raised ModuleNotFoundError: .*anywhere.*line 1",
        "broken/net.py:net": "Importing the file '.*net.py' raised ModuleNotFoundError",
        "wrong:net": "raised ValueError: bad day .at .*wrong.py, line 1",
        "syntax:net": "The module 'syntax' cannot be imported: .*line 1",
        "script:net": "__main__",
        "alone.py:net": "relative import",
        "nowhere/net.py:net": "no file 'nowhere/net.py'",
        "empty.py": "names no model",
        "just_a_name": "names no model",
        ":net": "names no model",
        "net:": "names no model",
        "": "names no model",
    }
    for name, message in cases.items():
        with pytest.raises(LoadError, match=message):
            load(name)


def test_one_letter_is_a_drive_and_not_a_source(project):
    for name in (r"C:\models\net.py:build", "C:/models/net.py:build"):
        with pytest.raises(LoadError, match="no file 'C:"):
            load(name)
    with pytest.raises(LoadError, match="names no model"):
        load(r"C:\models\net.py")


def test_a_file_called_like_a_package_does_not_replace_it(project):
    project("sub/json.py", "from torch import nn\nnet = nn.Linear(1, 1)")
    load("sub/json.py:net")
    assert sys.modules["json"] is json


def test_a_file_imports_its_neighbours(project):
    project("sub/parts_next_door.py", "width = 6")
    project("sub/net.py", "from parts_next_door import width\nfrom torch import nn\nnet = nn.Linear(width, 1)")
    assert load("sub/net.py:net").model.in_features == 6


def test_seed_fixes_the_weights_and_leaves_the_random_state():
    before = torch.get_rng_state()
    first, second, other = (load("mlp:8x4x2", seed=s).model.head.weight for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_every_perceptron_runs(activation, norm):
    loaded = load(f"mlp:6x5x4x3,act={activation},norm={norm},bias=false")
    x = example_batch(loaded.model, loaded.inputs, batch=7)
    assert loaded.model(x).shape == (7, 3)
    assert not any(name.endswith("linear.bias") for name, _ in loaded.model.named_parameters())
    assert len(loaded.model.hidden) == 2


def test_names_inside_a_perceptron():
    names = [name for name, _ in mlp([4, 3, 2], norm="batch").named_parameters()]
    assert names == [
        "hidden.0.linear.weight", "hidden.0.linear.bias", "hidden.0.norm.weight", "hidden.0.norm.bias",
        "head.weight", "head.bias",
    ]  # fmt: skip
    assert [name for name, _ in mlp([4, 2]).named_parameters()] == ["head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("784x", InputError, "sizes '784x'"),
        ("", InputError, "sizes ''"),
        ("784", InputError, "at least two"),
        ("784x0x10", InputError, "positive"),
        ("8x4,act", InputError, "'act'"),
        ("8x4,act=rleu", UnknownNameError, "Did you mean 'relu'"),
        ("8x4,norm=bach", UnknownNameError, "Did you mean 'batch'"),
        ("8x4,bais=true", UnknownNameError, "Did you mean 'bias'"),
        ("8x4,bias=1", InputError, "true or false"),
    ],
)
def test_a_perceptron_that_cannot_be_read(text, kind, message):
    with pytest.raises(kind, match=message):
        load(f"mlp:{text}")


def test_calling_the_builder_with_wrong_names():
    assert parse_mlp("8X4").sizes == (8, 4)
    with pytest.raises(UnknownNameError, match="activation"):
        mlp([2, 2], activation="rel")
    with pytest.raises(UnknownNameError, match="normalisation"):
        mlp([2, 2], norm="bath")


@pytest.mark.parametrize(
    ("name", "package"),
    [("torchvision:resnet18", "torchvision"), ("timm:resnet18", "timm"), ("hf:gpt2", "transformers")],
)
def test_a_source_that_is_not_installed_is_named(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)  # importing it now raises ModuleNotFoundError
    with pytest.raises(MissingPackageError, match=f"pip install {package}"):
        load(name)


def test_a_source_that_does_not_fit_torch_says_so(project):
    project("timm.py", "raise RuntimeError('operator timm::nms does not exist')")
    sys.path.insert(0, "")
    sys.modules.pop("timm", None)
    with pytest.raises(LoadError, match=r"'timm' is installed but cannot be imported: .*nms.*belongs to torch"):
        load("timm:resnet18")


def test_torchvision_never_fetches_weights(monkeypatch):
    asked = {}

    def segmenter(*, weights="trained", weights_backbone="trained", width=3):
        asked.update(weights=weights, weights_backbone=weights_backbone)
        return nn.Linear(width, width)

    models = types.SimpleNamespace(list_models=lambda: ["segmenter"], get_model_builder=lambda name: segmenter)
    stand_in = types.ModuleType("torchvision")
    stand_in.models = models
    monkeypatch.setitem(sys.modules, "torchvision", stand_in)
    assert load("torchvision:segmenter").inputs == (InputSpec((3, 224, 224)),)
    assert asked == {"weights": None, "weights_backbone": None}
    with pytest.raises(UnknownNameError, match="Did you mean 'segmenter'"):
        load("torchvision:segmentor")


def test_timm_says_what_it_takes(monkeypatch):
    def create_model(name, pretrained):
        assert pretrained is False
        model = nn.Linear(1, 1)
        if name == "known":
            model.default_cfg = {"input_size": (3, 96, 96)}
        return model

    stand_in = types.ModuleType("timm")
    stand_in.create_model, stand_in.is_model = create_model, lambda name: name in ("known", "plain")
    stand_in.list_models = lambda: ["known", "plain"]
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    assert load("timm:known").inputs == (InputSpec((3, 96, 96)),)
    assert load("timm:plain").inputs is None
    with pytest.raises(UnknownNameError, match="Did you mean 'known'"):
        load("timm:knowm")


TINY = {
    "gpt2": ("hf:gpt2,n_layer=1,n_embd=16,n_head=2,vocab_size=50,n_positions=20", "GPT2LMHeadModel", 18),
    "bert": (
        "hf:bert,num_hidden_layers=1,hidden_size=16,num_attention_heads=2,intermediate_size=16,vocab_size=50",
        "BertForMaskedLM",
        128,
    ),
    "llama": (
        "hf:llama,num_hidden_layers=1,hidden_size=16,num_attention_heads=2,num_key_value_heads=2,"
        "intermediate_size=16,vocab_size=50",
        "LlamaForCausalLM",
        128,
    ),
    "t5": ("hf:t5,num_layers=1,d_model=16,d_ff=16,num_heads=2,d_kv=8,vocab_size=50", "T5ForConditionalGeneration", 128),
}


@pytest.mark.parametrize("family", TINY)
def test_hugging_face_by_type_runs_on_its_own_input(family):
    name, head, length = TINY[family]
    loaded = load(name, seed=0)
    assert type(loaded.model).__name__ == head
    batch = example_batch(loaded.model, loaded.inputs, batch=2)
    assert set(batch) == ({"input_ids", "decoder_input_ids"} if family == "t5" else {"input_ids"})
    assert loaded.model(**batch).logits.shape == (2, length, 50)


def test_hugging_face_by_configuration(tmp_path):
    path = tmp_path / "config.json"
    content = {"model_type": "vit", "num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2}
    content |= {"intermediate_size": 16, "image_size": 32, "patch_size": 16, "architectures": ["ViTModel"]}
    path.write_text(json.dumps(content))
    for name in (f"hf:{path}", f"hf:{tmp_path}"):
        loaded = load(name)
        assert type(loaded.model).__name__ == "ViTModel"
        assert loaded.inputs == (InputSpec((3, 32, 32), "values", "pixel_values"),)
    path.write_text("{")
    with pytest.raises(LoadError, match="not JSON"):
        load(f"hf:{path}")
    path.write_text("[]")
    with pytest.raises(LoadError, match="holds a list"):
        load(f"hf:{path}")
    path.write_text("{}")
    with pytest.raises(LoadError, match="model_type"):
        load(f"hf:{path}")
    with pytest.raises(LoadError, match="cannot be read"):
        load("hf:nowhere/config.json")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("hf:gtp2", UnknownNameError, "Did you mean 'gpt2'"),
        ("hf:gpt2,n_layers=2", UnknownNameError, "Did you mean 'n_layer'"),
        ("hf:gpt2,n_layer", LoadError, "n_layer"),
        ("hf:someone/some-model", LoadError, "downloads nothing"),
        ("hf:gpt2,n_embd=10,n_head=3", LoadError, "cannot be built"),
        ("hf:llama,num_hidden_layers=1,hidden_size=262144,vocab_size=99999", LoadError, "GiB"),
    ],
)
def test_hugging_face_names_that_do_not_work(name, kind, message):
    with pytest.raises(kind, match=message):
        load(name)


def test_inputs_are_read():
    assert parse_input("784") == InputSpec((784,))
    assert parse_input("3, 8,8") == InputSpec((3, 8, 8))
    assert parse_input("ids:16") == InputSpec((16,), "ids")
    assert parse_input("tokens=ids:16,2") == InputSpec((16, 2), "ids", "tokens")
    for text in ("", "3,x", "ids:", "ids:-1", "0", "=3", "a b=3", "3,,4"):
        with pytest.raises(InputError, match="without the batch"):
            parse_input(text)


def test_example_batches_are_seeded_and_bounded():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2))
    ids = example_batch(model, [InputSpec((400,), "ids")], batch=50)
    # All 20,000 tokens miss one of five values with a probability of 5 · 0.8^20000: never.
    assert sorted(ids.unique().tolist()) == [0, 1, 2, 3, 4]
    values = example_batch(model, [InputSpec((400,))], batch=50)
    assert abs(values.mean()) < 6 / 20000**0.5
    assert torch.equal(values, example_batch(model, [InputSpec((400,))], batch=50, seed=0))
    assert not torch.equal(values, example_batch(model, [InputSpec((400,))], batch=50, seed=1))
    pair = example_batch(model, [InputSpec((2,)), InputSpec((3,))], batch=4)
    assert [p.shape for p in pair] == [(4, 2), (4, 3)]
    named = example_batch(model, [InputSpec((2,), name="a"), InputSpec((3,), name="b")])
    assert named["b"].shape == (32, 3)


@pytest.mark.parametrize(
    ("specs", "batch", "message"),
    [
        ([InputSpec((2,))], 0, "at least one example"),
        ([], 4, "one or more"),
        ([InputSpec((2,), name="a"), InputSpec((2,))], 4, "all or none"),
        ([InputSpec((2,), name="a"), InputSpec((2,), name="a")], 4, "each once"),
        ([InputSpec((2,), "ids")], 4, "no embedding"),
    ],
)
def test_inputs_that_cannot_be_made(specs, batch, message):
    with pytest.raises(InputError, match=message):
        example_batch(nn.Linear(2, 2), specs, batch=batch)


def test_labelled_batches_take_the_shape_and_name_of_the_input():
    digits, tokens = data.load("digits"), data.load("copy")
    plain, labels = labelled_batch(digits, batch=5)
    assert torch.equal(plain, torch.from_numpy(digits.x_train[:5]))
    assert torch.equal(labels, torch.from_numpy(digits.y_train[:5]))
    assert labelled_batch(digits, [InputSpec((1, 8, 8))], batch=5)[0].shape == (5, 1, 8, 8)
    assert set(labelled_batch(digits, [InputSpec((64,), name="x")], batch=5)[0]) == {"x"}
    assert labelled_batch(tokens, [InputSpec((128,), "ids", "input_ids")], batch=5)[0]["input_ids"].shape == (5, 16)
    assert len(labelled_batch(digits, batch=10**6)[0]) == len(digits.x_train)
    for specs, batch, message in (
        ([InputSpec((63,))], 4, "64 values"),
        ([InputSpec((64,))] * 2, 4, "takes 2"),
        (None, 0, "at least one"),
    ):
        with pytest.raises(InputError, match=message):
            labelled_batch(digits, specs, batch=batch)


def test_devices_that_are_not_there():
    assert on_device(nn.Linear(1, 1), "cpu").weight.device.type == "cpu"
    for device in ("gpu", "cuda:99", "meta"):
        with pytest.raises(InputError, match=f"device '{device}' cannot be used"):
            on_device(nn.Linear(1, 1), device)
