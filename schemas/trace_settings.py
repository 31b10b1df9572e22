"""Where traces go: nowhere, unless a setting names a collector on a host that another setting allows."""

from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

_SCHEMES: Final = frozenset({"http", "https"})


class TraceSettings(BaseSettings):
    """The settings of API and worker alike."""

    traces_hosts: str = Field("127.0.0.1,::1,localhost", description="hosts that traces may go to, host[,host]")
    traces_endpoint: str | None = Field(
        None, description="collector of OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces; none: no traces"
    )

    @field_validator("traces_endpoint")
    @classmethod
    def _is_allowed(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Refuses a host that is not named: traces stay in the country, whatever is mistyped."""
        if not value:
            return None
        hosts = [host.strip() for host in str(info.data.get("traces_hosts", "")).split(",")]
        address = urlsplit(value)
        if address.scheme not in _SCHEMES or address.hostname not in hosts:
            raise ValueError("not an address of an allowed host")
        return value
