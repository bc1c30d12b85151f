"""What every pod of every installation is like, hooks included."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from deployment.conftest import CI, Pod, Render, of_kind, pod, pods

from services.standalone.restarts import STALE_S, STARTING_S
from streams.kafka.feed import HANDLER_S, STOP_S
from streams.store.epochs import _check_mode

pytestmark = pytest.mark.needs("helm")

STAGES = ("segment", "label", "escalate", "relay")
VOLUMES = {
    "configMap",
    "emptyDir",
    "persistentVolumeClaim",
    "projected",
    "secret",
}  #: of those that `restricted` allows


@pytest.fixture(params=CI)
def every(request: pytest.FixtureRequest, render: Render) -> list[Pod]:
    return list(pods(render(request.param)))


def test_every_installation_has_all_stages_inference_and_a_trial(every: list[Pod]) -> None:
    assert {each.component for each in every} >= {*STAGES, "inference", "trial"}


def test_no_pod_runs_as_root_or_may_become_it(every: list[Pod]) -> None:
    for each in every:
        security = each.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] >= 10_000
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in each.containers:
            own = container["securityContext"]
            assert own == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_no_pod_shares_anything_of_its_node(every: list[Pod]) -> None:
    for each in every:
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & each.spec.keys()
        for volume in each.spec["volumes"]:
            (kind,) = volume.keys() - {"name"}
            assert kind in VOLUMES
        for container in each.containers:
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_no_pod_is_given_a_token_or_the_addresses_of_services(every: list[Pod]) -> None:
    for each in every:
        assert each.spec["automountServiceAccountToken"] is False
        assert each.spec["enableServiceLinks"] is False


def test_what_a_pod_writes_goes_to_a_folder_in_memory_with_a_limit(every: list[Pod]) -> None:
    for each in every:
        (tmp,) = [volume for volume in each.spec["volumes"] if volume["name"] == "tmp"]
        assert tmp["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Mi"}
        written = {mount["mountPath"] for mount in each.container["volumeMounts"] if not mount.get("readOnly")}
        assert written <= {"/tmp", "/cache"}  # noqa: S108 - in the pod
        assert "/tmp" in written  # noqa: S108


def test_every_mount_has_its_volume_and_every_volume_its_mount(every: list[Pod]) -> None:
    for each in every:
        mounted = {mount["name"] for container in each.containers for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in each.spec["volumes"]}


def test_secrets_are_files_and_never_variables(every: list[Pod]) -> None:
    for each in every:
        for container in each.containers:
            assert "envFrom" not in container
            assert all("valueFrom" not in variable for variable in container.get("env", []))


def test_every_container_asks_for_memory_and_processor_and_has_a_limit_to_its_memory(every: list[Pod]) -> None:
    for each in every:
        for container in each.containers:
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]


def test_what_runs_for_ever_is_probed_by_its_progress(every: list[Pod]) -> None:
    for each in every:
        if each.made_by["kind"] != "Deployment":
            continue
        container = each.container
        assert container["livenessProbe"]["exec"]["command"][:2] == ["sh", "-c"]
        assert "exec" in container["startupProbe"]
        assert "httpGet" in container["readinessProbe"]
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= STARTING_S


def test_pods_are_replaced_one_at_a_time(every: list[Pod]) -> None:
    for each in every:
        if each.made_by["kind"] == "Deployment":
            strategy = each.made_by["spec"]["strategy"]
            assert strategy["type"] == "RollingUpdate"
            assert sorted(strategy["rollingUpdate"].values()) == [0, 1]


def test_a_stage_has_settled_before_the_next_pod_is_replaced(render: Render) -> None:
    for stage in STAGES:
        found = pod(render(), stage)
        assert found.made_by["spec"]["minReadySeconds"] == 30
        assert found.made_by["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_drain_takes_one_pod_of_a_component_at_a_time(render: Render) -> None:
    taken = {}
    for name, budget in of_kind(render(), "PodDisruptionBudget").items():
        spec = budget["spec"]
        assert spec.keys() == {"maxUnavailable", "unhealthyPodEvictionPolicy", "selector"}
        assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
        wanted = spec["selector"]["matchLabels"].items()
        taken[name] = [each.component for each in pods(render()) if wanted <= each.metadata["labels"].items()]
    assert taken == {f"site-undertone-{component}": [component] for component in (*STAGES, "inference")}


def test_the_pods_of_a_component_are_spread_over_nodes_and_zones(render: Render) -> None:
    for component in (*STAGES, "inference"):
        over = {each["topologyKey"]: each for each in pod(render(), component).spec["topologySpreadConstraints"]}
        assert over.keys() == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        for each in over.values():
            assert (each["maxSkew"], each["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
            wanted = each["labelSelector"]["matchLabels"].items()
            found = [each.component for each in pods(render()) if wanted <= each.metadata["labels"].items()]
            assert found == [component]
        assert "topologySpreadConstraints" not in pod(render("plain-values.yaml"), component).spec


def test_a_pod_has_the_time_that_it_takes_to_stop(every: list[Pod]) -> None:
    for each in every:
        if each.made_by["kind"] == "Deployment":
            assert each.spec["terminationGracePeriodSeconds"] > 5 + HANDLER_S + STOP_S  # 5 s before SIGTERM
    (inference,) = [each for each in every if each.component == "inference"]
    stop = inference.container["lifecycle"]["preStop"]["exec"]["command"]
    assert stop == ["sleep", "5"]


@pytest.mark.parametrize(("age_s", "status"), [(0, 0), (STALE_S - 3, 0), (STALE_S + 3, 1), (None, 1)])
def test_the_liveness_command_judges_the_age_of_the_file(
    age_s: float | None, status: int, render: Render, tmp_path: Path
) -> None:
    file = tmp_path / "alive"
    if age_s is not None:
        file.touch()
        os.utime(file, (time.time() - age_s,) * 2)
    found = pod(render(), "segment")
    command = [
        part.replace(found.env["UNDERTONE_LIVENESS"], str(file))
        for part in found.container["livenessProbe"]["exec"]["command"]
    ]
    assert bool(subprocess.run(command, capture_output=True, check=False).returncode) == bool(status)


def test_a_container_that_is_started_again_is_not_judged_by_the_file_of_the_last(
    render: Render, tmp_path: Path
) -> None:
    file = tmp_path / "alive"
    for component in (*STAGES, "inference"):
        file.touch()
        found = pod(render(), component)
        path = found.env.get("UNDERTONE_LIVENESS") or found.env["UNDERTONE_INFERENCE_LIVENESS"]
        (shell, option, line) = found.container["command"]
        assert line.startswith(f"rm -f {path} && exec python ")
        subprocess.run([shell, option, line.replace(path, str(file)).partition(" && ")[0]], check=True)
        assert not file.exists()


def test_labels_that_change_with_a_version_select_nothing(render: Render) -> None:
    for document in render():
        selector = document.get("spec", {}).get("selector", {})
        for name in selector.get("matchLabels", selector):
            assert name not in {"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}


def test_epochs_are_mounted_in_segment_and_in_the_trial_alone(render: Render) -> None:
    mounted = {each.component for each in pods(render()) if "undertone-epochs" in str(each.spec["volumes"])}
    assert mounted == {"segment", "trial"}


def test_the_file_of_epochs_is_mounted_as_the_code_asks_for_it(render: Render) -> None:
    (secrets,) = [volume for volume in pod(render(), "segment").spec["volumes"] if volume["name"] == "secrets"]
    mode = secrets["projected"]["defaultMode"]
    assert mode == 0o440  # what the group of the pod needs, and nobody else
    owner = os.stat_result((mode, 0, 0, 1, 0, pod(render(), "segment").spec["securityContext"]["fsGroup"], 0, 0, 0, 0))
    _check_mode(Path("epochs.json"), owner)


def test_a_new_rule_restarts_the_stages_and_not_inference(render: Render) -> None:
    before, after = (
        render("download-values.yaml"),
        render("download-values.yaml", "--set", "useCases.support.language=de"),
    )
    for component in (*STAGES, "inference"):
        same = pod(before, component).metadata == pod(after, component).metadata
        assert same is (component == "inference")
