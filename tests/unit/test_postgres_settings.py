"""PostgreSQL's settings follow the machine, and docker-compose mounts what the code says."""

from pathlib import Path

import pytest

from infra.postgres.server_settings import CONNECTIONS, GIB, MIB, Machine, compose_conf, settings_for, this_machine

MOUNTED = Path(__file__).parents[2] / "infra/postgres/postgresql.conf"
MACHINES = [
    Machine(memory * GIB // 2, cores, disk * GIB, rotating)
    for memory in (1, 2, 8, 64, 2_000)
    for cores in (1, 2, 16, 128)
    for disk in (5, 100, 4_000)
    for rotating in (False, True)
]


def megabytes(values: dict[str, str], name: str) -> int:
    assert values[name].endswith("MB")
    return int(values[name][:-2])


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_settings_fit_the_machine(machine: Machine) -> None:
    values = {each.name: each.value for each in settings_for(machine, lz4=True)}
    memory, disk = machine.memory_bytes // MIB, machine.disk_bytes // MIB
    shared, work = megabytes(values, "shared_buffers"), megabytes(values, "work_mem")
    assert 128 <= shared <= max(128, memory // 4)
    assert work >= 4 and (work == 4 or work * CONNECTIONS <= memory // 4)
    assert 64 <= megabytes(values, "maintenance_work_mem") <= max(64, memory // 16)
    wal = megabytes(values, "max_wal_size")
    assert 1_024 <= wal <= max(1_024, disk // 10)
    assert 32 <= megabytes(values, "min_wal_size") <= wal // 2
    assert 0 <= int(values["max_parallel_workers_per_gather"]) <= int(values["max_parallel_workers"]) == machine.cores
    assert int(values["autovacuum_max_workers"]) >= 2
    assert (float(values["random_page_cost"]) > 2) == machine.rotating


def test_each_setting_stands_once_and_says_why() -> None:
    settings = settings_for(MACHINES[0], lz4=False)
    assert len({each.name for each in settings}) == len(settings)
    assert all(each.reason for each in settings)
    assert "wal_compression = on" in [f"{each.name} = {each.value}" for each in settings]


def test_more_of_the_machine_is_never_less_of_anything() -> None:
    def sizes(machine: Machine) -> list[int]:
        return [int(each.value[:-2]) for each in settings_for(machine, lz4=True) if each.value.endswith("MB")]

    small, large = sizes(Machine(2 * GIB, 2, 50 * GIB)), sizes(Machine(16 * GIB, 8, 500 * GIB))
    assert all(less <= more for less, more in zip(small, large, strict=True))


def test_the_machine_is_that_of_the_folder(tmp_path: Path) -> None:
    here, whole = this_machine(tmp_path / "not/yet/made"), this_machine(tmp_path, share=1.0)
    assert here.disk_bytes == whole.disk_bytes > 0
    assert here.memory_bytes == pytest.approx(whole.memory_bytes / 4, rel=0.01)


def test_what_compose_mounts_is_what_the_code_says() -> None:
    assert MOUNTED.read_text() == compose_conf(), "make contract"
