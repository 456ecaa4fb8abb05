"""`Run.get_details` and what is told among the properties: a run's facts with Azure ML's keys."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Optional

from outlast.azureml.files import SHELL, STD_LOG
from outlast.run.dataset import Definition


def of(facts: Mapping[str, Any], url: str) -> Dict[str, Any]:
    """The dict of get_details(), made of the facts that the server at `url` has of the run."""
    spec = facts["spec"]
    is_job = facts["kind"] == "command"
    found = {
        "runId": facts["id"],
        "target": spec.get("properties", {}).get("azureml.target", "local"),
        "status": facts["status"],
        "startTimeUtc": utc(facts["started_ns"]),
        "endTimeUtc": utc(facts["ended_ns"]),
        "services": {},
        "warnings": [
            {"source": "Outlast", "code": code, "message": message}
            for code, message in facts.get("warnings") or ()
        ],
        "properties": {**own_properties(spec), **facts["properties"]},
        "inputDatasets": [
            {"dataset": {"name": name}, "consumptionDetails": dict(given)}
            for name, given in spec.get("parameters", {}).get("inputs", {}).items()
        ]
        + [_input(name, given) for name, given in (spec.get("inputs") or {}).items()],
        "outputDatasets": [
            _output(name, given) for name, given in (spec.get("deliveries") or {}).items()
        ],
        "runDefinition": definition(spec) if is_job else {},
        "logFiles": {STD_LOG: f"{url}/api/runs/{facts['id']}/output"} if is_job else {},
        "submittedBy": facts["created_by"],
    }
    if facts["status"] == "Failed":
        found["error"] = {
            "error": {
                "code": "UserError",
                "message": facts["message"] or facts["cause"],
                "cause": facts["cause"],
                "hint": f"outlast why {facts['id']}",
            }
        }
    return found


def _input(name: str, given: Mapping[str, Any]) -> Dict[str, Any]:
    dataset = {"id": Definition.from_dict(given["definition"]).id}
    if given["dataset"]:
        dataset.update(name=given["dataset"], version=given["version"])
    told = {"type": "RunInput", "inputName": name, "mechanism": given["mode"].capitalize()}
    if given["path"]:
        told["pathOnCompute"] = given["path"]
    return {"dataset": dataset, "consumptionDetails": told}


def _output(name: str, given: Mapping[str, Any]) -> Dict[str, Any]:
    dataset = {"datastore": given["datastore"], "path": given["target"]}
    if given["register"]:
        dataset["name"] = given["register"]["name"]
    return {"dataset": dataset, "outputType": "RunOutput", "outputDetails": {"outputName": name}}


def definition(spec: Mapping[str, Any]) -> Dict[str, Any]:
    """What was submitted, with the keys of a run configuration."""
    command = list(spec.get("command", ()))
    own = spec.get("properties", {})
    is_script = "azureml.script" in own
    return _Definition(
        {
            "script": own.get("azureml.script"),
            "command": ""
            if is_script
            else " ".join(command[2:] if command[:2] == [*SHELL] else command),
            "arguments": command[2:] if is_script else [],
            "target": own.get("azureml.target", "local"),
            "environment": dict(spec.get("environment") or {}),
            "environmentVariables": dict(spec.get("variables") or {}),
            "maxRunDurationSeconds": int(spec.get("limits", {}).get("max_run_duration_s", 0))
            or None,
            "nodeCount": int((spec.get("distributed") or {}).get("nodes", 1)),
        }
    )


class _Definition(Dict[str, Any]):
    """Older scripts ask for "Arguments" and the like: the key as it was called then."""

    def __missing__(self, key: str) -> Any:
        name = key[:1].lower() + key[1:]
        if name == key or name not in self:
            raise KeyError(key)
        return self[name]


def own_properties(spec: Mapping[str, Any]) -> Dict[str, str]:
    """What Azure ML tells of a run's code among its properties."""
    found: Dict[str, str] = dict(spec.get("properties") or {})
    git = spec.get("git") or {}
    for name, key in (("commit", "commit"), ("branch", "branch"), ("repository_uri", "remote")):
        if git.get(key):
            found[f"azureml.git.{name}"] = str(git[key])
    if git:
        found["azureml.git.dirty"] = str(bool(git.get("is_dirty")))
    digest = (spec.get("source") or {}).get("digest")
    if digest:
        found["ContentSnapshotId"] = str(digest)
    return found


def utc(time_ns: int) -> Optional[str]:
    """As "2026-01-31T12:00:00.000000Z"; None for a time that hasn't come."""
    if not time_ns:
        return None
    moment = datetime.fromtimestamp(time_ns / 1e9, tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
