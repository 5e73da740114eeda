"""docs/operate.md against what is: metrics, endpoints, variables, and files for other programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT
from snippets import snippets

from runner.load.settings import VARIABLES
from runner.serve.metrics import Metrics
from runner.serve.service import DRAIN, HURRY
from runner.web.openapi import document

PAGE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")


def files() -> dict[str, str]:
    """The blocks whose first line names a file."""
    found = {}
    for snippet in snippets(PAGE):
        if named := re.match(r"# (\S+)\n", snippet.text):
            found[Path(named[1]).name] = snippet.text
    return found


FILES = files()


def metrics() -> set[str]:
    """The names that the service exposes for itself."""
    registry = Metrics()
    registry.budgets(lambda: {"marketing": 1})
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.registry.collect()
        if family.name.startswith("flowpost_")
    }


def test_the_metrics_are_all_there_and_no_others() -> None:
    assert set(re.findall(r"^\| `(flowpost_\w+)", PAGE, re.MULTILINE)) == metrics()


def test_every_rule_asks_for_metrics_that_exist() -> None:
    rules = yaml.safe_load(FILES["flowpost.rules.yml"])["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"flowpost_\w+", rule["expr"])}

    assert len(rules) >= 6
    assert {name.removesuffix("_bucket") for name in asked} <= metrics()


def test_the_endpoints_are_those_of_the_openapi_document() -> None:
    told = set(re.findall(r"^\| `(GET|POST) (\S+)`", PAGE, re.MULTILINE))
    served = {
        (method.upper(), path.replace("{path}", "<path>"))
        for path, item in document()["paths"].items()
        for method in item
    }

    assert told == served


def test_every_variable_that_is_set_is_known() -> None:
    known = {*VARIABLES, "FLOWPOST_HTTP"}

    assert set(re.findall(r"\bFLOWPOST_[A-Z_]*[A-Z]", PAGE)) <= known


def test_supervisors_wait_longer_than_the_drain() -> None:
    stop = re.search(r"^TimeoutStopSec=(\d+)$", FILES["flowpost.service"], re.MULTILINE)
    assert stop is not None

    assert int(stop[1]) >= DRAIN + 15
    assert pod()["terminationGracePeriodSeconds"] >= 5 + DRAIN + 15
    assert f"have {DRAIN:.0f} s" in PAGE
    assert f"{HURRY:.0f} s instead" in PAGE


def pod() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILES["flowpost-deployment.yaml"])["spec"]["template"]["spec"]
    return found


def test_the_manifests_fit_together() -> None:
    deployment, service, secret = (
        yaml.safe_load(FILES[f"flowpost-{name}.yaml"]) for name in ("deployment", "service", "secrets")
    )
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    volumes = {volume["name"] for volume in pod()["volumes"]}
    (main,) = (container for container in pod()["containers"] if container["name"] == "flowpost")
    ports = {port["name"] for port in main["ports"]}

    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for container in (*pod()["containers"], *pod()["initContainers"]):
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    for name, path in {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }.items():
        assert (main[name]["httpGet"]["path"], main[name]["httpGet"]["port"] in ports) == (path, True)
    (key,) = (volume["secret"] for volume in pod()["volumes"] if "secret" in volume)
    assert key["secretName"] == secret["metadata"]["name"]
    assert {item["key"] for item in key["items"]} <= set(secret["stringData"])
    assert f"{key['defaultMode']:o}" == "440"
    for variable in main["env"]:
        if "valueFrom" in variable:
            assert variable["valueFrom"]["secretKeyRef"]["key"] in secret["stringData"]
