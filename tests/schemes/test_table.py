"""The table: names, aliases, registration, and what happens to bad input."""

import dataclasses

import numpy as np
import pytest

from gainstage import schemes
from gainstage.errors import InputError, UnknownNameError
from gainstage.graph import KernelShape
from gainstage.schemes import table
from gainstage.streams import Stream

KERNEL = KernelShape(4, 3, 2)


@pytest.fixture
def own_table(monkeypatch):
    """A copy of the table, so that registrations end with the test."""
    monkeypatch.setattr(table, "_SCHEMES", dict(table._SCHEMES))


def test_names_are_canonical_sorted_and_unique():
    assert list(schemes.names()) == sorted(set(schemes.names()))
    assert all(schemes.get(name).name == name for name in schemes.names())


def test_every_alias_leads_to_its_scheme_and_to_no_other():
    spellings = [s for name in schemes.names() for s in (name, *schemes.get(name).aliases)]
    assert len(set(spellings)) == len(spellings)
    for name in schemes.names():
        assert all(schemes.get(alias) is schemes.get(name) for alias in schemes.get(name).aliases)


@pytest.mark.parametrize("name", schemes.names())
def test_every_scheme_explains_itself(name):
    scheme = schemes.get(name)
    assert scheme.summary.endswith(".")
    assert "\n" not in scheme.summary
    assert scheme.reference


@pytest.mark.parametrize(
    ("spelling", "name"),
    {
        "lecun_normal": "normal",
        "LecunUniform": "uniform",
        "lecun_truncated": "truncated_normal",
        "TruncatedNormal": "truncated_normal",
        "xavier_uniform": "glorot_uniform",
        "xavier_normal_": "glorot_normal",
        "GlorotNormal": "glorot_normal",
        "glorot_truncated": "glorot_truncated_normal",
        "lecun_normal_fan_avg": "glorot_normal",
        "glorot_uniform_fan_out": "uniform_fan_out",
        "kaiming_normal": "he_normal",
        "kaiming_normal_": "he_normal",
        "kaiming_uniform_": "he_uniform",
        "HeNormal": "he_normal",
        "HE_UNIFORM": "he_uniform",
        "he-truncated": "he_truncated_normal",
        "he_normal_fan_out": "he_normal_fan_out",
        "kaiming_uniform_fan_avg": "he_uniform_fan_avg",
        "orthogonal_": "orthogonal",
        "Orthogonal": "orthogonal",
        "delta_orthogonal": "delta_orthogonal",
        "dirac_": "identity",
        "eye_": "identity",
        "Zeros": "zeros",
        "ones_": "ones",
        "constant_": "constant",
        "pytorch_default": "pytorch_default",
    }.items(),
)
def test_spellings_of_the_frameworks(spelling, name):
    assert schemes.get(spelling).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("he_norml", "Unknown scheme 'he_norml'. Did you mean 'he_normal'?"),
        ("xavier_norml", "Unknown scheme 'xavier_norml'. Did you mean 'xavier_normal'?"),
        ("???", f"Unknown scheme '???'. Known: {', '.join(schemes.names())}."),
        (123, f"Unknown scheme '123'. Known: {', '.join(schemes.names())}."),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(UnknownNameError) as caught:
        schemes.get(name)
    assert str(caught.value) == message


def test_an_unknown_name_says_what_it_was_given_for():
    with pytest.raises(UnknownNameError, match=r"Received for 'blocks\.\*'\."):
        schemes.get("he_norml", where="'blocks.*'")


def test_schemes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        schemes.get("he_normal").name = "mine"


@pytest.mark.usefixtures("own_table")
def test_a_registered_scheme_is_found_and_drawn():
    @schemes.register("halves", spread=lambda kernel: 0.0, reference="this test", aliases=("half",))
    def halves(kernel, gain, stream):
        """Every weight is a half."""
        return np.full(kernel.shape, 0.5) * gain

    assert callable(halves)
    scheme = schemes.get("Half")
    assert (scheme.name, scheme.summary, scheme.reference) == ("halves", "Every weight is a half.", "this test")
    assert "halves" in schemes.names()
    weights = scheme.draw(KERNEL, 3.0, Stream(0, "w"))
    assert weights.dtype == np.float32
    assert (weights == 1.5).all()


def _ones(kernel, gain, stream):
    """Ones."""
    return np.full(kernel.shape, gain)


def _silent(kernel, gain, stream):
    return np.full(kernel.shape, gain)


@pytest.mark.usefixtures("own_table")
@pytest.mark.parametrize(
    ("name", "aliases", "sampler", "message"),
    [
        ("he_normal", (), _ones, "'he_normal' is taken by scheme 'he_normal'"),
        ("HeNormal", (), _ones, "lower case with underscores; received 'HeNormal'"),
        ("", (), _ones, "lower case with underscores; received ''"),
        ("mine", ("KaimingNormal",), _ones, "'KaimingNormal' is taken by scheme 'he_normal'"),
        ("mine", (), _silent, "'mine' has no summary"),
    ],
)
def test_bad_registrations_change_nothing(name, aliases, sampler, message):
    before = schemes.names()
    with pytest.raises(InputError, match=message):
        schemes.register(name, spread=lambda kernel: 1.0, reference="this test", aliases=aliases)(sampler)
    assert schemes.names() == before


@pytest.mark.usefixtures("own_table")
def test_a_scheme_of_the_wrong_shape_is_told_so():
    @schemes.register("flat", spread=lambda kernel: 1.0, reference="this test")
    def flat(kernel, gain, stream):
        """Forgets the shape."""
        return stream.normal(kernel.size)

    with pytest.raises(InputError, match=r"'flat' drew an array of shape \(24,\).*must return .* = \(4, 3, 2\)"):
        schemes.get("flat").draw(KERNEL, 1.0, Stream(0, "w"))
