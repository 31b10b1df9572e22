"""Turns what a data catalog found into Scanline records, with nothing but the standard library. Copy it, change it.

    python docs/examples/map_findings.py openmetadata|piicatcher FINDINGS.json DECLARATIONS.json > scan.ndjson
    scanline publish scan.ndjson --tenant TENANT

FINDINGS is the catalog's own output: `GET /api/v1/tables?fields=columns,tags` of OpenMetadata, or `--output-format json`
of piicatcher. Every column with a tag for personal data becomes one record. What no catalog knows (the purpose, the legal
basis, whose data it is, in which country it lies) comes from DECLARATIONS: docs/mapping.md describes it.

Exit code 3: a column was left out, because no declaration covers its table. Each such table is named on standard error.
"""

import datetime as dt
import hashlib
import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

LONGEST_KEY = 300  # characters of `activity_key` and of `asset`
# Names that mean the same in both catalogs, in lower case and without "_". A catalog's word "sensitive" is not the law's:
# PII.Sensitive holds names and addresses, which are basic data (Decree 356/2025/ND-CP, Article 3).
CATEGORIES = {
    "person": "basic_name",
    "birthdate": "basic_birth_death",
    "gender": "basic_gender",
    "address": "basic_address",
    "nationality": "basic_nationality",
    "phone": "basic_identifier",
    "phonenumber": "basic_identifier",
    "nationalid": "basic_identifier",
    "passport": "basic_identifier",
    "driverlicense": "basic_identifier",
    "ssn": "basic_identifier",
    "vatcode": "basic_identifier",
    "email": "basic_account",
    "username": "basic_account",
    "ipaddress": "basic_account",
    "password": "sensitive_identity_account",
    "location": "basic_address",  # the name of a place; sensitive is where somebody is (Decree 356/2025/ND-CP, Article 4)
    "creditcard": "sensitive_bank",
    "creditcardnumber": "sensitive_bank",
    "banknumber": "sensitive_bank",
    "ibancode": "sensitive_bank",
    "nrp": "sensitive_political_religious",
    "specialcategory": "sensitive_other",
}
PERSONAL = ("PII.", "PersonalData.", "General.")  # OpenMetadata's own classifications of personal data
NOT_PERSONAL = {"PII.None", "General.URL", "General.DateTime"}


class Finding(NamedTuple):
    """A column that holds personal data. `path` leads to it, from the outermost name; `tags` as the catalog writes them."""

    path: tuple[str, ...]
    tags: tuple[str, ...]
    detector: str


def openmetadata(found: Any, own_tags: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """Columns of tables, and fields within columns, with a tag of PERSONAL or one of `own_tags`."""
    for table in found.get("data", [found]):
        yield from _openmetadata_columns((table["fullyQualifiedName"],), table["columns"], own_tags)


def _openmetadata_columns(above: tuple[str, ...], columns: Any, own_tags: frozenset[str]) -> Iterator[Finding]:
    for column in columns:
        path = (*above, column["name"])
        given = [tag["tagFQN"] for tag in column.get("tags") or []]
        tags = tuple(tag for tag in given if tag in own_tags or (tag.startswith(PERSONAL) and tag not in NOT_PERSONAL))
        if tags:
            yield Finding(path, tags, "openmetadata")
        yield from _openmetadata_columns(path, column.get("children") or [], own_tags)


def piicatcher(found: Any, _: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """Columns with a type of personal data, which is `{"__enum__": "PiiTypes.PERSON"}` or a word by itself."""
    for schema in found.get("schemata", []):
        for table in schema["tables"]:
            for column in table["columns"]:
                kind = column["pii_type"]
                name = str(kind["__enum__"] if isinstance(kind, dict) else kind).rpartition(".")[2]
                if kind is not None and name.upper() not in ("NONE", "UNSUPPORTED"):
                    names = [name for name in (found["name"], schema["name"], table["name"]) if name]
                    yield Finding((".".join(names), column["name"]), (name,), column["pii_plugin"] or "piicatcher")


def shortened(text: str) -> str:
    """The text itself where it fits into a key. A longer one keeps its beginning and gets a digest of all of it, so that
    two long names stay two keys, and the same name is the same key in every scan."""
    text = unicodedata.normalize("NFC", text)
    if len(text) <= LONGEST_KEY:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{text[: LONGEST_KEY - 33]}#{digest}"


def key_of(path: tuple[str, ...]) -> str:
    """The names joined by "/", where a "/" inside a name is written "~1" (as in a JSON pointer, RFC 6901)."""
    return shortened("/".join(name.replace("~", "~0").replace("/", "~1") for name in path))


def record_of(finding: Finding, declared: dict[str, Any], categories: dict[str, Any], at: str) -> dict[str, Any]:
    """One record. `declared` holds every field that the catalog cannot know."""
    asset, column = finding.path[0], ".".join(finding.path[1:])
    codes: set[str] = set()
    for tag in finding.tags:
        known = categories.get(tag) or CATEGORIES.get(tag.rpartition(".")[2].replace("_", "").lower(), ())
        codes.update([known] if isinstance(known, str) else known)
    fields = {key: value for key, value in declared.items() if key != "match"}
    return {
        "activity_key": key_of(finding.path),
        "name": f"{fields['purpose'][:190]}: {column[-300:]}",
        "source_system": asset.partition(".")[0][:100] or asset[:100],
        "asset": shortened(asset),
        "data_fields": [shortened(column)],
        # a tag without a category is personal data all the same
        "data_categories": sorted(codes) or ["basic_other"],
        "legal_basis": "undetermined",
        "discovered_at": at,
        "attributes": {"detector": finding.detector[:200], "tags": [tag[:128] for tag in finding.tags[:16]]},
        **fields,
    }


def main() -> int:
    """Reads both files and writes NDJSON."""
    readers = {"openmetadata": openmetadata, "piicatcher": piicatcher}
    if len(sys.argv) != 4 or sys.argv[1] not in readers:
        sys.exit(__doc__)
    found, declarations = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[2:])
    categories = declarations.get("categories", {})
    at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    left_out: dict[str, int] = {}
    for finding in readers[sys.argv[1]](found, frozenset(categories)):
        asset = finding.path[0]
        declared = next((each for each in declarations["tables"] if fnmatchcase(asset, each["match"])), None)
        if declared is None:
            left_out[asset] = left_out.get(asset, 0) + 1
            continue
        record = record_of(finding, {**declarations.get("defaults", {}), **declared}, categories, at)
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    for asset, columns in left_out.items():
        print(f"không có khai báo / no declaration: {asset} ({columns})", file=sys.stderr)
    return 3 if left_out else 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `head` has seen enough; the interpreter's own last flush must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # as a shell has it for what SIGPIPE ended
    sys.exit(code)
