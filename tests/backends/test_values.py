"""What is known of tensors: by storage and place, through views and writes in place."""

from __future__ import annotations

import gc

import torch

from gainstage.backends.torch.tracing.provenance import STATIC, Derivation, Value, Values, dense, join, merged
from gainstage.graph import DerivationStep


def signal(node, **fields):
    return Value(node=node, from_input=True, **fields)


def test_unknown_tensors_are_constants():
    values = Values(4)
    assert values[torch.ones(3)] == STATIC
    assert values[torch.ones(3, 3).to_sparse()] == STATIC


def test_a_tensor_is_known_by_its_place_not_by_its_object():
    values, x = Values(4), torch.ones(4, 6)
    values.set(x, signal(1, example_stride=6))
    values.set(x[:, :3], signal(2))
    assert values[x.view(4, 6)].node == 1
    assert values[x[:, :3]].node == 2
    assert values[x[:, 3:]].node == 1
    assert values[x[:, 3:]].example_stride is None  # the stride of another shape would be wrong


def test_memory_that_is_used_again_is_not_taken_for_the_old_tensor():
    values = Values(4)
    for node in range(200):
        x = torch.ones(1000 + node)
        assert values[x] == STATIC
        values.set(x, signal(node))
        del x
        gc.collect(0)


def test_a_write_in_place_changes_every_view_and_keeps_its_axes():
    values, x = Values(4), torch.ones(4, 6)
    flat, turned = x.view(24), x.t()
    values.set(x, signal(1, example_stride=6, unit_axis=1))
    values.set(flat, signal(1, example_stride=6))
    values.set(turned, signal(1, example_stride=1, unit_axis=0))
    values.overwrite(flat, signal(2, example_stride=6))
    assert values[x] == signal(2, example_stride=6, unit_axis=1)
    assert values[turned] == signal(2, example_stride=1, unit_axis=0)


def test_a_write_into_a_part_leaves_the_rest_to_what_surrounds_it():
    values, x = Values(4), torch.ones(4, 6)
    values.set(x, signal(1, example_stride=6, unit_axis=1))
    left = x[:, :3]
    assert values.around(x) is None
    assert values.around(left) == values[x]
    values.overwrite(left, signal(2, example_stride=3, unit_axis=1), signal(3))
    assert values[left] == signal(2, example_stride=3, unit_axis=1)
    assert values[x] == signal(3, example_stride=6, unit_axis=1)


def test_a_constant_takes_its_axes_from_what_is_written_into_it():
    values, x = Values(4), torch.zeros(5, 4, 6)
    values.set(x, STATIC)
    row = x[2]
    values.set(row, STATIC)
    values.overwrite(row, signal(1, example_stride=6, unit_axis=1))
    assert values[x].node == 1
    assert values[x].example_stride == 6
    assert values[x].unit_axis == 2


def test_derivations_keep_every_parameter_once_with_its_operations():
    first = Value(derivations=(Derivation("a"), Derivation("b", (DerivationStep.TRANSPOSE,))))
    second = Value(derivations=(Derivation("b"), Derivation("c")))
    assert [d.parameter for d in merged(first, second)] == ["a", "b", "c"]
    assert {d.parameter: d.chain for d in join((first, second), DerivationStep.SCALE)} == {
        "a": (DerivationStep.SCALE,),
        "b": (DerivationStep.TRANSPOSE, DerivationStep.SCALE),
        "c": (DerivationStep.SCALE,),
    }


def test_a_nested_tensor_is_known_by_its_elements():
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=torch.jagged)
    assert dense(nested).shape == (6, 3)
    plain = torch.ones(2)
    assert dense(plain) is plain
