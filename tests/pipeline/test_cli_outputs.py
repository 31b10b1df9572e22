"""Every command, on running servers, whatever its output is: a terminal that knows few letters, a full disk, nothing at all."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.processes.services import Service
from tests.command_lines import COMMANDS, STARTS, arguments
from tests.commands import PATIENCE, SCANLINE, environment, written
from tests.forked_commands import NOT_READ, Case, assert_sentences, run_all
from tests.helpers import Database, Publisher, changed
from tests.servers import Servers
from trials import generator

LINES = [path for path in COMMANDS if path != ("tail",)]  # which has no end of its own


@pytest.fixture
def env(
    servers: Servers, api: Service, worker: Service, database: Database, tenant: str, tmp_path: Path
) -> dict[str, str]:
    """Something is stored, so that `rebuild` refuses to begin."""
    with Publisher(servers.bootstrap) as publisher:
        database.finished(tenant, publisher.scan(tenant, generator.records(3, 1)))
    return environment({"SCANLINE_DATA_DIR": str(tmp_path), "SCANLINE_API_URL": api.base_url, **servers.env})


@pytest.fixture
def sample(tmp_path: Path) -> str:
    return str(written(tmp_path, generator.records(3, 1)))


def documents(text: str) -> list[Any]:
    """One document, or one a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.split("\n") if line]


def test_a_terminal_that_knows_ascii_alone(env: dict[str, str], sample: str) -> None:
    more = ([], ["--json"], ["--json", "--no-such-option"])
    cases = [Case([*arguments(path, sample), *options], "ascii") for path in LINES for options in more]
    ended = run_all(cases, env)
    assert_sentences(cases, ended)
    for case, end in zip(cases, ended, strict=True):
        # what goes on to a program as it is, is UTF-8 whatever the terminal
        as_it_is = bool({"--to-ndjson", "--raw"} & set(case.arguments))
        assert end.errors.isascii() and (as_it_is or end.out.isascii()), case
        assert end.out or end.errors, case
        if "--json" in case.arguments and not as_it_is:
            (document,) = documents(end.out) or [None]
            # those two tell what they found with exit code 1 too
            if end.code == 0 or (isinstance(document, list) and case.arguments[0] in {"doctor", "statuses"}):
                assert document is not None and "error" not in document, case
            else:
                assert document["error"]["vi"] and document["error"]["en"], (case, end)
    good = {case.arguments[0] for case, end in zip(cases, ended, strict=True) if end.code == 0}
    # `setup` alone wants a superuser, whom these commands do not know
    assert {"lag", "status", "publish", "topics", "migrate", "dlq", "offsets", "replay"} <= good
    assert not STARTS & good


@pytest.mark.parametrize("output", ["closed", "/dev/full"])
def test_an_output_that_takes_nothing(env: dict[str, str], sample: str, output: str) -> None:
    cases = [Case([*arguments(path, sample), "--json"], output=output) for path in LINES]
    cases += [Case(["status", "--tenant", "nobody"], output=output), Case(["--help"], output=output)]
    ended = run_all(cases, env)
    assert_sentences(cases, ended)
    codes = {
        end.code for case, end in zip(cases, ended, strict=True) if case.arguments[0] in ("lag", "topics", "--help")
    }
    assert codes == ({0} if output == "closed" else {1})


def test_an_output_that_nobody_reads_any_more(env: dict[str, str], sample: str) -> None:
    """As for every program that SIGPIPE ends. An error stays the error that it is."""
    alone = {("dlq", "retry"), ("dlq", "drop")}  # of these one at a time is let in
    lines = [[*arguments(path, sample), *more] for path in LINES if path not in alone for more in ([], ["--json"])]
    lines += [["--help"], ["status", "--help"]]
    read = [Case(line) for line in lines]
    unread = [Case(line, output="unread") for line in (*lines, ["tail", "--from-start"])]
    ended, cut_off = run_all(read, env), run_all(unread, env)
    assert_sentences(read, ended)
    assert_sentences(unread, cut_off)
    assert cut_off.pop().code == NOT_READ
    printing = [bool(end.out) and not end.out.startswith('{"error"') for end in ended]
    wanted = [NOT_READ if prints else end.code for prints, end in zip(printing, ended, strict=True)]
    wrong = [each for each in zip(lines, wanted, ended, cut_off, strict=True) if each[1] != each[3].code]
    assert not wrong
    assert sum(printing) > 15


def test_of_many_lines_the_first_alone_is_read(
    env: dict[str, str], servers: Servers, database: Database, tenant: str
) -> None:
    with Publisher(servers.bootstrap) as publisher:
        lines = generator.records(4_000, 2, tenant)
        scan = publisher.scan(tenant, lines[:2_000] + [changed(line, purpose="") for line in lines[2_000:]])
        database.finished(tenant, scan)
    for line in (
        ["errors", scan, "--tenant", tenant],
        ["errors", scan, "--tenant", tenant, "--json"],
        ["replay", "--tenant", tenant, "--to-ndjson", "--nice", "0"],
    ):
        shell = ["bash", "-c", '"$@" | head -1; exit "${PIPESTATUS[0]}"', "-", str(SCANLINE), *line]
        done = subprocess.run(shell, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (done.returncode, done.stdout.count("\n")) == (NOT_READ, 1), (line, done)
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, (line, done.stderr)
