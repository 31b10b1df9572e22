"""PostgreSQL's settings for the machine it runs on, each with its reason: one source for the server that `scanline up`
starts and for the file that docker-compose mounts."""

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil

MIB: Final = 1 << 20
GIB: Final = 1 << 30
CONNECTIONS: Final = 120
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
# Of a machine that PostgreSQL has to itself; beside the broker, the API and the workers it has a quarter.
SHARED_MACHINE: Final = 0.25


class Machine(NamedTuple):
    """What PostgreSQL may use. `disk_bytes` is the size of the file system with the write-ahead log."""

    memory_bytes: int
    cores: int
    disk_bytes: int
    rotating: bool = False


class ServerSetting(NamedTuple):
    """A line of postgresql.conf, and why it says what it says."""

    name: str
    value: str
    reason: str


# What docker-compose's file is written for.
COMPOSE: Final = Machine(memory_bytes=4 * GIB, cores=2, disk_bytes=100 * GIB)


def this_machine(folder: Path, share: float = SHARED_MACHINE) -> Machine:
    """The machine, with `share` of its memory, and the disk that `folder` is on or will be on."""
    memory = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # no control group, or "max"
        memory = min(memory, int(_CGROUP_LIMIT.read_text()))
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return Machine(int(memory * share), psutil.cpu_count() or 1, shutil.disk_usage(existing).total)


def settings_for(machine: Machine, *, lz4: bool, archive: Path | None = None) -> list[ServerSetting]:
    """The settings. `lz4`: the server was built with it. `archive`: a folder for the write-ahead log's segments, from
    which a base backup can be brought forward to any later time."""
    memory, cores = machine.memory_bytes, machine.cores
    # a checkpoint is forced when about half of max_wal_size has been written since the last one
    wal = _within(1 * GIB, machine.disk_bytes // 10, 16 * GIB)
    return [
        ServerSetting("listen_addresses", "'127.0.0.1'", "nobody outside this machine"),
        ServerSetting("password_encryption", "'scram-sha-256'", "the only one that withstands a stolen pg_authid"),
        ServerSetting(
            "max_connections",
            str(CONNECTIONS),
            "two workers with 50 write connections each, or one and its successor; reads; operators",
        ),
        ServerSetting("superuser_reserved_connections", "5", "an operator gets in when the pools have the rest"),
        ServerSetting(
            "shared_buffers",
            _size(_within(128 * MIB, memory // 4, 8 * GIB)),
            "a quarter of the memory: the indexes' pages that COPY touches; beyond, the system's own cache serves as well",
        ),
        ServerSetting("effective_cache_size", _size(memory * 3 // 4), "what planning may take for cached"),
        ServerSetting(
            "work_mem",
            _size(_within(4 * MIB, memory // (4 * CONNECTIONS), 64 * MIB)),
            "a quarter of the memory, if every connection sorts at once",
        ),
        ServerSetting(
            "maintenance_work_mem",
            _size(_within(64 * MIB, memory // 16, 2 * GIB)),
            "vacuum of the large tables' indexes",
        ),
        ServerSetting("wal_buffers", "16MB", "a segment: micro-batches of a megabyte that commit without waiting"),
        ServerSetting(
            "max_wal_size",
            _size(wal),
            "a tenth of the disk, 16 GiB at most (some minutes of recovery): a million records write 0.7 GB, and a"
            " checkpoint that is forced makes commits wait",
        ),
        ServerSetting("min_wal_size", _size(wal // 8), "segments are used again rather than made"),
        ServerSetting(
            "checkpoint_timeout", "15min", "each checkpoint makes full images of every page that changes next"
        ),
        ServerSetting(
            "checkpoint_completion_target", "0.9", "a checkpoint's writes are spread, so that no commit waits"
        ),
        ServerSetting("wal_compression", "lz4" if lz4 else "on", "full-page images only; lz4 costs a fraction of pglz"),
        ServerSetting(
            "synchronous_commit",
            "on",
            "the server's default; the writer's role has it off, where the offsets make that safe",
        ),
        ServerSetting(
            "random_page_cost", "4" if machine.rotating else "1.1", "a solid-state disk reads anywhere alike"
        ),
        ServerSetting(
            "effective_io_concurrency",
            "2" if machine.rotating else "200",
            "reads that a solid-state disk takes at once",
        ),
        ServerSetting("max_parallel_workers", str(cores), "no more than there are cores"),
        ServerSetting(
            "max_parallel_workers_per_gather", str(min(2, cores // 2)), "a report must not take the cores that write"
        ),
        ServerSetting("jit", "off", "compiling takes longer than any query of ours"),
        ServerSetting(
            "autovacuum_max_workers", str(_within(2, cores // 2, 4)), "sixteen partitions, and cores left to write"
        ),
        ServerSetting("autovacuum_naptime", "30s", "small tables that every micro-batch updates"),
        ServerSetting("autovacuum_vacuum_scale_factor", "0.05", "their dead rows, before there are many"),
        ServerSetting("log_min_messages", "warning", "the audit is in tables, not in the log"),
        ServerSetting("log_checkpoints", "on", "which were forced, and how long their writes took"),
        ServerSetting("log_min_error_statement", "panic", "the log repeats no statement that failed: it holds values"),
        ServerSetting("log_error_verbosity", "terse", "nor the row that a constraint refused"),
        ServerSetting("log_line_prefix", "'%m [%p] %a '", "who it was"),
        ServerSetting("timezone", "'UTC'", "as everywhere inside"),
        *([] if archive is None else _archive_settings(archive)),
    ]


def _archive_settings(folder: Path) -> list[ServerSetting]:
    """What PostgreSQL asks of an archive_command (documentation, 26.3.1): success only once the segment is on the disk,
    success for one that is there already, and a refusal where another has its name."""
    there = f'"{folder}/%f"'
    copy = f"cp %p {there}.part && sync {there}.part && mv {there}.part {there}"
    return [
        ServerSetting("archive_mode", "on", "segments are kept elsewhere; takes a restart"),
        ServerSetting(
            "archive_command",
            f"'if test -e {there}; then cmp -s %p {there}; else {copy}; fi'",
            "whole, on the disk, and never over another; put a folder on another machine's disk there",
        ),
        ServerSetting(
            "archive_timeout", "60s", "a quiet server archives each minute: so much may be lost with its disk"
        ),
    ]


def as_conf(settings: Iterable[ServerSetting], head: Sequence[str] = ()) -> str:
    """The text of postgresql.conf; `head` are lines of comment before it."""
    lines = [f"# {line}" for line in head]
    for each in settings:
        lines += ["", f"# {each.reason}", f"{each.name} = {each.value}"]
    return "\n".join(lines) + "\n"


def compose_conf() -> str:
    """The file that docker-compose mounts."""
    return as_conf(
        settings_for(COMPOSE, lz4=True),
        [
            "Generated by infra/postgres/server_settings.py (make contract) for 4 GiB of memory, 2 cores, 100 GiB of SSD.",
            "For another machine: scanline postgres-conf --memory GIB --cores N --disk GIB",
        ],
    )


def _within(least: int, value: int, most: int) -> int:
    return max(least, min(value, most))


def _size(value: int) -> str:
    return f"{value // MIB}MB"
