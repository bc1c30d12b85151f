"""Who may talk to whom: every edge that there is, and no other."""

from collections.abc import Mapping
from typing import Any

import pytest
from deployment.conftest import Document, Render, of_kind, pod, pods

pytestmark = pytest.mark.needs("helm")

ANY = [{"namespaceSelector": {}}]
DNS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]
OUT = {
    "segment": {"dns", "kafka", "postgres"},
    "label": {"dns", "kafka", "postgres", "inference"},
    "escalate": {"dns", "kafka", "postgres"},
    "relay": {"dns", "kafka", "postgres"},
    "inference": set(),
    "trial": {"dns", "kafka", "postgres"},
    "migrate": {"dns", "postgres"},
    "topics": {"dns", "kafka"},
}
STAGES = ("segment", "label", "escalate", "relay")
PORTS = {53: "dns", 9093: "kafka", 5432: "postgres", 8000: "inference", 443: "download", 4318: "traces"}


def policies(documents: tuple[Document, ...]) -> dict[str, Mapping[str, Any]]:
    found = of_kind(documents, "NetworkPolicy")
    return {name.removeprefix("site-undertone-"): each["spec"] for name, each in found.items()}


def selects(policy: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return bool(policy["podSelector"]["matchLabels"].items() <= labels.items())


def leads(policy: Mapping[str, Any]) -> set[str]:
    return {PORTS[port["port"]] for rule in policy["egress"] for port in rule["ports"]}


def test_every_pod_is_denied_everything_first(render: Render) -> None:
    deny = policies(render())["deny"]
    assert deny.keys() == {"podSelector", "policyTypes"}
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert all(selects(deny, each.metadata["labels"]) for each in pods(render()))


def test_each_component_has_the_edges_that_it_needs_and_no_other(render: Render) -> None:
    found = policies(render())
    assert {name: leads(policy) for name, policy in found.items() if name != "deny"} == OUT
    for name, policy in found.items():
        if name != "deny":
            others = [other for other in OUT if selects(policy, pod(render(), other).metadata["labels"])]
            assert others == [name]


def test_an_edge_leads_where_the_values_say(render: Render) -> None:
    for policy in policies(render("claim-values.yaml")).values():
        for rule in policy.get("egress", []):
            where = {PORTS[port["port"]] for port in rule["ports"]}
            if where == {"kafka"}:
                assert rule["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
            if where == {"postgres"}:
                assert rule["to"] == [{"ipBlock": {"cidr": "198.51.100.7/32"}}]
            if where == {"dns"}:
                assert rule["to"] == DNS


def test_nothing_leaves_the_cluster_unless_the_values_say_so(render: Render) -> None:
    for policy in policies(render()).values():
        for rule in policy.get("egress", []):
            assert rule["to"] in (ANY, DNS) or "podSelector" in rule["to"][0]


def test_label_alone_may_ask_inference(render: Render) -> None:
    (rule,) = policies(render())["inference"]["ingress"]
    (peer,) = rule["from"]
    assert [port["port"] for port in rule["ports"]] == [8000]
    asking = [
        each.component
        for each in pods(render())
        if peer["podSelector"]["matchLabels"].items() <= each.metadata["labels"].items()
    ]
    assert asking == ["label"]
    assert all(
        policy["ingress"] == [] for name, policy in policies(render()).items() if name not in {"deny", "inference"}
    )


def test_metrics_are_read_by_those_whom_the_values_name(render: Render) -> None:
    found = policies(render("watched-values.yaml"))
    for name in ("segment", "label", "escalate", "relay", "inference"):
        rule = found[name]["ingress"][0]
        assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
        port = pod(render("watched-values.yaml"), name).container["ports"][0]["containerPort"]
        assert [each["port"] for each in rule["ports"]] == [port]
    assert found["trial"]["ingress"] == found["migrate"]["ingress"] == []


def test_inference_leads_out_only_where_it_is_asked_to_load_something(render: Render) -> None:
    assert leads(policies(render("download-values.yaml"))["inference"]) == {"dns", "download"}
    for file in ("gpu-values.yaml", "claim-values.yaml"):
        assert leads(policies(render(file))["inference"]) == set()


def test_the_stages_lead_to_a_collector_only_where_one_is_named(render: Render) -> None:
    found = {name: leads(policy) for name, policy in policies(render("watched-values.yaml")).items() if name != "deny"}
    assert found == {name: to | ({"traces"} if name in STAGES else set()) for name, to in OUT.items()}


def test_the_policy_of_a_hook_is_there_before_its_job_and_gone_with_it(render: Render) -> None:
    for component in ("migrate", "topics"):
        policy = of_kind(render(), "NetworkPolicy")[f"site-undertone-{component}"]["metadata"]["annotations"]
        job = of_kind(render(), "Job")[f"site-undertone-{component}"]["metadata"]["annotations"]
        assert policy["helm.sh/hook"] == job["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(policy["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])
        assert policy["helm.sh/hook-delete-policy"] == job["helm.sh/hook-delete-policy"]
        assert "hook-succeeded" in policy["helm.sh/hook-delete-policy"]
