"""A URL that names no role is said to lack one, before anything is made."""

import pytest

from infra.errors import InfraError
from infra.postgres.cluster import Urls
from infra.postgres.migrate import prepare_foreign

NAMED = "postgresql://someone:secret@127.0.0.1:9/scanline"
NAMELESS = "postgresql://127.0.0.1:9/scanline"


@pytest.mark.parametrize("which", ["migrate", "write", "read"])
def test_a_role_that_is_to_be_made_needs_a_name(which: str) -> None:
    urls = Urls(**{**dict.fromkeys(("migrate", "write", "read"), NAMED), which: NAMELESS})
    with pytest.raises(InfraError, match="names no user"):
        prepare_foreign(urls, NAMED)


def test_the_migrator_may_be_whoever_connects_where_it_is_not_made() -> None:
    with pytest.raises(InfraError, match="could not be used"):
        prepare_foreign(Urls(NAMELESS, NAMED, NAMED))
