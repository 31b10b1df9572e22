"""Whatever path or setting a command is given, it ends with a sentence and never with a traceback."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from cli.commands import Commands, app
from tests.command_lines import COMMANDS, arguments
from tests.commands import environment
from tests.forked_commands import Case, assert_sentences, run_all
from trials import generator

_AWAY: Final = "127.0.0.1:9"


def _bad_paths(folder: Path) -> list[str]:
    loop = folder / "loop"
    loop.symlink_to(loop)
    file = folder / "file"
    file.write_text("no JSON")
    return [
        str(file / "x"),
        "/proc/nothing/x",
        str(loop / "x"),
        str(folder / ("x" * 300)),
        str(folder / "missing" / "\udcff"),
        "/dev/full",
        str(file),
        str(folder),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def sample(folder: Path) -> str:
    path = folder / "scan.ndjson"
    path.write_bytes(generator.ndjson(generator.records(3, 1)))
    return str(path)


@pytest.fixture(scope="module")
def env(folder: Path) -> dict[str, str]:
    """No server answers."""
    url = f"postgresql+psycopg2://x:secret@{_AWAY}/x"
    urls = {f"SCANLINE_POSTGRES_{role}_URL": url for role in ("WRITE", "READ", "MIGRATE")}
    own = {"SCANLINE_KAFKA_BOOTSTRAP": _AWAY, "SCANLINE_API_URL": f"http://{_AWAY}", "SCANLINE_DATA_DIR": str(folder)}
    return environment({**urls, **own})


def test_a_path_that_cannot_be_used(env: dict[str, str], sample: str, tmp_path: Path) -> None:
    bad = _bad_paths(tmp_path)
    cases = []
    for path, command in COMMANDS.items():
        for parameter in command.params:
            if parameter.type_descriptor.annotation is not Path:
                continue
            for place in bad if path != ("dlq", "show") else bad[:1]:  # Kafka is asked for the letter first
                if parameter.name == "data_dir" and place == str(tmp_path):
                    continue  # a folder is what it takes
                if parameter.name in ("file", "results") and place == "/dev/full":
                    continue  # to be read it has no end
                line = arguments(path, sample, parameter.name)
                line += [place] if parameter.param_type_name == "argument" else [parameter.opts[0], place]
                cases.append(Case(line))
    assert len(cases) > 80
    ended = run_all(cases, env)
    assert_sentences(cases, ended)
    for case, end in zip(cases, ended, strict=True):
        assert end.code != 0, case
        assert len(end.errors.splitlines()) >= 2, (case, end)  # both languages


def test_a_setting_that_cannot_be_used(env: dict[str, str]) -> None:
    """Its name is told, and never its value."""
    scan = ["--tenant", "tenant-a", "--json"]
    database = [["migrate", "--json"], ["setup", "--json"]]
    wrong: list[tuple[str, str, list[list[str]]]] = [
        ("SCANLINE_KAFKA_PARTITIONS", "secret", [["topics", "--json"], ["lag", "--json"], ["status", *scan]]),
        ("SCANLINE_POSTGRES_MIGRATE_URL", "secret", database),
        ("SCANLINE_POSTGRES_MIGRATE_URL", f"mysql://x:secret@{_AWAY}/x", database),
        ("SCANLINE_POSTGRES_WRITE_URL", "secret", [["dlq", "allow", "--partition", "0", "--count", "1", "--json"]]),
        ("SCANLINE_API_URL", "nonsense", [["status", *scan]]),
        ("SCANLINE_API_URL", "http://[::", [["status", *scan]]),
        ("SCANLINE_DATA_DIR", "/dev/null/x", [["status", *scan], ["doctor", "--settings", "--json"], ["up", "--json"]]),
    ]
    cases = [Case(line, settings={name: value}) for name, value, lines in wrong for line in lines]
    ended = run_all(cases, env)
    assert_sentences(cases, ended)
    for case, end in zip(cases, ended, strict=True):
        assert case.arguments[0] == "doctor" or "error" in json.loads(end.out), (case, end)


def _loaded_by(*arguments: str, **settings: str) -> set[str]:
    """The packages that are loaded when `scanline` has ended."""
    code = """
import sys
from cli import main
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(settings))
    assert "Traceback" not in done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_the_list_of_commands_loads_none_of_them() -> None:
    found = _loaded_by("--help")
    assert {"cli", "typer"} <= found
    assert not {"operations", "trials", "producer_api", "stream_app"} & found
    assert not {"pydantic", "sqlalchemy", "confluent_kafka", "httpx", "msgspec", "asyncio"} & found


