"""`scanline setup`, `migrate` and `topics`: servers made ready for the processes."""

import typer

from cli.options import Json
from cli.output import show
from infra.errors import InfraError
from infra.kafka.topics import reconcile, specs
from infra.postgres.cluster import Urls
from infra.postgres.migrate import current_revision, prepare_foreign, upgrade
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
    url = url or InfraSettings().url("migrate")
    upgrade(url)
    show([{"revision": current_revision(url)}], title="migrate", as_json=json)


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
