"""What a replay gives is compared with the live table, and every difference is named."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from infra.processes.services import Service
from tests.commands import Commands, Done
from tests.helpers import Database, Publisher, array, changed, new_scan, wait_for
from tests.mixed_scans import mixed_scans
from tests.servers import Servers
from trials import generator

_LETTERS: Final = itertools.count(1)


@pytest.fixture
def scanline(servers: Servers, worker: Service) -> Commands:
    return Commands(servers.env)


def verified(scanline: Commands, *selection: str) -> tuple[Done, dict[str, Any]]:
    done = scanline("replay", *selection, "--verify", "--json")
    assert done.stdout, done.stderr
    return done, json.loads(done.stdout)


def mended_scan(servers: Servers, database: Database, tenant: str) -> str:
    """A scan of which two rejected records came again, mended, and one of the two once more."""
    lines = generator.records(30, 9, tenant)
    scan = new_scan()
    bad = {4: changed(lines[4], legal_basis="because"), 11: changed(lines[11], storage_country="Vietnam")}
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, [bad.get(at, line) for at, line in enumerate(lines)], at_once=10)
        publisher.closed(tenant, scan, 30)
    assert database.finished(tenant, scan)["records_rejected"] == 2
    with Publisher(servers.bootstrap) as publisher:
        publisher.send(tenant, scan, "mended", array([lines[11], lines[4]]), headers=[("ce_mends", b"11,4")])
        publisher.send(tenant, scan, "mended", array([lines[4]]), headers=[("ce_mends", b"4")])
    wait_for(lambda: (database.scan(tenant, scan) or {})["status"] == "completed", "what was mended is stored")
    return scan


def returned_scan(servers: Servers, database: Database, tenant: str) -> str:
    """A scan whose second array could not be read, was claimed by an operator, and was sent again in order."""
    lines = generator.records(20, 10, tenant)
    scan = new_scan()
    with Publisher(servers.bootstrap) as publisher:
        publisher.records(tenant, scan, lines[:10])
        publisher.send(tenant, scan, "records", array(lines[10:])[:-1], first=10)
        publisher.closed(tenant, scan, 20)
    assert database.finished(tenant, scan)["status"] == "failed"
    letter = 99, next(_LETTERS), 1_700_000_000_000
    database.rows(
        "INSERT INTO dead_letter_actions VALUES (%s, %s, %s, 'claimed', %s, %s, 'test', '{}')", *letter, tenant, scan
    )
    header = ("scanline_dead_letter", ":".join(map(str, letter)).encode())
    with Publisher(servers.bootstrap) as publisher:
        for _ in range(2):  # an operator's client may send it twice
            publisher.send(tenant, scan, "records", array(lines[10:]), first=10, headers=[header])
    wait_for(lambda: (database.scan(tenant, scan) or {})["status"] == "completed", "the letter was taken off")
    return scan


@contextmanager
def planted(database: Database, do: str, undo: str, *parameters: Any) -> Iterator[None]:
    """A change behind the pipeline's back, taken back at the end."""
    database.rows(do, *parameters)
    try:
        yield
    finally:
        database.rows(undo)


def test_a_rich_mix_gives_no_difference(scanline: Commands, servers: Servers, database: Database, tenant: str) -> None:
    mixed_scans(servers.bootstrap, database, tenant)
    mended_scan(servers, database, tenant)
    returned_scan(servers, database, tenant)
    done, found = verified(scanline, "--tenant", tenant)
    assert found["differences"] == [] and done.returncode == 0, found
    stored = database.value("SELECT count(*) FROM processing_activities WHERE tenant_id = %s", tenant)
    assert (found["compared"], found["equal"], found["not_comparable"]) == (5, 5, 0)
    assert found["rows_compared"] == found["stored"] == stored


