"""The kinds of operators that the chart makes objects of, checked as an API server checks them by its schema: unknown fields are
errors. Rules in CEL (`x-kubernetes-validations`) are not evaluated; the linter of xtask knows those that matter to us.

    crds.py make ORIGIN VERSION CRD.yaml   writes deploy/checks/crds/<kind>.json of a project's own definition

The files hold what the projects publish (Apache License 2.0), without descriptions; each names its origin and version.
"""

import functools
import json
import pathlib
import sys

import jsonschema
import yaml

FOLDER = pathlib.Path(__file__).resolve().parent / "crds"
# Words for people, and what only an API server does.
DROPPED = {"description", "default", "format", "example", "x-kubernetes-validations", "x-kubernetes-map-type",
           "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}


def strict(schema):
    """An OpenAPI schema of a definition as JSON Schema that takes nothing which it does not name."""
    if not isinstance(schema, dict):
        return schema
    made = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties"):
            made[key] = {name: strict(it) for name, it in value.items()}
        elif key in ("items", "additionalProperties", "not"):
            made[key] = strict(value)
        elif key in ("oneOf", "anyOf", "allOf"):
            # They narrow what stands beside them and name only a part of the fields.
            made[key] = value
        elif key not in DROPPED and not key.startswith("x-kubernetes-") and key != "nullable":
            made[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("anyOf", None)
        made["type"] = ["integer", "string"]
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if "properties" in made and "additionalProperties" not in made and not open_ended:
        made["additionalProperties"] = False
    if schema.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def make(origin, version, path):
    definition = yaml.safe_load(pathlib.Path(path).read_text())
    spec = definition["spec"]
    versions = {}
    for it in spec["versions"]:
        if not it.get("served"):
            continue
        schema = strict(it["schema"]["openAPIV3Schema"])
        # An API server judges `metadata`, and nobody writes `status`.
        schema["properties"]["metadata"] = {"type": "object"}
        schema["properties"].pop("status", None)
        versions[f"{spec['group']}/{it['name']}"] = schema
    kind = spec["names"]["kind"]
    content = {"origin": origin, "version": version, "licence": "Apache-2.0", "kind": kind, "schemas": versions}
    (FOLDER / f"{kind}.json").write_text(json.dumps(content, separators=(",", ":"), sort_keys=True) + "\n")
    print(f"crds: {kind} of {origin} {version}")


@functools.cache
def validators():
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text())
        for version, schema in content["schemas"].items():
            found[version, content["kind"]] = jsonschema.Draft202012Validator(schema)
    return found


def knows(it):
    return (it["apiVersion"], it["kind"]) in validators()


def problems(it):
    """Everything that is wrong with an object, not only the first."""
    for error in validators()[it["apiVersion"], it["kind"]].iter_errors(it):
        path = ".".join(str(part) for part in error.absolute_path)
        yield f"{path or 'the object'}: {error.message[:200]}"


def self_test(objects):
    """The schemas see what they are there for: a field that nobody knows, one that is missing, one of a wrong type."""
    for it in objects:
        for what, spoil in (
            ("an unknown field", lambda spec: spec.update(imgae="x")),
            ("a wrong type", lambda spec: spec.update({next(iter(spec)): 7.5})),
        ):
            spoiled = json.loads(json.dumps(it))
            spoil(spoiled["spec"])
            if not list(problems(spoiled)):
                yield f"the schema of {it['kind']} takes {what}"


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] != "make":
        sys.exit(__doc__)
    make(*sys.argv[2:])
