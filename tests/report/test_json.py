import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gainstage.records as records
from gainstage.errors import InputError
from gainstage.graph import DerivationStep, KernelShape, Mirror, Node, Pairing, Parameter, SignalGraph, Use
from gainstage.records import Answers, Diagnosis, Fixed, InputMoments, Moments, Plan, Profile
from gainstage.report.codec import decode, encode
from gainstage.report.json import SCHEMA_VERSION, dumps, load, loads, save

# Answers and Fixed are several whole documents and take long to generate; they are among the documents below.
EVERY = [r for name in records.__all__ if dataclasses.is_dataclass(r := getattr(records, name))]
RECORDS = [r for r in EVERY if r not in (Answers, Fixed, InputMoments)]  # the last is in no document
GRAPH = [KernelShape, Mirror, Node, Parameter, SignalGraph, Use]

st.register_type_strategy(KernelShape, st.builds(KernelShape, *[st.integers(1, 9)] * 2, receptive=st.integers(1, 9)))
st.register_type_strategy(Pairing, st.builds(Pairing, st.integers(2, 9), st.integers(1, 9)))


@pytest.mark.parametrize("kind", RECORDS + GRAPH, ids=lambda kind: kind.__name__)
def test_every_record_survives_the_round_trip(kind: type[Any]) -> None:
    @settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.from_type(kind))
    def law(record: Any) -> None:
        text = json.dumps(encode(record), allow_nan=False)
        assert repr(decode(json.loads(text), kind)) == repr(record)  # repr, since NaN differs from itself

    law()


@pytest.mark.parametrize("name", ["sick", "healthy", "fixed", "plan", "answers"])
def test_documents_survive_the_round_trip(name: str, request: pytest.FixtureRequest) -> None:
    record = request.getfixturevalue(name)
    assert loads(dumps(record)) == record
    assert loads(dumps(record, indent=2), type(record)) == record


@pytest.mark.parametrize("name", ["sick", "fixed", "plan", "answers", "comparison"])
def test_records_save_themselves(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    record = request.getfixturevalue(name)
    record.save(tmp_path / "record.json")
    assert repr(load(tmp_path / "record.json")) == repr(record)


def test_the_envelope_names_schema_and_kind(plan: Plan) -> None:
    document = json.loads(dumps(plan))
    assert (document["schema_version"], document["kind"]) == (SCHEMA_VERSION, "plan")
    assert document["record"]["assignments"][0]["parameter"] == "embed.weight"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308])
def test_floats_are_strict_json_and_exact(value: float) -> None:
    moments = Moments(1, value, 0.0, 0.0)
    text = json.dumps(encode(moments), allow_nan=False)
    assert repr(decode(json.loads(text), Moments).mean) == repr(value)


def test_numpy_figures_are_written_as_numbers() -> None:
    np = pytest.importorskip("numpy")
    moments = Moments(np.int64(3), np.float32(0.5), np.float64(0.25), np.float32("nan"))
    assert encode(moments)["mean"] == 0.5
    assert encode(moments)["second_moment"] == "NaN"
    assert json.dumps(encode(moments), allow_nan=False)


def test_an_older_file_may_lack_fields_that_have_a_default() -> None:
    data = encode(Moments(3, 0.0, 1.0, 1.0))
    del data["example_share"]
    assert decode(data, Moments) == Moments(3, 0.0, 1.0, 1.0)


def test_derivations_in_the_frameworks_own_words_are_read_as_steps() -> None:
    data = encode(Use("weight", "weight", (DerivationStep.SCALE,)))
    data["derivation"] = ["_to_copy", "mul", "t", "lgamma"]
    steps = (DerivationStep.CAST, DerivationStep.SCALE, DerivationStep.TRANSPOSE, DerivationStep.OTHER)
    assert decode(data, Use).derivation == steps
    assert encode(decode(data, Use))["derivation"] == [step.value for step in steps]


