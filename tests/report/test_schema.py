"""The published schema says exactly what is written and read; files of every older version stay readable."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gainstage.records as records
from gainstage.errors import InputError, UnknownNameError
from gainstage.graph import KernelShape
from gainstage.records import Answers, Comparison, Diagnosis, Fixed
from gainstage.report.codec import encode
from gainstage.report.json import KINDS, SCHEMA_VERSION, dumps, load, loads
from gainstage.report.older import READERS
from gainstage.report.schema import schema

OLDER = sorted((Path(__file__).parent / "older").glob("*.json"))
WHOLE = schema()
# Documents that hold whole others take long to generate; they are among the fixtures.
EVERY = [r for name in records.__all__ if dataclasses.is_dataclass(r := getattr(records, name))]
RECORDS = [r for r in EVERY if r not in (Answers, Comparison, Diagnosis, Fixed) and r.__name__ in WHOLE["$defs"]]

st.register_type_strategy(KernelShape, st.builds(KernelShape, *[st.integers(1, 9)] * 2, receptive=st.integers(1, 9)))


def validator(of: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(of)
    return jsonschema.Draft202012Validator(of)


ANY = validator(WHOLE)


@pytest.mark.parametrize("name", ["sick", "healthy", "fixed", "plan", "answers", "comparison"])
@pytest.mark.parametrize("lean", [False, True])
def test_what_is_written_is_valid(name: str, lean: bool, request: pytest.FixtureRequest) -> None:
    document = json.loads(dumps(request.getfixturevalue(name), lean=lean))
    ANY.validate(document)
    validator(schema(document["kind"])).validate(document)
    assert repr(loads(json.dumps(document))) == repr(request.getfixturevalue(name))


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_record_is_valid(kind: type[Any]) -> None:
    check = validator({"$ref": f"#/$defs/{kind.__name__}", "$defs": WHOLE["$defs"]})

    @settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.from_type(kind))
    def law(record: Any) -> None:
        check.validate(json.loads(json.dumps(encode(record))))
        check.validate(json.loads(json.dumps(encode(record, lean=True))))

    law()


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(schema_version=SCHEMA_VERSION + 1),
        lambda d: d.update(kind="plan"),
        lambda d: d["record"].pop("findings"),
        lambda d: d["record"].update(colour="red"),
        lambda d: d["record"]["findings"][0].update(severity="awful"),
        lambda d: d["record"]["findings"][0].update(measured="many"),
        lambda d: d["record"]["findings"][0]["consequences"][0].update(node=0.5),
        lambda d: d["record"]["profile"]["graph"]["nodes"][0].update(index="0"),
        lambda d: d["record"]["profile"]["task"]["inputs"][0].update(feature_spread=[1.0, 2.0]),
    ],
)
def test_what_the_schema_refuses_the_reader_refuses_too(damage: Any, sick: Diagnosis) -> None:
    document = json.loads(dumps(sick))
    damage(document)
    assert not ANY.is_valid(document)
    with pytest.raises(InputError):
        loads(json.dumps(document))


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_files_of_older_versions_are_read_and_valid(path: Path) -> None:
    record = load(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert type(record) is KINDS[document["kind"]]
    ANY.validate(document)
    again = json.loads(dumps(record))
    assert contains(again["record"], document["record"])  # nothing that was written is lost


def test_a_comparison_that_calls_the_start_as_built_default_is_shown_as_it_was_saved() -> None:
    comparison = load(Path(__file__).parent / "older" / "2_comparison.json")
    assert comparison.schemes == ("default", "auto")
    assert "default" in str(comparison)


def contains(new: Any, old: Any) -> bool:
    if isinstance(old, dict):
        return all(name in new and contains(new[name], value) for name, value in old.items())
    if isinstance(old, list):
        return len(new) == len(old) and all(map(contains, new, old))
    return bool(new == old) or new == _renamed(old)


def _renamed(word: Any) -> Any:
    """What a word of an older document is called today."""
    return next((read(word) for read in READERS.values()), word) if isinstance(word, str) else word


def test_every_older_version_has_its_files() -> None:
    assert {int(path.stem.partition("_")[0]) for path in OLDER} == set(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(share: float, sick: Diagnosis, tmp_path: Path) -> None:
    text = dumps(sick)
    (tmp_path / "cut.json").write_text(text[: int(share * len(text))], encoding="utf-8")
    with pytest.raises(InputError, match="cut off"):
        load(tmp_path / "cut.json")


def test_every_field_is_explained() -> None:
    silent = [
        f"{name}.{field}"
        for name, definition in WHOLE["$defs"].items()
        for field, told in definition.get("properties", {}).items()
        if "description" not in told
    ]
    known = re.compile(r"(Change|Unjudged|Note|OptimizerFacts|Check|Line|Picture|Fixed|Task|KernelShape|Answers)\.")
    assert [field for field in silent if not known.match(field)] == []  # those explain themselves in one sentence


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"diagnosi.*diagnosis"):
        schema("diagnosi")
