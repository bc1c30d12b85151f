"""What each switch of the values turns on and off, and nothing else."""

from collections.abc import Callable

import pytest
from deployment.conftest import Document, Render, of_kind, pod, pods

pytestmark = pytest.mark.needs("helm")

Names = set[tuple[str, str]]


def names(documents: tuple[Document, ...]) -> Names:
    return {(each["kind"], each["metadata"]["name"].removeprefix("site-undertone")) for each in documents}


def more(render: Render, *sets: str) -> tuple[Names, Names]:
    """What comes and what goes with these values."""
    before, after = names(render()), names(render("default-values.yaml", "--set", ",".join(sets)))
    return after - before, before - after


STAGES = ("-segment", "-label", "-escalate")


@pytest.mark.parametrize(
    ("values", "comes", "goes"),
    [
        ("keda.enabled=true", {("ScaledObject", stage) for stage in STAGES}, set()),
        (
            "serviceMonitor.enabled=true,networkPolicy.prometheus.from[0].podSelector.matchLabels.app=prometheus",
            {("ServiceMonitor", "")},
            set(),
        ),
        ("prometheusRule.enabled=true", {("PrometheusRule", "")}, set()),
        ("serviceAccount.create=false", set(), {("ServiceAccount", "")}),
        ("migrations.enabled=false", set(), {("Job", "-migrate"), ("NetworkPolicy", "-migrate")}),
        ("topics.enabled=false", set(), {("Job", "-topics"), ("NetworkPolicy", "-topics")}),
        (
            "podDisruptionBudgets.enabled=false",
            set(),
            {("PodDisruptionBudget", each) for each in (*STAGES, "-relay", "-inference")},
        ),
        (
            "networkPolicy.enabled=false",
            set(),
            {
                ("NetworkPolicy", each)
                for each in (*STAGES, "-relay", "-inference", "-trial", "-migrate", "-topics", "-deny")
            },
        ),
    ],
)
def test_a_switch_brings_or_takes_its_own_objects(values: str, comes: Names, goes: Names, render: Render) -> None:
    assert more(render, values) == (comes, goes)


def test_everything_that_needs_an_operator_is_off_at_first(render: Render) -> None:
    kinds = {each["kind"] for each in render()}
    assert kinds == {
        "Deployment",
        "Job",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    }


def test_keda_decides_how_many_pods_there_are_and_the_chart_does_not(render: Render) -> None:
    documents = render("watched-values.yaml")
    for name, deployment in of_kind(documents, "Deployment").items():
        scaled = name in of_kind(documents, "ScaledObject")
        assert ("replicas" in deployment["spec"]) is not scaled
    for scaled_object in of_kind(documents, "ScaledObject").values():
        spec = scaled_object["spec"]
        assert spec["scaleTargetRef"]["name"] in of_kind(documents, "Deployment")
        assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 4)
    (first, *_) = of_kind(render("default-values.yaml", "--set", "keda.enabled=true"), "ScaledObject").values()
    assert first["spec"]["maxReplicaCount"] == 6  # partitions


