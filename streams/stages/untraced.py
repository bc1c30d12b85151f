"""Traces are off: every part is left as it is, and OpenTelemetry is not imported."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from streams.ports import Emotion, OutcomeStore, Sender, Stage


class Untraced:
    """What a traced process does around its parts (`streams.stages.traced`), done by none."""

    def stage(self, stage: Stage) -> Stage:
        """The stage."""
        return stage

    def sender(self, sender: Sender) -> Sender:
        """The way out of segment, label or relay."""
        return sender

    def emotion(self, emotion: Emotion) -> Emotion:
        """The inference service."""
        return emotion

    def outcomes(self, store: OutcomeStore) -> OutcomeStore:
        """The store of the escalate stage."""
        return store

    def trace_of(self, window_id: str) -> str | None:  # noqa: ARG002 - there is none
        """What the outbox keeps, so that the relay can go on with the trace of the window that raised an escalation."""
        return None

    def relaying(self, traces: Mapping[str, str]) -> AbstractContextManager[None]:  # noqa: ARG002 - they are not asked for
        """Around the sending of escalations; `traces` are those that the outbox kept, by the escalation's id."""
        return nullcontext()

    def close(self) -> None:
        """Hand over what is left."""
