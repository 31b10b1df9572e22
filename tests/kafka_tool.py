"""Kafka's own command for consumer groups, from the broker's jars."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from infra.settings import InfraSettings


class GroupRow(NamedTuple):
    """A partition as the tool describes it; None where it shows a dash."""

    committed: int | None
    end: int
    lag: int | None
    member: str | None
    host: str | None
    client: str | None


def described(bootstrap: str, group: str, topic: str, folder: Path) -> dict[int, GroupRow]:
    """`kafka-consumer-groups.sh --describe`, by partition. `folder`: nothing is written there."""
    settings = InfraSettings()
    tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    command = [settings.java(), "-XX:TieredStopAtLevel=1", "-cp", f"{settings.kafka_libs.resolve()}/*", tool]
    command += ["--bootstrap-server", bootstrap, "--describe", "--group", group, "--timeout", "60000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=folder)
    found = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if words[:2] == [group, topic]:
            partition, committed, end, lag, member, host, client = (
                None if word == "-" else word for word in words[2:9]
            )
            found[int(partition or -1)] = GroupRow(
                None if committed is None else int(committed),
                int(end or -1),
                None if lag is None else int(lag),
                member,
                None if host is None else host.lstrip("/"),
                client,
            )
    assert found, done.stdout + done.stderr
    return found
