"""Each component may do on Kafka what the chart's table says, and nothing else: every operation is tried as each."""

import asyncio
import time
from collections.abc import Iterator
from itertools import product

import pytest
from confluent_kafka import KafkaException
from integration.kafka import attempts
from integration.kafka.guarded import STRANGER, Guarded, running_guarded
from integration.kafka.requests import become_producer

from ops.secured import acls
from ops.secured.keys import ADMIN, Mechanism
from streams import app, topics
from streams.kafka.admin import apply_topics

FOREIGN = "billing.v1"  #: somebody else's topic, for which there is no rule
TOPICS = [*(topic.name for topic in topics.TOPICS), FOREIGN]
GROUPS = [*(app.group(stage) for stage in app.SOURCES), "billing"]
USERS = [*acls.table(), STRANGER]
MECHANISMS: list[Mechanism] = ["SASL_SSL", "SSL"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A broker with the chart's users, topics made by the one who may, and a record in each topic."""
    with running_guarded(tmp_path_factory.mktemp("guarded")) as guarded:
        asyncio.run(apply_topics(guarded.settings("topics", "SSL")))
        asyncio.run(apply_topics(guarded.settings(ADMIN, "SSL"), [topics.Topic(FOREIGN, {})]))
        admin = guarded.user(ADMIN, "SSL")
        assert attempts.write(admin, TOPICS) == set(TOPICS)
        until_there_are_groups(admin)
        yield guarded


def until_there_are_groups(admin: attempts.User) -> None:
    """The first question about a group makes the topic that groups are kept in."""
    for _ in range(300):
        try:
            attempts.describe_group(admin, GROUPS)
        except KafkaException:
            time.sleep(0.1)
        else:
            return
    pytest.fail("there is no coordinator of groups")


def due(resource: str, user: str) -> set[tuple[str, str]]:
    """Name and operation of what the table allows."""
    return {
        (right.name, right.operation)
        for right in acls.rights(acls.table())
        if (right.resource, right.user) == (resource, user)
    }


@pytest.mark.parametrize(("user", "mechanism"), list(product(USERS, MECHANISMS)))
def test_of_all_operations_on_all_topics_a_user_gets_done_what_the_table_says(
    guarded: Guarded, user: str, mechanism: Mechanism
) -> None:
    who = guarded.user(user, mechanism)
    done = {(name, operation) for operation, attempt in attempts.ON_TOPICS.items() for name in attempt(who, TOPICS)}
    assert done == due("topic", user)


@pytest.mark.parametrize("user", USERS)
def test_a_user_reads_by_the_group_that_the_table_names_and_by_no_other(guarded: Guarded, user: str) -> None:
    who = guarded.user(user, "SSL")
    done = {(name, operation) for operation, attempt in attempts.ON_GROUPS.items() for name in attempt(who, GROUPS)}
    assert done == due("group", user)


@pytest.mark.parametrize("user", USERS)
def test_nobody_in_the_table_touches_the_cluster_or_writes_in_transactions(guarded: Guarded, user: str) -> None:
    who = guarded.user(user, "SASL_SSL")
    assert [operation for operation, attempt in attempts.ON_CLUSTER.items() if attempt(who)] == []
    assert not become_producer(who.aiokafka, "in-transactions")


@pytest.mark.parametrize("user", USERS)
def test_who_may_write_a_topic_writes_idempotently_and_nobody_else(guarded: Guarded, user: str) -> None:
    may_write = any(operation == "WRITE" for _, operation in due("topic", user))
    assert become_producer(guarded.user(user, "SSL").aiokafka) is may_write


def test_the_admin_gets_everything_done_so_no_attempt_fails_for_another_reason(guarded: Guarded) -> None:
    who = guarded.user(ADMIN, "SSL")
    assert [name for name, attempt in attempts.ON_TOPICS.items() if attempt(who, TOPICS) != set(TOPICS)] == []
    assert [name for name, attempt in attempts.ON_GROUPS.items() if attempt(who, GROUPS) != set(GROUPS)] == []
    assert [name for name, attempt in attempts.ON_CLUSTER.items() if not attempt(who)] == []
    assert become_producer(who.aiokafka, "in-transactions")
    assert become_producer(who.aiokafka)


def test_a_right_beside_the_table_is_found(guarded: Guarded) -> None:
    acls.allow(guarded.user(ADMIN, "SSL").admin, [acls.Right(STRANGER, "topic", FOREIGN, "ALTER")])
    who = guarded.user(STRANGER, "SSL")
    assert attempts.alter(who, TOPICS) == {FOREIGN}
    assert attempts.describe(who, TOPICS) == {FOREIGN}  # which comes with it
