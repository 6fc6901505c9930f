# SPDX-License-Identifier: Apache-2.0
"""Kubernetes manifests against the part of batch/v1 and core/v1 that they use: check_manifests.py FILE...

A field that is not listed here is one that the API server would refuse or drop. Needs python3-yaml.
"""
import re
import sys

import yaml

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
KEY_REF = {"name!": NAME, "key!": str, "optional": bool}
CONTAINER = {
    "name!": NAME, "image!": str, "command": [str], "args": [str], "workingDir": str,
    "env": [{"name!": re.compile(r"[A-Z_][A-Z0-9_]*$"), "value": str, "valueFrom": {"secretKeyRef": KEY_REF, "configMapKeyRef": KEY_REF}}],
    "securityContext": {"seccompProfile": {"type!": ("Unconfined", "RuntimeDefault", "Localhost"), "localhostProfile": str},
                        "allowPrivilegeEscalation": bool, "runAsUser": int, "runAsNonRoot": bool},
    "resources": {"requests": {"cpu": QUANTITY, "memory": QUANTITY}, "limits": {"cpu": QUANTITY, "memory": QUANTITY}},
    "volumeMounts": [{"name!": NAME, "mountPath!": str, "readOnly": bool}],
}
VOLUME = {"name!": NAME, "emptyDir": {"sizeLimit": QUANTITY, "medium": str},
          "persistentVolumeClaim": {"claimName!": NAME, "readOnly": bool}, "secret": {"secretName!": NAME}}
POD = {"restartPolicy!": ("Never", "OnFailure"), "terminationGracePeriodSeconds": int, "containers!": [CONTAINER], "volumes": [VOLUME],
       "serviceAccountName": NAME}
JOB = {"backoffLimit": int, "activeDeadlineSeconds": int, "completions": int, "parallelism": int, "ttlSecondsAfterFinished": int,
       "podFailurePolicy": {"rules!": [{"action!": ("FailJob", "Ignore", "Count"),
                                        "onExitCodes": {"containerName": NAME, "operator!": ("In", "NotIn"), "values!": [int]},
                                        "onPodConditions": [{"type!": str, "status": str}]}]},
       "template!": {"metadata": {"labels": dict}, "spec!": POD}}
SPECS = {
    "Job": JOB,
    "CronJob": {"schedule!": re.compile(r"\S+( \S+){4}$"), "concurrencyPolicy": ("Allow", "Forbid", "Replace"), "suspend": bool,
                "jobTemplate!": {"spec!": JOB}},
}


def check(value, schema, where):
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            yield f"{where}: a mapping is wanted"
            return
        known = {key.rstrip("!"): part for key, part in schema.items()}
        for key in schema:
            if key.endswith("!") and key[:-1] not in value:
                yield f"{where}.{key[:-1]} is missing"
        for key, part in value.items():
            if key not in known:
                yield f"{where}.{key}: there is no such field"
            else:
                yield from check(part, known[key], f"{where}.{key}")
    elif isinstance(schema, list):
        if not isinstance(value, list) or not value:
            yield f"{where}: a list is wanted"
            return
        for number, part in enumerate(value):
            yield from check(part, schema[0], f"{where}[{number}]")
    elif isinstance(schema, tuple):
        if value not in schema:
            yield f"{where}: {value!r} is none of {', '.join(schema)}"
    elif isinstance(schema, type):
        if not isinstance(value, schema) or (schema is int and isinstance(value, bool)):
            yield f"{where}: {value!r} is no {schema.__name__}"
    elif not isinstance(value, str) or not schema.match(value):
        yield f"{where}: {value!r} is not as {schema.pattern}"


def check_pod(pod, where):
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{where}: {container['name']} mounts {mount['name']}, which is no volume"


def check_document(document, where):
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind not in SPECS:
        return [f"{where}: no kind that is known here"]
    schema = {"apiVersion!": ("batch/v1",), "kind!": (kind,), "metadata!": {"name!": NAME, "namespace": NAME, "labels": dict},
              "spec!": SPECS[kind]}
    findings = list(check(document, schema, where))
    if not findings:
        job = document["spec"] if kind == "Job" else document["spec"]["jobTemplate"]["spec"]
        pod = job["template"]["spec"]
        findings += check_pod(pod, where)
        if "podFailurePolicy" in job and pod["restartPolicy"] != "Never":
            findings.append(f"{where}: a podFailurePolicy wants restartPolicy Never")
    return findings


def main():
    findings = []
    for path in sys.argv[1:]:
        try:
            with open(path, encoding="utf-8") as file:
                for document in yaml.safe_load_all(file):
                    findings += check_document(document, path)
        except (OSError, yaml.YAMLError) as error:
            findings.append(f"{path}: {error}")
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
