"""What a user gets done on Kafka: every operation tried by a real call, none of which changes anything that matters.

Each attempt returns the names for which the broker did not refuse it.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from integration.kafka import requests

PATIENCE_S = 30.0
REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
#: What is said once access is granted, as what was asked for is there already, or is not.
ANSWERS = {KafkaError.TOPIC_ALREADY_EXISTS, KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_MEMBER_ID}

Names = Collection[str]
Attempt = Callable[["User", Names], set[str]]


@dataclass(frozen=True, slots=True)
class User:
    """How clients connect as one user."""

    librdkafka: Mapping[str, Any]
    aiokafka: Mapping[str, Any]
    admin: AdminClient  #: what it was asked is lost when it goes


def is_refused(error: KafkaError | None) -> bool:
    """Whether the authorizer said no; any other failure is raised, for it proves nothing."""
    if error is not None and error.code() not in REFUSALS | ANSWERS:
        raise KafkaException(error)
    return error is not None and error.code() in REFUSALS


def _allowed(done: Mapping[Any, Future[Any]]) -> set[str]:
    return {getattr(key, "name", key) for key, future in done.items() if not is_refused(_error(future))}


def _error(future: Future[Any]) -> KafkaError | None:
    error = future.exception(PATIENCE_S)
    if error is not None and not isinstance(error, KafkaException):
        raise error
    return None if error is None else error.args[0]


def describe(user: User, topics: Names) -> set[str]:
    return _allowed(user.admin.describe_topics(TopicCollection(list(topics))))


def create(user: User, topics: Names) -> set[str]:
    wanted = [NewTopic(name, num_partitions=1, replication_factor=1) for name in topics]
    return _allowed(user.admin.create_topics(wanted, validate_only=True))


def alter(user: User, topics: Names) -> set[str]:
    return _allowed(user.admin.create_partitions([NewPartitions(name, 2) for name in topics], validate_only=True))


def delete(user: User, topics: Names) -> set[str]:
    return requests.delete_no_records(user.aiokafka, topics)


def describe_configs(user: User, topics: Names) -> set[str]:
    return _allowed(user.admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in topics]))


def alter_configs(user: User, topics: Names) -> set[str]:
    entry = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
    wanted = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in topics]
    return _allowed(user.admin.incremental_alter_configs(wanted, validate_only=True))


def write(user: User, topics: Names) -> set[str]:
    told: dict[str, KafkaError | None] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        told[message.topic()] = error

    producer = Producer({**user.librdkafka, "message.timeout.ms": int(PATIENCE_S * 1000)})
    for name in topics:
        producer.produce(name, b"attempt", partition=0, on_delivery=delivered)
    assert producer.flush(PATIENCE_S) == 0
    return {name for name, error in told.items() if not is_refused(error)}


def read(user: User, topics: Names) -> set[str]:
    return requests.fetch(user.aiokafka, topics)


#: Operation of Kafka's protocol -> how it is tried on topics.
ON_TOPICS: Mapping[str, Attempt] = {
    "READ": read,
    "WRITE": write,
    "DESCRIBE": describe,
    "CREATE": create,
    "DELETE": delete,
    "ALTER": alter,
    "DESCRIBE_CONFIGS": describe_configs,
    "ALTER_CONFIGS": alter_configs,
}


def describe_group(user: User, groups: Names) -> set[str]:
    return _allowed(user.admin.describe_consumer_groups(list(groups)))


def delete_group(user: User, groups: Names) -> set[str]:
    return _allowed(user.admin.delete_consumer_groups(list(groups)))


def read_group(user: User, groups: Names) -> set[str]:
    """Commit for a group that nobody is in. The broker asks for the group before it asks for the topic."""
    allowed = set()
    for name in groups:
        committed = ConsumerGroupTopicPartitions(name, [TopicPartition("calls.v1", 0, 0)])
        (future,) = user.admin.alter_consumer_group_offsets([committed]).values()
        if not is_refused(_group_error(future)):
            allowed.add(name)
    return allowed


def _group_error(future: Future[Any]) -> KafkaError | None:
    error = _error(future)
    return error if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED else None


ON_GROUPS: Mapping[str, Attempt] = {"READ": read_group, "DESCRIBE": describe_group, "DELETE": delete_group}


def see_rules(user: User) -> bool:
    return requests.see_rules(user.aiokafka)


def delete_rules(user: User) -> bool:
    """Those of a user that there is not."""
    of_nobody = AclBindingFilter(
        *(ResourceType.TOPIC, "none", ResourcePatternType.LITERAL, "User:nobody", "*"),
        *(AclOperation.READ, AclPermissionType.ALLOW),
    )
    (future,) = user.admin.delete_acls([of_nobody]).values()
    return not is_refused(_error(future))


def see_brokers_settings(user: User) -> bool:
    (future,) = user.admin.describe_configs([ConfigResource(ResourceType.BROKER, "1")]).values()
    return not is_refused(_error(future))


def alter_brokers_settings(user: User) -> bool:
    entry = ConfigEntry("log.cleaner.threads", "1", incremental_operation=AlterConfigOpType.SET)
    wanted = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    (future,) = user.admin.incremental_alter_configs([wanted], validate_only=True).values()
    return not is_refused(_error(future))


def create_any_topic(user: User) -> bool:
    return bool(create(user, ["any.other.topic"]))


def follow(user: User) -> bool:
    """Fetch as another broker does; the broker says no topic by topic."""
    return bool(requests.fetch(user.aiokafka, ["calls.v1"], replica=requests.NODE))


#: Operation of Kafka's protocol -> how it is tried on the cluster.
ON_CLUSTER: Mapping[str, Callable[[User], bool]] = {
    "CREATE": create_any_topic,
    "ALTER": delete_rules,
    "DESCRIBE": see_rules,
    "DESCRIBE_CONFIGS": see_brokers_settings,
    "ALTER_CONFIGS": alter_brokers_settings,
    "CLUSTER_ACTION": follow,
}