def test_planted_differences_are_named(scanline: Commands, servers: Servers, database: Database, tenant: str) -> None:
    lines = generator.records(40, 3, tenant)
    with Publisher(servers.bootstrap) as publisher:
        scans = sorted(publisher.scan(tenant, lines, at_once=10) for _ in range(4))
    for scan in scans:
        assert database.finished(tenant, scan)["records_stored"] == 40
    keys = database.keys(tenant, scans[0])
    row = "tenant_id = %s AND scan_id = %s AND activity_key = %s"
    database.rows(f"DELETE FROM processing_activities WHERE {row}", tenant, scans[0], keys[3])
    database.rows(
        f"""UPDATE processing_activities SET attributes = attributes || '{{"planted": 1}}' WHERE {row}""",
        tenant,
        scans[1],
        keys[5],
    )
    database.rows(
        "INSERT INTO processing_activities SELECT (p).* FROM (SELECT jsonb_populate_record(p,"
        f""" '{{"activity_key": "planted"}}') AS p FROM processing_activities AS p WHERE {row}) AS q""",
        tenant,
        scans[2],
        keys[0],
    )
    database.rows("UPDATE scans SET records_duplicate = 7 WHERE scan_id = %s", scans[3])
    done, found = verified(scanline, "--tenant", tenant)
    assert done.returncode == 1
    assert (found["compared"], found["equal"], found["different"]) == (4, 0, 4)
    nothing = {"count": 0, "first": []}
    named = [{name: each[name] for name in ("missing", "extra", "altered")} for each in found["differences"]]
    assert [each["scan_id"] for each in found["differences"]] == scans
    assert named == [
        {"missing": {"count": 1, "first": [keys[3]]}, "extra": nothing, "altered": nothing},
        {"missing": nothing, "extra": nothing, "altered": {"count": 1, "first": [keys[5]]}},
        {"missing": nothing, "extra": {"count": 1, "first": ["planted"]}, "altered": nothing},
        {"missing": nothing, "extra": nothing, "altered": nothing},
    ]
    assert [each["rows"] for each in found["differences"]] == [[40, 39], [40, 40], [40, 41], [40, 40]]
    assert found["differences"][3]["counts"] == {"records_duplicate": [0, 7]}
    shown = scanline("replay", "--tenant", tenant, "--verify")
    assert shown.returncode == 1 and scans[0] in shown.stdout and keys[3] in shown.stdout


def test_a_scan_that_nobody_published_and_one_that_is_gone(
    scanline: Commands, servers: Servers, database: Database, tenant: str
) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, generator.records(5, 3, tenant))
    database.finished(tenant, scan)
    other = new_scan()
    for table in ("processing_activities", "scans"):
        database.rows(f"UPDATE {table} SET scan_id = %s WHERE tenant_id = %s", other, tenant)
    done, found = verified(scanline, "--tenant", tenant)
    assert done.returncode == 1
    by_scan = {each["scan_id"]: each for each in found["differences"]}
    assert by_scan[scan]["missing"]["count"] == 5 and by_scan[scan]["rows"] == [5, 0]
    assert by_scan[other]["extra"]["count"] == 5 and by_scan[other]["rows"] == [0, 5]


def test_a_scan_cut_by_the_window_is_not_comparable(
    scanline: Commands, servers: Servers, database: Database, tenant: str
) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, generator.records(40, 3, tenant), at_once=10)
    database.finished(tenant, scan)
    places = database.rows(
        "SELECT kafka_partition AS p, kafka_offset AS o FROM scan_messages WHERE scan_id = %s ORDER BY 2", scan
    )
    for option in ("--from", "--to"):
        done, found = verified(scanline, "--tenant", tenant, option, f"{places[2]['p']}:{places[2]['o']}")
        assert done.returncode == 0
        assert (found["compared"], found["equal"], found["not_comparable"]) == (1, 0, 1)


def test_what_postgresql_itself_refused_is_no_difference(
    scanline: Commands, servers: Servers, database: Database, tenant: str
) -> None:
    lines = generator.records(20, 3, tenant)
    key = json.loads(lines[7])["activity_key"]
    do = """
    CREATE FUNCTION refuse_planted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.tenant_id = '{tenant}' AND NEW.activity_key = '{key}' THEN
      RAISE EXCEPTION 'refused' USING ERRCODE = '23514'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER refuse_planted BEFORE INSERT ON processing_activities FOR EACH ROW EXECUTE FUNCTION refuse_planted()
    """.format(tenant=tenant, key=key.replace("'", "''"))
    undo = "DROP TRIGGER refuse_planted ON processing_activities; DROP FUNCTION refuse_planted()"
    with planted(database, do.replace("%", "%%"), undo):
        with Publisher(servers.bootstrap) as publisher:
            scan = publisher.scan(tenant, lines, at_once=10)
        assert database.finished(tenant, scan)["records_rejected"] == 1
    done, found = verified(scanline, "--tenant", tenant)
    assert found["differences"] == [] and done.returncode == 0, found


def test_files_and_comparison_in_one_go(scanline: Commands, servers: Servers, database: Database, tenant: str) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scan = publisher.scan(tenant, generator.records(30, 3, tenant))
    database.finished(tenant, scan)
    done = scanline("replay", "--tenant", tenant, "--to-ndjson", "--verify")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 30
    assert json.loads(done.stderr)["equal"] == 1
