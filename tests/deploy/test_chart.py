"""The Helm chart: its values, and what it renders to. helm itself is asked where it is installed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.deploy.rendering import CHART, Thing, helm, of_kind, problems, rendered
from voicewire.config import Config, settings
from voicewire.remote.keys import RUNGS, Keys

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir()}
ROWS = {row.variable: row for row in settings()}

EVERYTHING = (
    "publicUrl=https://speech.example.org",
    "settings.billing=on",
    "settings.lead_ms=2000",
    "gateway.sharedClaim=shared",
    "gateway.autoscaling.enabled=true",
    "ingress.enabled=true",
    "ingress.host=speech.example.org",
    "ingress.tlsSecretName=speech-tls",
    "workers.kokoro.engine=kokoro",
    "workers.kokoro.image.tag=kokoro",
    "workers.kokoro.modelClaim=weights",
    "workers.kokoro.settings.kokoro_path=/models",
    "workers.kokoro.scaling.enabled=true",
    "workers.kokoro.secrets[0]=oidc_client_secret",
    "redis.tls=true",
    "podMonitor.enabled=true",
)


WORKERS = ("speech-voicewire-worker-espeak", "speech-voicewire-worker-kokoro")
OTHERS = ("keda.sh/", "monitoring.coreos.com/")  # what is no part of Kubernetes


def refused(**changes: Any) -> bool:
    values = copy.deepcopy(VALUES)
    for path, value in changes.items():
        *way, last = path.split("__")
        place = values
        for part in way:
            place = place.setdefault(part, {})
        place[last] = value
    return not jsonschema_rs.validator_for(SCHEMA).is_valid(values)


def pods(things: tuple[Thing, ...]) -> Iterator[tuple[str, Thing, Thing]]:
    """Name, pod and container of each Deployment."""
    for name, each in of_kind("Deployment", things).items():
        pod = each["spec"]["template"]["spec"]
        [container] = pod["containers"]
        yield name, pod, container


def test_its_own_values_fit_its_schema() -> None:
    assert not refused()
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gatway", {}),
        ("gateway__replicas", 0),
        ("gateway__replicas", "2"),
        ("gateway__port", 80),
        ("publicUrl", "speech.example.org"),
        ("secretName", ""),
        ("settings__redis_url", "redis://:secret@redis"),
        ("settings__drain_s", 3),
        ("settings__billing", True),
        ("workers__kokoro", {}),
        ("workers__Kokoro", {"engine": "kokoro"}),
        ("workers__espeak__scaling", {"maximum": 3}),
        ("ingress__enabled", True),
        ("redis__address", "redis"),
    ],
)
def test_wrong_values_are_refused(path: str, value: object) -> None:
    assert refused(**{path: value})


def test_secrets_are_no_values_and_everything_else_is_one() -> None:
    secrets = {row.name for row in settings() if row.secret}
    others = {row.name for row in settings() if refused(**{f"settings__{row.name}": "x"})} - secrets
    assert {name for name in secrets if refused(**{f"settings__{name}": "x"})} == secrets
    assert others == {"host", "port", "public_url", "data_dir", "drain_s"}, "which the chart sets by itself"


def test_templates_name_settings_that_there_are() -> None:
    named = {name for text in TEMPLATES.values() for name in re.findall(r"VOICEWIRE_[A-Z_]*[A-Z]\b", text)}
    assert len(named) > 3
    assert named <= set(ROWS)


def test_the_example_of_the_documentation_renders(tmp_path: Path) -> None:
    page = (CHART.parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```yaml\n# speech.yaml\n(.*?)```", page, re.DOTALL)
    values = {
        name: VALUES[name] | given if isinstance(given, dict) else given
        for name, given in yaml.safe_load(example).items()
    }
    assert not refused(**values)
    path = tmp_path / "speech.yaml"
    path.write_text(example, encoding="utf-8")
    done = helm("template", "speech", str(CHART), "--values", str(path))
    assert done.returncode == 0, done.stderr
    things = tuple(each for each in yaml.safe_load_all(done.stdout) if each)
    assert {name.removeprefix("speech-voicewire-") for name, _, _ in pods(things)} == {
        "gateway",
        "worker-espeak",
        "worker-kokoro",
    }


def test_helm_finds_nothing_wrong() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_refuses_what_the_schema_refuses() -> None:
    done = helm("template", "speech", str(CHART), "--set", "gateway.port=80")
    assert done.returncode
    assert "gateway" in done.stderr


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("given", [("secretName=other",), EVERYTHING], ids=["least", "everything"])
def test_kubernetes_takes_what_is_rendered(version: str, given: tuple[str, ...]) -> None:
    things = [each for each in rendered(*given) if not each["apiVersion"].startswith(OTHERS)]
    assert len(things) >= 7
    for thing in things:
        assert not problems(thing, version), f"{thing['kind']} {thing['metadata']['name']}"
    broken = copy.deepcopy(things[0]) | {"sepc": {}}
    assert problems(broken, version), "the schema is strict"


def test_pods_can_do_no_more_than_they_must() -> None:
    for name, pod, container in pods(rendered(*EVERYTHING)):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert {"/data", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_settings_arrive_as_the_server_reads_them() -> None:
    for _, _, container in pods(rendered(*EVERYTHING)):
        for variable in container["env"]:
            row = ROWS[variable["name"]]
            assert ("valueFrom" in variable) is row.secret
            assert row.secret or isinstance(variable["value"], str)
        Config.from_env({each["name"]: each["value"] for each in container["env"] if "value" in each})
    told = {each["name"]: each.get("value") for each in pod_env("speech-voicewire-gateway")}
    assert told["VOICEWIRE_LEAD_MS"] == "2000"
    assert told["VOICEWIRE_PUBLIC_URL"] == "https://speech.example.org"


def pod_env(name: str) -> list[Thing]:
    [found] = [container["env"] for each, _, container in pods(rendered(*EVERYTHING)) if each == name]
    env: list[Thing] = found
    return env


def test_a_worker_knows_redis_and_only_the_secrets_that_it_is_given() -> None:
    told = {name: [each["name"] for each in pod_env(name) if "valueFrom" in each] for name in WORKERS}
    assert told == {
        WORKERS[0]: ["VOICEWIRE_REDIS_URL"],
        WORKERS[1]: ["VOICEWIRE_REDIS_URL", "VOICEWIRE_OIDC_CLIENT_SECRET"],
    }
    whole = {name: container.get("envFrom") for name, _, container in pods(rendered(*EVERYTHING))}
    assert [name for name, given in whole.items() if given] == ["speech-voicewire-gateway"]


def test_a_gateway_does_not_start_without_what_all_gateways_share() -> None:
    told = {each["name"] for each in pod_env("speech-voicewire-gateway") if "valueFrom" in each}
    assert told == {f"VOICEWIRE_{name}" for name in ("REDIS_URL", "POSTGRES_URL", "KEY_PEPPER", "JWT_SECRET")}


def test_a_replaced_pod_may_drain() -> None:
    for name, pod, container in pods(rendered(*EVERYTHING)):
        [drain_s] = [float(each["value"]) for each in container["env"] if each["name"] == "VOICEWIRE_DRAIN_S"]
        wait_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] > drain_s + wait_s, name


def test_who_is_asked_for_something_is_there() -> None:
    things = rendered(*EVERYTHING)
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind("Deployment", things).values()]
    wanted = [each["spec"]["selector"] for each in of_kind("Service", things).values()]
    wanted += [each["spec"]["selector"]["matchLabels"] for each in of_kind("PodDisruptionBudget", things).values()]
    wanted += [each["spec"]["selector"]["matchLabels"] for each in of_kind("PodMonitor", things).values()]
    wanted += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind("NetworkPolicy", things).values()]
    assert len(wanted) >= 7
    for selector in wanted:
        assert any(selector.items() <= each.items() for each in labels), selector


def test_keda_counts_the_queue_of_the_worker_that_it_scales() -> None:
    things = rendered(*EVERYTHING)
    [(name, scaled)] = of_kind("ScaledObject", things).items()
    assert scaled["spec"]["scaleTargetRef"]["name"] == name
    worker = of_kind("Deployment", things)[name]
    assert "replicas" not in worker["spec"], "helm and KEDA would count against each other"
    triggers = scaled["spec"]["triggers"]
    assert scaled["spec"]["advanced"]["scalingModifiers"]["formula"] == " + ".join(each["name"] for each in triggers)
    [access] = of_kind("TriggerAuthentication", things).values()
    assert [each["parameter"] for each in access["spec"]["secretTargetRef"]] == ["password"]
    for trigger in triggers:
        assert trigger["metadata"]["stream"] == Keys("kokoro").queue(trigger["name"])
        assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes strings only"
        assert trigger["authenticationRef"]["name"] == access["metadata"]["name"]


def test_the_schema_knows_every_queue() -> None:
    scaling = SCHEMA["$defs"]["worker"]["properties"]["scaling"]["properties"]
    assert scaling["queues"]["items"]["enum"] == list(RUNGS)
    assert set(VALUES["workerDefaults"]["scaling"]["queues"]) < set(RUNGS)
