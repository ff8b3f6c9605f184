"""What is shipped in cluster/ is what the tools that read it take, keeps strangers out, and fits this version."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

from tests.kuberay_schema import resource

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster"
LAUNCHED = sorted((CLUSTER / "ray").glob("*.yaml"))
KUBERAY = [CLUSTER / "kuberay" / name for name in ("raycluster.yaml", "rayjob.yaml")]
SCRIPTS = [CLUSTER / "slurm" / "automl.sbatch", CLUSTER / "local" / "nodes.sh"]
DOCKERFILE = CLUSTER / "docker" / "Dockerfile"
STARTS_NODES = [*LAUNCHED, *KUBERAY, *SCRIPTS]
FOLDERS = sorted(one for one in CLUSTER.iterdir() if one.is_dir())
DRIVER_ONLY = {
    "RAY_USAGE_STATS_ENABLED", "RAY_AIR_NEW_OUTPUT", "RAY_TRAIN_METRICS_ENABLED", "TUNE_GLOBAL_CHECKPOINT_S",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S",
}  # fmt: skip
"""Settings that nobody but the driver reads."""


def name_of(file: Path) -> str:
    return str(file.relative_to(CLUSTER))


def each(files: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", files, ids=name_of)


def cluster_of(file: Path) -> dict[str, Any]:
    """The specification of the RayCluster in a manifest of either kind."""
    spec: dict[str, Any] = yaml.safe_load(file.read_text())["spec"]
    return spec.get("rayClusterSpec", spec)


def settings_of_nodes() -> dict[str, str]:
    """What automl sets for Ray that a node's own processes read: not the driver's, and not what Tune hands on."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / "automl/search/__init__.py").read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.setdefault":
            name, value = (ast.literal_eval(argument) for argument in node.args)
            found[name] = value
    assert found, "automl/search/__init__.py sets nothing for Ray any more; this test has to look elsewhere"
    return {name: value for name, value in found.items() if name not in DRIVER_ONLY | ENV_VARS_TO_PROPAGATE}


def environment_of(file: Path) -> dict[str, str]:
    """The variables that a file sets where it starts nodes."""
    if file in LAUNCHED:
        options = " ".join(yaml.safe_load(file.read_text())["docker"]["run_options"])
        return dict(re.findall(r"--env (\w+)=(\S+)", options))
    if file in KUBERAY:
        cluster = cluster_of(file)
        pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
        found = [{one["name"]: one["value"] for one in pod["containers"][0]["env"]} for pod in pods]
        assert all(one == found[0] for one in found), f"{file} does not tell all its pods the same"
        return found[0]
    return dict(re.findall(r"^export (\w+)=(\S+)", file.read_text(), re.MULTILINE))


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    return found[1]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    places = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    return subprocess.run(command, env=os.environ | places | environment, text=True, capture_output=True, timeout=60)


# -- the tools that read them ------------------------------------------------------------------------------------


@each(LAUNCHED)
def test_rays_launcher_takes_its_files(file: Path) -> None:
    config = prepare_config(yaml.safe_load(file.read_text()))
    validate_config(config)
    with pytest.raises(jsonschema.ValidationError):
        validate_config(config | {"max_worker": 1})


@each([file for file in LAUNCHED if file.stem != "onpremise"])
def test_a_clouds_workers_are_spot_gpus_from_zero_and_its_head_trains_nothing(file: Path) -> None:
    config = prepare_config(yaml.safe_load(file.read_text()))
    head, worker = (config["available_node_types"][name] for name in ("head", "gpu"))
    assert (worker["min_workers"], worker["max_workers"]) == (0, config["max_workers"])
    assert worker["resources"]["GPU"] == 1
    assert head["resources"] == {"CPU": 0}
    assert "spot" in str(worker["node_config"]).lower()
    assert "spot" not in str(head["node_config"]).lower()


@each(KUBERAY)
def test_kuberay_takes_its_manifests_and_rays_autoscaler_reads_them(file: Path) -> None:
    manifest = yaml.safe_load(file.read_text())
    jsonschema.validate(manifest, resource(manifest["kind"]))
    described = {"metadata": {"name": "automl", "namespace": "default"}, "spec": cluster_of(file)}
    config = _derive_autoscaling_config_from_ray_cr(described)
    gpu = config["available_node_types"]["gpu"]
    assert (gpu["min_workers"], gpu["max_workers"], gpu["resources"]["GPU"]) == (0, 8, 1)
    assert config["available_node_types"][config["head_node_type"]]["resources"]["CPU"] == 0


def test_the_schema_of_kuberay_refuses_what_is_misspelt() -> None:
    manifest = yaml.safe_load(KUBERAY[0].read_text())
    manifest["spec"]["workerGroupSpecs"][0]["maxReplica"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, resource("RayCluster"))


@each(KUBERAY)
def test_pods_mount_the_volume_that_is_shipped_and_the_policy_covers_them(file: Path) -> None:
    claim, policy = (
        yaml.safe_load((CLUSTER / "kuberay" / f"{name}.yaml").read_text()) for name in ("storage", "network")
    )
    cluster = cluster_of(file)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        claims = [one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "emptyDir" not in one]
        assert claims == [claim["metadata"]["name"]]
        assert {one["name"] for one in pod["containers"][0]["volumeMounts"]} == {
            one["name"] for one in pod["volumes"]
        }
        assert group["template"]["metadata"]["labels"] == policy["spec"]["podSelector"]["matchLabels"]


