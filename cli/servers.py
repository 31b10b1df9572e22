"""`scanline setup`, `migrate` and `topics`: servers made ready for the processes."""

from pathlib import Path

import typer

from cli.options import Json
from cli.output import show, stderr
from infra.errors import InfraError
from infra.kafka.topics import reconcile, specs
from infra.postgres.cluster import Urls
from infra.postgres.migrate import current_revision, prepare_foreign, roles_behind, upgrade
from infra.postgres.server_settings import GIB, Machine, as_conf, compose_conf, settings_for, this_machine
from infra.settings import InfraSettings


def service_urls(settings: InfraSettings) -> Urls:
    """The URLs of the roles, the monitor's where it is set. Raises InfraError where one of the others is missing."""
    monitor = settings.postgres_monitor_url
    return Urls(
        settings.url("migrate"),
        settings.url("write"),
        settings.url("read"),
        monitor.get_secret_value() if monitor else None,
    )


def migrate(
    url: str = typer.Option(
        "",
        envvar="SCANLINE_POSTGRES_MIGRATE_URL",
        help="URL SQLAlchemy của vai trò migrator / SQLAlchemy URL of the migrator",
    ),
    json: Json = False,
) -> None:
    """Đưa các bảng lên phiên bản mới nhất. / Bring the tables up to date."""
    settings = InfraSettings()
    url = url or settings.url("migrate")
    upgrade(url)
    given = (settings.postgres_write_url, settings.postgres_read_url, settings.postgres_monitor_url)
    behind = roles_behind(url, [each.get_secret_value() for each in given if each])
    show([{"revision": current_revision(url)}], title="migrate", as_json=json)
    for role in behind:
        stderr.print(
            f"Vai trò {role} chưa có đủ cấu hình, và không ai ở đây có quyền đặt; xem `scanline doctor`. / The role {role} lacks"
            " some of its settings, and nobody here may give them; see `scanline doctor`."
        )


def topics(
    bootstrap: str = typer.Option(
        "", envvar="SCANLINE_KAFKA_BOOTSTRAP", help="Kafka ở đâu / where Kafka is: host:port"
    ),
    dry_run: bool = typer.Option(False, help="chỉ cho biết khác biệt / only say what differs"),
    json: Json = False,
) -> None:
    """Tạo hoặc điều chỉnh các topic, và cho biết khác biệt. / Create or reconcile the topics; say what differs."""
    settings = InfraSettings()
    changes = reconcile(
        bootstrap or settings.kafka_bootstrap,
        specs(settings.kafka_partitions, min(2, settings.kafka_replication)),
        apply=not dry_run,
        replication=settings.kafka_replication,
    )
    rows = [change._asdict() for change in changes]
    show(rows, title="topics", as_json=json, empty="không có khác biệt / nothing differs")
    if any(not change.applied for change in changes) and not dry_run:
        raise InfraError.of("topics_differ")


def postgres_conf(
    memory: float | None = typer.Option(
        None, min=0.5, help="GiB bộ nhớ cho PostgreSQL / GiB for PostgreSQL; a quarter of this machine's"
    ),
    cores: int | None = typer.Option(None, min=1, help="số lõi / processor cores; this machine's"),
    disk: float | None = typer.Option(
        None, min=1, help="GiB của ổ đĩa chứa WAL / GiB of the disk with the write-ahead log; this one's"
    ),
    rotating: bool = typer.Option(False, help="ổ đĩa quay / the disk is no solid-state disk"),
    archive: str = typer.Option("", help="thư mục lưu trữ WAL / a folder that the write-ahead log is archived to"),
    compose: bool = typer.Option(False, help="tệp mà docker-compose dùng / the file that docker-compose mounts"),
) -> None:
    """Cấu hình PostgreSQL hợp với một máy, kèm lý do. / PostgreSQL's settings for a machine, each with its reason."""
    if compose:
        print(compose_conf(), end="")
        return
    here = this_machine(InfraSettings().data_dir)
    machine = Machine(
        here.memory_bytes if memory is None else int(memory * GIB),
        cores or here.cores,
        here.disk_bytes if disk is None else int(disk * GIB),
        rotating,
    )
    sizes = f"{machine.memory_bytes / GIB:.1f} GiB, {machine.cores} cores, {machine.disk_bytes / GIB:.0f} GiB of disk"
    settings = settings_for(machine, lz4=True, archive=Path(archive).absolute() if archive else None)
    print(as_conf(settings, [f"PostgreSQL for {sizes} (scanline postgres-conf)"]), end="")


def setup(json: Json = False) -> None:
    """Vai trò, bảng và topic trên máy chủ có sẵn. / Roles, tables and topics on servers that exist already."""
    settings = InfraSettings()
    admin = settings.postgres_admin_url
    prepare_foreign(service_urls(settings), admin.get_secret_value() if admin else None)
    changes = reconcile(
        settings.kafka_bootstrap,
        specs(settings.kafka_partitions, min(2, settings.kafka_replication)),
        apply=True,
        replication=settings.kafka_replication,
    )
    show([change._asdict() for change in changes], title="setup", as_json=json, empty="ok")
