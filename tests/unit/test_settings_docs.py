"""docs/operations.md lists every setting with its default, and no other."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from infra.settings import PROJECT, InfraSettings
from operations.exporter.settings import ExporterSettings
from producer_api.settings import ApiSettings
from stream_app.settings import WorkerSettings
from tests.servers import KAFKA_VARIABLE, POSTGRES_VARIABLE

_DOCS = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `SCANLINE_([A-Z_]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def _section(heading: str) -> dict[str, str]:
    text = _DOCS.split(f"**{heading}**\n")[1].split("\n**")[0].split("\n## ")[0]
    return {name.lower(): default.strip("`") for name, default, _ in _ROW.findall(text)}


def _of_process(kind: type[BaseSettings]) -> dict[str, str]:
    found = {}
    for name, field in kind.model_fields.items():
        if field.is_required():
            found[name] = "required"
        elif field.default_factory is not None:
            found[name] = "temporary folder"
        else:
            found[name] = "-" if field.default is None else str(field.default)
    return found


def _of_command() -> dict[str, str]:
    defaults = {field.name: field.default for field in fields(InfraSettings)}
    return {
        name: "-" if value is None else str(value.relative_to(PROJECT) if isinstance(value, Path) else value)
        for name, value in defaults.items()
    }


_SETTINGS = {
    "API": _of_process(ApiSettings),
    "Worker": _of_process(WorkerSettings),
    "Exporter": _of_process(ExporterSettings),
    "The `scanline` command": _of_command(),
}


@pytest.mark.parametrize("heading", _SETTINGS)
def test_every_setting_is_listed_with_its_default(heading: str) -> None:
    assert _section(heading) == _SETTINGS[heading]


def test_every_setting_that_the_documents_speak_of_exists() -> None:
    known = {f"SCANLINE_{name}".upper() for kind in _SETTINGS.values() for name in kind}
    known |= {KAFKA_VARIABLE, POSTGRES_VARIABLE, "SCANLINE_TEST_BACKLOG_TIMES"}  # the tests' own
    for page in [*(PROJECT / "docs").rglob("*.md"), PROJECT / "README.md", PROJECT / "dashboards" / "README.md"]:
        for name in re.findall(r"SCANLINE_[A-Z_]*[A-Z](?![A-Z_*])", page.read_text(encoding="utf-8")):
            assert name in known, f"{page.name}: {name}"