@each(SCRIPTS)
def test_scripts_are_what_bash_and_shellcheck_take(file: Path) -> None:
    assert os.access(file, os.X_OK) or file.suffix == ".sbatch"
    assert run("bash", "-n", file).stderr == ""
    checked = run("shellcheck", file)
    assert checked.returncode == 0, checked.stdout


def test_sbatch_asks_for_one_task_a_node_and_time_to_wind_up() -> None:
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SCRIPTS[0].read_text(), re.MULTILINE))
    assert options["ntasks-per-node"] == "1"
    assert options["signal"].startswith("B:TERM@")  # to the script, which passes it to the run
    assert "no-kill" in options


def test_the_dockerfile_is_what_hadolint_takes() -> None:
    checked = run("hadolint", DOCKERFILE)
    assert checked.returncode == 0, checked.stdout


def test_the_image_takes_what_it_copies_and_installs_extras_that_there_are() -> None:
    text = DOCKERFILE.read_text()
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored, "an image takes what is named, and nothing else"
    copied = {name for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for name in line.split()[:-1]}
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.search(r"^ARG EXTRAS=(\S+)$", text, re.MULTILINE)
    assert asked
    assert set(asked[1].split(",")) <= set(extras)


# -- versions, settings, security --------------------------------------------------------------------------------


@each([*KUBERAY, DOCKERFILE, CLUSTER / "ray/README.md"])
def test_rays_version_is_the_pinned_one(file: Path) -> None:
    named = re.findall(r"(?:rayVersion: |RAY_VERSION=|ray\[default\]==)([\d.]+\d)", file.read_text())
    assert named
    assert set(named) == {pinned("ray")}


@each(STARTS_NODES)
def test_nodes_start_with_the_settings_that_only_they_read(file: Path) -> None:
    settings = settings_of_nodes()
    assert {"RAY_memory_monitor_refresh_ms", "TUNE_FUNCTION_THREAD_TIMEOUT_S"} <= set(settings)
    assert settings.items() <= environment_of(file).items()


@each(STARTS_NODES)
def test_token_authentication_is_switched_on(file: Path) -> None:
    if file in KUBERAY:
        assert cluster_of(file)["authOptions"] == {"mode": "token", "secretName": "automl-ray-token"}
    else:
        assert environment_of(file)["RAY_AUTH_MODE"] == "token"
    if file in LAUNCHED:
        assert "/home/ray/.ray/auth_token" in yaml.safe_load(file.read_text())["file_mounts"]


@each(STARTS_NODES)
def test_dashboards_listen_on_loopback(file: Path) -> None:
    text = file.read_text()
    hosts = set(re.findall(r"dashboard-host[=:] ?(\S+?)[,)]?(?:\s|$)", text))
    if file.name == "rayjob.yaml":  # KubeRay's operator has to reach it; a policy keeps everybody else out
        assert hosts == {"0.0.0.0"}
        assert "network.yaml" in text
    else:
        assert hosts == {"127.0.0.1"} or "--include-dashboard=false" in text
        assert hosts <= {"127.0.0.1"}


@each(sorted(file for file in CLUSTER.rglob("*") if file.is_file()))
def test_no_file_holds_a_secret(file: Path) -> None:
    looks_secret = r"\b[0-9a-f]{32,}\b|\bAKIA[0-9A-Z]{16}\b|\bhf_\w{20,}|-----BEGIN|password\s*[:=]\s*\w"
    assert not re.findall(looks_secret, file.read_text(), re.IGNORECASE)


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_every_folder_says_how_to_start_use_and_stop_it_and_what_it_costs(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "cost" in text.lower()
    if folder.name != "docker":
        commands = re.findall(r"^    \S.*# (start|use|stop)\b", text, re.MULTILINE)
        assert commands == ["start", "use", "stop"]
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", text):
        assert (folder / link).exists(), f"{folder.name}/README.md leads to {link}, which is not there"


# -- the nodes of one machine ------------------------------------------------------------------------------------


def test_nodes_that_are_not_there_are_refused_and_stopping_none_is_fine(tmp_path: Path) -> None:
    script = CLUSTER / "local" / "nodes.sh"
    place = {"AUTOML_LOCAL": str(tmp_path / "nodes")}
    for action in ("add", "lose"):
        refused = run(script, action, **place)
        assert refused.returncode == 2
        assert "; expected" in refused.stderr
    assert run(script, "stop", **place).returncode == 0
    assert "nodes.sh start" in run(script, "--help", **place).stdout


def test_a_pid_that_belongs_to_another_program_by_now_is_left_alone(tmp_path: Path) -> None:
    sleep = shutil.which("sleep")
    assert sleep
    with subprocess.Popen([sleep, "60"]) as other:
        (tmp_path / "worker-01.pid").write_text(str(other.pid))
        assert run(CLUSTER / "local" / "nodes.sh", "stop", AUTOML_LOCAL=str(tmp_path)).returncode == 0
        assert other.poll() is None
        other.kill()