def test_a_gpu_is_asked_for_by_one_value(render: Render) -> None:
    on, off = pod(render("gpu-values.yaml"), "inference"), pod(render(), "inference")
    assert on.container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert on.env["UNDERTONE_INFERENCE_DEVICE"] == "cuda"
    assert on.spec["nodeSelector"] == {"gpu": "l4"}
    assert on.spec["runtimeClassName"] == "nvidia"
    assert on.spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert on.made_by["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert off.env["UNDERTONE_INFERENCE_DEVICE"] == "cpu"
    assert "nvidia.com/gpu" not in off.container["resources"]["limits"]
    assert not {"nodeSelector", "runtimeClassName", "tolerations"} & off.spec.keys()
    for component in ("segment", "trial"):
        assert "tolerations" not in pod(render("gpu-values.yaml"), component).spec


def test_a_digest_counts_before_a_tag(render: Render) -> None:
    assert pod(render("gpu-values.yaml"), "inference").container["image"].endswith("@sha256:" + "0123456789abcdef" * 4)
    assert pod(render(), "segment").container["image"] == "undertone-streams:0.1.0"


def test_further_bundles_are_served_from_where_the_first_comes(render: Render) -> None:
    claimed = pod(render("claim-values.yaml"), "inference")
    assert claimed.env["UNDERTONE_INFERENCE_MORE_BUNDLES"] == "/bundle-2:/bundle-3"
    for path, folder in {"/bundle-2": "theirs", "/bundle-3": "older"}.items():
        mount = {"name": "bundle", "mountPath": path, "readOnly": True, "subPath": folder}
        assert mount in claimed.container["volumeMounts"]
    copied = render("gpu-values.yaml", "--set", "inference.bundle.image.more={/valence,/arousal}")
    assert pod(copied, "inference").env["UNDERTONE_INFERENCE_MORE_BUNDLES"] == "/valence:/arousal"
    assert "UNDERTONE_INFERENCE_MORE_BUNDLES" not in pod(render(), "inference").env


def test_a_processor_computes_in_bfloat16_where_the_values_say(render: Render) -> None:
    assert pod(render("claim-values.yaml"), "inference").env["UNDERTONE_INFERENCE_HALF"] == "true"
    assert "UNDERTONE_INFERENCE_HALF" not in pod(render(), "inference").env


def test_a_bundle_comes_from_where_the_values_say_and_cannot_be_written(render: Render) -> None:
    demo, claimed = pod(render(), "inference"), pod(render("claim-values.yaml"), "inference")
    assert demo.env["UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE"] == "true"
    assert "UNDERTONE_INFERENCE_BUNDLE" not in demo.env
    assert claimed.env["UNDERTONE_INFERENCE_BUNDLE"] == "/bundle"
    assert {"name": "bundle", "mountPath": "/bundle", "readOnly": True, "subPath": "ours"} in claimed.container[
        "volumeMounts"
    ]
    for found in (
        claimed,
        pod(render("gpu-values.yaml"), "inference"),
        pod(render("download-values.yaml"), "inference"),
    ):
        assert "UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE" not in found.env
        assert found.env["UNDERTONE_INFERENCE_BUNDLE"] == "/bundle"


def test_announcements_are_mounted_in_segment_alone_and_cannot_be_written(render: Render) -> None:
    claimed = render("announcements-values.yaml")
    mount = {"name": "announcements", "mountPath": "/etc/undertone/announcements", "readOnly": True}
    assert {**mount, "subPath": "played"} in pod(claimed, "segment").container["volumeMounts"]
    assert announced(claimed) == {"segment": {"persistentVolumeClaim": {"claimName": "recordings", "readOnly": True}}}
    named = render("default-values.yaml", "--set", "announcements.configMap=played")
    assert mount in pod(named, "segment").container["volumeMounts"]
    assert announced(named) == {"segment": {"configMap": {"name": "played"}}}
    assert announced(render()) == {}


def announced(documents: tuple[Document, ...]) -> dict[str, object]:
    """Where each component that has announcements has them from."""
    volumes = ((each.component, volume) for each in pods(documents) for volume in each.spec.get("volumes", []))
    return {
        component: {key: value for key, value in volume.items() if key != "name"}
        for component, volume in volumes
        if volume["name"] == "announcements"
    }


def test_announcements_of_a_configmap_and_of_a_claim_are_refused(refused: Callable[..., str]) -> None:
    said = refused("--set", "announcements.configMap=played", values="announcements-values.yaml")
    assert "announcements.configMap and announcements.claim.name: both hold the recordings; name one" in said


def test_a_bundle_is_loaded_by_an_init_container_that_is_told_its_digest(render: Render) -> None:
    (init,) = pod(render("download-values.yaml"), "inference").spec["initContainers"]
    assert init["command"] == [
        "python",
        "-m",
        "services.inference.fetch",
        "https://models.example/support-1.tgz",
        "0123456789abcdef" * 4,
        "/bundle",
    ]
    assert "initContainers" not in pod(render(), "inference").spec


def test_a_model_is_fetched_from_the_hub_only_where_it_is_asked_for(render: Render) -> None:
    assert pod(render(), "inference").env["HF_HUB_OFFLINE"] == "1"
    asked = pod(render("download-values.yaml"), "inference").env
    assert "HF_HUB_OFFLINE" not in asked
    assert asked["HF_HOME"] == "/cache"


def test_kafka_s_security_decides_what_a_pod_is_told(render: Render) -> None:
    def told(file: str) -> set[str]:
        env = pod(render(file), "segment").env
        return {name.removeprefix("UNDERTONE_KAFKA_") for name in env if name.startswith("UNDERTONE_KAFKA_")}

    assert told("plain-values.yaml") == {"SECURITY"}
    assert told("default-values.yaml") == {"SECURITY", "SASL_MECHANISM", "USERNAME", "PASSWORD_FILE"}
    assert told("claim-values.yaml") == {"SECURITY", "CA", "CERT", "KEY"}
    assert told("strimzi-values.yaml") == {"SECURITY", "SASL_MECHANISM", "USERNAME", "PASSWORD_FILE", "CA"}


def test_migrations_run_under_a_role_of_their_own_where_one_is_named(render: Render) -> None:
    def address(file: str, component: str) -> str:
        return str(pod(render(file), component).spec["volumes"])

    assert "undertone-postgres-owner" in address("claim-values.yaml", "migrate")
    assert "undertone-postgres-owner" not in address("claim-values.yaml", "segment")
    assert "'undertone-postgres'" in address("default-values.yaml", "migrate")


def test_where_an_authority_is_named_whoever_reaches_postgresql_asks_it_for_its_certificate(render: Render) -> None:
    for found in pods(render("claim-values.yaml")):
        told = {name: value for name, value in found.env.items() if name.startswith("PGSSL")}
        asks = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/undertone/secrets/postgres-ca.crt"}
        assert told == (asks if "UNDERTONE_POSTGRES_FILE" in found.env else {})
    assert not any("PGSSLMODE" in found.env for found in pods(render("default-values.yaml")))


def test_a_hook_does_not_use_an_account_that_is_not_there_yet(render: Render) -> None:
    for component, account in {"migrate": "default", "topics": "default", "segment": "site-undertone"}.items():
        assert pod(render(), component).spec["serviceAccountName"] == account


def test_strimzi_s_topics_have_the_partitions_and_replicas_of_the_values(render: Render) -> None:
    topics = of_kind(render("strimzi-values.yaml"), "KafkaTopic")
    assert len(topics) == 5
    for topic in topics.values():
        assert topic["metadata"]["labels"]["strimzi.io/cluster"] == "main"
        assert (topic["spec"]["partitions"], topic["spec"]["replicas"]) == (12, 3)


def test_the_trial_is_a_test_of_helm_s_and_leaves_no_pod_where_it_passed(render: Render) -> None:
    annotations = of_kind(render(), "Pod")["site-undertone-trial"]["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "test"
    assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]
    assert pod(render("download-values.yaml"), "trial").container["command"][:4] == [
        "undertone",
        "trial",
        "--use-case",
        "support",
    ]


def test_the_longest_release_name_leaves_room_for_every_object(render: Render) -> None:
    documents = render("watched-values.yaml", "--set", f"fullnameOverride={'x' * 60}")
    assert all(len(each["metadata"]["name"]) <= 63 for each in documents)
    assert len(names(documents)) == len(documents)
