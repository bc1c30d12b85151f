"""The chart's table of who may do what on Kafka, as the broker's own access rules."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

FILES = Path(__file__).parents[2] / "helm" / "undertone" / "files"
PATIENCE_S = 30

Table = Mapping[str, Mapping[str, Sequence[str]]]  #: user -> word -> names of topics or groups


class Right(NamedTuple):
    """What a user may do, in the words of Kafka's protocol: topic, calls.v1, READ."""

    user: str
    resource: str
    name: str
    operation: str


#: What a site gives those of its own programs that publish calls and follow escalations.
OF_THE_SITE: Table = {"publisher": {"write": ["calls.v1"]}, "subscriber": {"read": ["escalations.v1"]}}


def table() -> Table:
    """What the chart's components may do, and the site's own programs."""
    return {**_file("acls"), **OF_THE_SITE}


def rights(table: Table) -> Iterator[Right]:
    """The table, operation by operation."""
    allows = _file("operations")
    for user, may in table.items():
        for word, names in may.items():
            for operation in allows[word]["operations"]:
                yield from (Right(user, allows[word]["resource"], name, _protocol(operation)) for name in names)


def allow(admin: AdminClient, granted: Collection[Right]) -> None:
    """Make the broker's access rules of them."""
    for done in admin.create_acls([_binding(right) for right in granted]).values():
        done.result(PATIENCE_S)


def _binding(right: Right) -> AclBinding:
    return AclBinding(
        ResourceType[right.resource.upper()],
        right.name,
        ResourcePatternType.LITERAL,
        f"User:{right.user}",
        "*",
        AclOperation[right.operation],
        AclPermissionType.ALLOW,
    )


def _protocol(operation: str) -> str:
    """`DescribeConfigs`, as Strimzi has it, is `DESCRIBE_CONFIGS` in Kafka's protocol."""
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in operation).lstrip("_").upper()


def _file(name: str) -> Table:
    found: Table = yaml.safe_load((FILES / f"{name}.yaml").read_text())
    return found
