"""What a cluster's controllers and nodes would do about hooks: jobs end and pods end. No container is run."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from cluster.conftest import Namespace, pod_object

_EVERY_S = 0.3


@contextmanager
def hooks_end(namespace: Namespace, failing: str = "") -> Iterator[list[str]]:
    """Let each job and each pod of the namespace succeed, that of one component fail; yields who has ended.

    A job fails too, and the reason is yielded, where the server does not admit the pod of its template. The namespace
    gets its account, and may come later.
    """
    ended: list[str] = []
    over = threading.Event()

    def work() -> None:
        while not over.wait(_EVERY_S):
            namespace.ask("kubectl", "create", "serviceaccount", "default")
            for each in namespace.listed("jobs,pods"):
                if not _has_ended(each):
                    refusal = _refusal(namespace, each)
                    ended.append(refusal or _component(each))
                    _end(namespace, each, fails=bool(refusal) or _component(each) == failing)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield ended
    finally:
        over.set()
        thread.join()


def _component(made: Mapping[str, Any]) -> str:
    return str(made["metadata"]["labels"]["app.kubernetes.io/component"])


def _has_ended(made: Mapping[str, Any]) -> bool:
    status = made.get("status", {})
    return "conditions" in status or status.get("phase") not in {None, "Pending"}


def _refusal(namespace: Namespace, made: Mapping[str, Any]) -> str:
    """Why there can be no pod of a job; empty where there can, and for a pod, which is there."""
    if made["kind"] == "Pod":
        return ""
    template = made["spec"]["template"]
    ended = namespace.create(pod_object(template["metadata"], template["spec"]), dry=True)
    return ended.stderr if ended.returncode else ""


def _end(namespace: Namespace, made: Mapping[str, Any], *, fails: bool) -> None:
    status = _job_status(made, fails=fails) if made["kind"] == "Job" else {"phase": "Failed" if fails else "Succeeded"}
    name = f"{made['kind']}/{made['metadata']['name']}"
    command = ("kubectl", "patch", name, "--subresource=status", "--type=merge", "--patch-file=/dev/stdin")
    namespace.told(*command, given=[{"status": status}])


def _job_status(job: Mapping[str, Any], *, fails: bool) -> dict[str, object]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ends = ("FailureTarget", "Failed") if fails else ("SuccessCriteriaMet", "Complete")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ends]
    counted = {"failed": job["spec"]["backoffLimit"] + 1} if fails else {"succeeded": 1, "completionTime": now}
    return {"startTime": now, "conditions": conditions, **counted}
