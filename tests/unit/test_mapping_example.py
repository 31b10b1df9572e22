"""The example that maps a catalog's findings gives records that are accepted, and keys that stay unique."""

import datetime as dt
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codes import CATEGORIES
from schemas.validation import examine

_EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
_PROGRAM = _EXAMPLES / "map_findings.py"
_DECLARATIONS = _EXAMPLES / "mapping" / "declarations.json"
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=120)
_PATHS = st.lists(_NAMES, min_size=2, max_size=6).map(tuple)


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("map_findings", _PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["map_findings"] = module  # a NamedTuple looks its module up
    spec.loader.exec_module(module)
    return module


example = _load()


def _run(catalog: str, findings: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(_PROGRAM), catalog, str(findings), str(_DECLARATIONS)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def _accepted(line: str) -> Any:
    outcome = examine(line.encode(), dt.datetime.now(dt.UTC))
    assert outcome.record is not None, outcome.errors
    return outcome.record


def test_openmetadata_tables_become_records_and_a_table_without_declaration_is_named() -> None:
    ran = _run("openmetadata", _EXAMPLES / "mapping" / "openmetadata.json")
    records = {record.activity_key: record for record in map(_accepted, filter(None, ran.stdout.split("\n")))}
    table = "crm_prod.ban_hang.public.khach_hang"
    assert {key: sorted(record.data_categories) for key, record in records.items()} == {
        f"{table}/ho_ten": ["basic_identifier", "basic_name"],
        f"{table}/lien_he/email": ["basic_account"],
        f"{table}/tien_su_benh": ["sensitive_health"],
    }
    assert [record.sensitive for record in records.values()] == [False, False, True]
    assert records[f"{table}/lien_he/email"].data_fields == ["lien_he.email"]
    assert (ran.returncode, "crm_prod.ban_hang.public.nhat_ky (1)" in ran.stderr) == (3, True)


def test_piicatcher_columns_become_records_with_what_their_declaration_says() -> None:
    ran = _run("piicatcher", _EXAMPLES / "mapping" / "piicatcher.json")
    records = [_accepted(line) for line in filter(None, ran.stdout.split("\n"))]
    assert [record.data_categories for record in records] == [["basic_birth_death"], ["sensitive_bank"]]
    assert {(record.source_system, record.asset) for record in records} == {("nhan_su", "nhan_su.public.nhan_vien")}
    assert all(record.cross_border and record.transfer.exemption == "employee_data_on_cloud" for record in records)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("kind", [{"__enum__": "PiiTypes.PERSON"}, "PERSON", "Person"])
def test_piicatcher_writes_its_types_in_several_ways(kind: Any) -> None:
    column = {"name": "ho_ten", "pii_type": kind, "pii_plugin": None}
    found = {"name": "db", "schemata": [{"name": "", "tables": [{"name": "t", "columns": [column]}]}]}
    (finding,) = example.piicatcher(found)
    declared = {"purpose": "p", "data_subjects": ["customer"], "storage_country": "VN"}
    assert example.record_of(finding, declared, {}, "2026-11-20T10:00:00Z")["data_categories"] == ["basic_name"]


def test_its_categories_are_ours() -> None:
    assert set(example.CATEGORIES.values()) <= CATEGORIES


@given(_PATHS, _PATHS)
def test_two_fields_never_share_a_key_and_every_key_is_accepted(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    declared = {"purpose": "Chăm sóc khách hàng", "data_subjects": ["customer"], "storage_country": "VN"}
    records = []
    for path in (one, other):
        record = example.record_of(example.Finding(path, ("x",), "d"), declared, {}, "2026-11-20T10:00:00Z")
        records.append(_accepted(json.dumps(record, ensure_ascii=False)))
    normal = [tuple(example.unicodedata.normalize("NFC", name) for name in path) for path in (one, other)]
    assert (records[0].activity_key == records[1].activity_key) == (normal[0] == normal[1])


def test_of_what_it_writes_the_beginning_alone_may_be_read(tmp_path: Path) -> None:
    column = {"name": "email", "tags": [{"tagFQN": "PII.Sensitive"}]}
    columns = [{**column, "name": f"email_{number}"} for number in range(2_000)]
    findings = tmp_path / "findings.json"
    findings.write_text(
        json.dumps({"data": [{"fullyQualifiedName": "crm_prod.ban_hang.x.khach_hang", "columns": columns}]})
    )
    command = [sys.executable, str(_PROGRAM), "openmetadata", str(findings), str(_DECLARATIONS)]
    shell = ["bash", "-c", '"$@" | head -1; exit "${PIPESTATUS[0]}"', "-", *command]
    ran = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (141, "")
    _accepted(ran.stdout)