def test_a_command_loads_nothing_of_others() -> None:
    """Neither to say what it does nor to be run. It stops at a setting here, which it reads when all of its own is loaded."""
    for found in (_loaded_by("lag", "--help"), _loaded_by("lag", SCANLINE_KAFKA_PARTITIONS="0")):
        assert {"operations", "confluent_kafka", "psycopg2"} <= found
        assert not {"trials", "sqlalchemy", "alembic", "httpx", "aiokafka", "producer_api"} & found
        assert not {"pydantic", "pydantic_settings", "msgspec", "dotenv"} & found


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_list_says_what_the_command_says_itself(path: tuple[str, ...]) -> None:
    group = app
    for name in path[:-1]:
        inner = group.load(name)
        assert isinstance(inner, Commands)
        group = inner
    said = group.load(path[-1]).help
    assert said is not None
    assert inspect.cleandoc(said).split("\n\n")[0] == group.commands[path[-1]].help


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_explained_in_both_languages(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        vi, _, en = (parameter.help or "").partition(" / ")
        assert parameter.name == "help" or (vi and en and vi != en), parameter.name


# what is typed, and the option or argument that the answer names
_WRONG: Final = {
    "nope": "nope",
    "dlq lst": "lst",
    "lag --nope": "--nope",
    "--nope": "--nope",
    "lag extra": "extra",
    "status --tenat x": "--tenat",
    "status": "--tenant",
    "status --tenant": "--tenant",
    "status --tenant x --limit many": "--limit",
    "status --tenant x --limit 0": "--limit",
    "status --tenant x --state complete": "--state",
    "publish": "file",
    "publish x --tenant x --wait soon": "--wait",
    "publish x --tenant x --follow=yes": "--follow",
    "offsets reset --all --to beginning": "--to",
    "dlq show 0:1 --preview 65537": "--preview",
    "replay --nice 30": "--nice",
    "soak --minutes 0.1": "--minutes",
}


def test_a_wrong_use_is_reported_in_both_languages_with_the_name_that_was_typed(env: dict[str, str]) -> None:
    cases = [Case(line.split()) for line in _WRONG]
    cases += [
        Case([*line.split(), "--json"]) for line in _WRONG if not line.endswith("--tenant")
    ]  # whose value it were
    ended = run_all(cases, env)
    assert_sentences(cases, ended)
    for case, end in zip(cases, ended, strict=True):
        name = _WRONG[" ".join(case.arguments).removesuffix(" --json")]
        vi, en = end.errors.splitlines()[:2]
        assert end.code == 2 and name in vi and name in en and vi != en, (case, end)
        if case.arguments[-1] != "--json":
            assert not end.out, (case, end)
        else:
            error = json.loads(end.out)["error"]
            assert (error["code"], error["parameter"]) == ("usage", name), case
            assert (error["vi"], error["en"]) == (vi, en)
    (near,) = [end for case, end in zip(cases, ended, strict=True) if case.arguments == ["status", "--tenat", "x"]]
    assert "Có phải «--tenant»?" in near.errors and "Did you mean «--tenant»?" in near.errors
    assert "scanline status --help" in near.errors


def test_every_option_with_a_number_refuses_what_is_none(env: dict[str, str]) -> None:
    numbers = [
        (path, each)
        for path, command in COMMANDS.items()
        for each in command.params
        if each.type_descriptor.annotation in (int, float, int | None)
    ]
    cases = [Case([*arguments(path, "file", each.name), each.opts[0], "ba"]) for path, each in numbers]
    assert len(cases) > 20
    for case, end in zip(cases, run_all(cases, env), strict=True):
        assert end.code == 2 and case.arguments[-2] in end.errors and "số" in end.errors, (case, end)


@pytest.mark.parametrize("role", ["write", "migrate"])
def test_a_missing_url_is_reported_in_the_same_words_by_every_command(role: str, folder: Path) -> None:
    lines = {
        "write": [
            "dlq allow --partition 0 --count 1",
            "offsets reset --all --to earliest",
            "dlq drop 0:1 --because x --yes",
        ],
        "migrate": ["migrate", "setup", "rebuild"],
    }
    cases = [Case([*line.split(), "--json"]) for line in lines[role]]
    ended = run_all(cases, environment({"SCANLINE_DATA_DIR": str(folder), "SCANLINE_KAFKA_BOOTSTRAP": _AWAY}))
    assert_sentences(cases, ended)
    name = f"SCANLINE_POSTGRES_{role.upper()}_URL"
    for end in ended:
        error = json.loads(end.out)["error"]
        assert error["vi"] == f"Thiếu {name}; hãy đặt biến này, hoặc chạy `scanline up`."
        assert error["en"] == f"{name} is missing; set it, or run `scanline up`."
