"""The id that a new broker's storage is formatted with."""

import base64

from infra.kafka.broker import new_cluster_id


def test_never_looks_like_an_option() -> None:
    made = [new_cluster_id() for _ in range(2_000)]
    assert not [each for each in made if each.startswith("-")]
    assert {len(base64.urlsafe_b64decode(each + "==")) for each in made} == {16}
    assert len(set(made)) == len(made)