def test_a_foreign_object_in_a_record_is_a_defect_not_a_file() -> None:
    with pytest.raises(TypeError, match="set"):
        encode(Moments(3, {1}, 1.0, 1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, f"schema_version {SCHEMA_VERSION + 1}.*Update it"),
        ({"schema_version": "1"}, "not a gainstage document"),
        ({"schema_version": True}, "not a gainstage document"),
        ({"schema_version": 0}, "not a gainstage document"),
        ({"kind": "recipe"}, "the kind 'recipe'; known are answer"),
        ({"kind": ["plan"]}, "not a gainstage document"),
        ({"record": []}, r"expected an object \(Plan\), received \[\]"),
        ({"record": {}}, "Plan lacks assignments"),
        ({"record": {"assignments": [], "colour": 1}}, "Plan has no field 'colour'"),
        ({"record": {"assignments": "all"}}, "at assignments: expected an array, received 'all'"),
        ({"record": {"assignments": [], "seed": 1.5}}, "at seed: expected a whole number, received 1.5"),
        ({"record": {"assignments": [], "seed": True}}, "at seed: expected a whole number, received True"),
        ({"record": {"assignments": [], "notes": [1]}}, r"at notes\[0\]: expected a string, received 1"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    document = {"schema_version": SCHEMA_VERSION, "kind": "plan", "record": {"assignments": []}}
    with pytest.raises(InputError, match=message):
        loads(json.dumps(document | change))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("assignments", 0, "gain"), "loud", r"assignments\[0\].gain: expected a number, received 'loud'"),
        (("assignments", 0, "gain"), True, r"assignments\[0\].gain: expected a number, received True"),
        (("assignments", 0, "gain"), 10**400, r"assignments\[0\].gain: .* is too large"),
        (("assignments", 0, "role"), "boss", r"assignments\[0\].role: expected one of 'hidden'"),
        (("assignments", 0, "layout"), None, r"assignments\[0\].layout: expected one of 'out_in', 'in_out'"),
        (("assignments", 2, "kernel", "in_"), 0, r"assignments\[2\].kernel: A kernel needs positive sizes"),
    ],
)
def test_a_damaged_field_is_named(plan: Plan, path: tuple[Any, ...], value: object, message: str) -> None:
    document = json.loads(dumps(plan))
    place = document["record"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(InputError, match=message):
        loads(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "NaN", '{"schema_version": NaN}', "[" * 100_000, "\x00"])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="JSON"):
        loads(text)


def test_a_truncated_file_is_recognised_at_every_length(plan: Plan) -> None:
    text = dumps(dataclasses.replace(plan, assignments=plan.assignments[:2]))
    for length in range(len(text)):
        with pytest.raises(InputError, match=r"cut off|not valid JSON"):
            loads(text[:length])


def test_another_kind_is_refused(plan: Plan) -> None:
    with pytest.raises(InputError, match="holds a plan; a diagnosis was expected"):
        loads(dumps(plan), Diagnosis)


def test_only_documents_stand_alone() -> None:
    with pytest.raises(InputError, match="received a Moments"):
        dumps(Moments(1, 0.0, 0.0, 0.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("graph", "nodes", 2, "inputs"), [99]),
        (("graph", "nodes", 2, "index"), 1),
        (("nodes", 0, "node"), 99),
        (("parameters", 0, "path"), "nowhere"),
    ],
)
def test_references_to_nothing_are_found(sick: Diagnosis, path: tuple[Any, ...], value: object) -> None:
    document = json.loads(dumps(sick.profile))
    place = document["record"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(InputError, match="damaged"):
        loads(json.dumps(document), Profile)


def test_a_finding_at_no_node_is_found(fixed: Fixed) -> None:
    document = json.loads(dumps(fixed))
    document["record"]["before"]["findings"][0]["consequences"][1]["node"] = 99
    with pytest.raises(InputError, match="GS101: there is no node 99"):
        loads(json.dumps(document))


def test_save_and_load(tmp_path: Path, fixed: Fixed) -> None:
    path = tmp_path / "after.json"
    path.write_text("old", encoding="utf-8")
    save(path, fixed)
    assert load(path, Fixed) == fixed
    assert [p.name for p in tmp_path.iterdir()] == ["after.json"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old", encoding="utf-8")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"plan.json.*No space left"):
        save(path, plan)
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_paths_that_cannot_be_used(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(InputError, match=r"Cannot write .*absent.*No such file"):
        save(tmp_path / "absent" / "plan.json", plan)
    with pytest.raises(InputError, match="not a regular file"):
        save(tmp_path, plan)
    with pytest.raises(InputError, match=r"Cannot read .*absent"):
        load(tmp_path / "absent.json")
    binary = tmp_path / "weights.bin"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text in UTF-8"):
        load(binary)
    binary.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"file '.*weights.bin' is not valid JSON"):
        load(binary)
