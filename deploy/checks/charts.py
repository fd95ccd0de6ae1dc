"""Renders the chart with a real Helm engine, and everything that is made of it. No cluster, no network.

    charts.py check OUT   lint, render every values file, refuse unknown values, validate against the oldest and the newest
                          supported Kubernetes, build every overlay; the objects go to OUT/<case>.json for the linter
    charts.py k8s         writes k8s/base and k8s/components
    charts.py k8s --check says what of it differs from what is there
    charts.py schema BINARY          writes what `config` of the values may hold into values.schema.json, as the program says it
    charts.py schema BINARY --check  says whether it is stale, and whether every secret of it is refused in the values

Run by `cargo xtask deploy`, with the packages of scripts/deploy-tools.txt on PYTHONPATH.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib

import yaml

import crds
import helm_python
import kubernetes_validate

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/solmu"
K8S = ROOT / "k8s"
# The versions that `kubeVersion` of the chart begins with, and the newest that has a schema.
OLDEST, NEWEST = "1.30", "1.37"
HEADER = "# Generated from deploy/helm/solmu by `cargo xtask deploy k8s`. Do not edit: change the chart, or patch in an overlay.\n"

BASE = {"jobs": {"mode": "gitops"}, "nats": {"userPerRole": True}}
# Servers of our own, with what belongs to them.
OWN_NATS = {"install": True, "userPerRole": True}
# What each component is: values on top of the base.
COMPONENTS = {
    "engines": {
        "postgres": {"cluster": {"enabled": True}},
        "nats": {"install": True, "streamReplicas": 3},
    },
    "hpa": {"roles": {role: {"autoscaling": {"enabled": True, "minReplicas": 3}} for role in ("email", "chat", "social", "forms")}},
    "keda": {
        "keda": {"enabled": True},
        "nats": {"monitoringEndpoint": "solmu-nats.solmu.svc:8222"},
        "roles": {"tickets": {"autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 16}}},
    },
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "ingress": {"ingress": {"enabled": True, "host": "desk.example.com"}},
    "gateway": {
        "gateway": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways"}],
            "httpHostnames": ["desk.example.com"],
            "grpcHostnames": ["api.desk.example.com"],
            "apiHostnames": ["json.desk.example.com"],
        }
    },
}

class Dumper(yaml.SafeDumper):
    """Long texts as blocks, so that a person can read the configuration in them; lists indented."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def text(dumper, data):
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


Dumper.add_representer(str, text)


def dump(objects):
    return "---\n".join(yaml.dump(it, Dumper=Dumper, sort_keys=False, width=10_000, allow_unicode=True) for it in objects)


def merge(below, above):
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {key: merge(below[key], above[key]) if key in below and key in above else above.get(key, below.get(key))
            for key in [*below, *(key for key in above if key not in below)]}


def render(values):
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        files = chart.render(values=values, name="solmu", namespace="solmu")
    objects = []
    for path in sorted(files):
        if path.endswith("NOTES.txt"):
            assert files[path].strip(), "the notes are empty"
            continue
        objects += [it for it in yaml.safe_load_all(files[path]) if it]
    return objects


def name_of(it):
    return it["kind"], it["metadata"]["name"]


def cases():
    yield "defaults", {}
    yield "values-ha", yaml.safe_load((CHART / "values-ha.yaml").read_text())
    for path in sorted((CHART / "ci").glob("*.yaml")):
        yield path.stem, yaml.safe_load(path.read_text())


def lint(name, values):
    report = helm_python.lint(str(CHART), values, strict=True, namespace="solmu", kube_version=f"v{NEWEST}.0")
    for message in report["messages"]:
        # Severity 1 is a wish (an icon).
        if message["severity"] >= 2:
            yield f"{name}: helm lint: {message['path']}: {message['error']}"
    yield from (f"{name}: helm lint: {error}" for error in report["errors"])


def refusals():
    """Values that must be refused, or a slip of the pen would be silently ignored: each with a word of what is said."""
    wrong = {
        "an unknown key": ({"imgae": {}}, "imgae"),
        "an unknown key of a role": ({"roles": {"email": {"replica": 2}}}, "replica"),
        "an unknown role": ({"roles": {"mail": {}}}, "mail"),
        "a wrong type": ({"nats": {"partitions": "many"}}, "partitions"),
        "an even number of replicas": ({"nats": {"streamReplicas": 2}}, "streamReplicas"),
        "an unknown job mode": ({"jobs": {"mode": "sometimes"}}, "mode"),
        "a secret in the values": ({"postgres": {"url": "postgres://"}}, "url"),
        "an unknown section of the configuration": ({"config": {"emial": {}}}, "emial"),
        "an unknown key of the configuration": ({"config": {"email": {"relay": {"hots": "a"}}}}, "hots"),
        "an unknown key in a list of the configuration": ({"config": {"email": {"accounts": [{"name": "a", "adresses": []}]}}}, "adresses"),
        "a wrong type in the configuration": ({"config": {"chat": {"heartbeat_seconds": "soon"}}}, "heartbeat_seconds"),
        "an unknown word in the configuration": ({"config": {"email": {"relay": {"tls": "maybe"}}}}, "tls"),
        "a number out of range in the configuration": ({"config": {"postgres": {"max_connections": 1}}}, "max_connections"),
        "a secret in the configuration": ({"config": {"email": {"relay": {"host": "a", "password": "b"}}}}, "secretMounts"),
        "an address against the probes": ({"config": {"server": {"admin_address": "0.0.0.0:9"}}}, "listenAddress"),
        "an address against the probes, by environment": (
            {"roles": {"chat": {"env": [{"name": "SOLMU__SERVER__ADMIN_ADDRESS", "value": "0.0.0.0:9"}]}}}, "listenAddress"),
        "a port of mail that the Service does not know": ({"config": {"email": {"listen": "0.0.0.0:25"}}}, "smtp.port"),
        "partitions that the jobs do not know": ({"config": {"nats": {"partitions": 4}}}, "nats.partitions"),
        "a drain that the grace period does not know": ({"config": {"lifecycle": {"drain_timeout_ms": 90000}}}, "shutdown.drainSeconds"),
        "a folder that is not mounted": ({"config": {"objects": {"folder": "/tmp"}}}, "objects"),
        "a secret in an environment variable": (
            {"roles": {"email": {"env": [{"name": "SOLMU__EMAIL__RELAY__PASSWORD", "value": "b"}]}}}, "secretKeyRef"),
        "an IPv6 address without brackets": ({"listenAddress": "::"}, "brackets"),
        "more replicas of a stream than servers": ({"nats": OWN_NATS | {"streamReplicas": 3, "server": {"replicas": 1}}}, "servers"),
        "servers without users": ({"nats": {"install": True}}, "userPerRole"),
        "streams that the store cannot hold": ({"nats": OWN_NATS | {"maxStreamBytes": 4 << 30}}, "maxFileStore"),
        "a store that the volume cannot hold": ({"nats": OWN_NATS | {"server": {"size": "5Gi"}}}, "server.size"),
        "more pods at least than at most": (
            {"roles": {"email": {"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}}}}, "minReplicas"),
        "a mount over one of its own": ({"secretMounts": [{"name": "nats", "existingSecret": "a"}]}, "secretMounts"),
        "two mounts of one name": ({"secretMounts": [{"name": "a", "existingSecret": it} for it in "ab"]}, "secretMounts"),
        "a label that selectors look for": ({"commonLabels": {"app.kubernetes.io/component": "mine"}}, "commonLabels"),
        "a label of pods that selectors look for": ({"podLabels": {"app.kubernetes.io/instance": "mine"}}, "podLabels"),
        "a name that no Service can have": ({"fullnameOverride": "Solmu_Prod"}, "fullnameOverride"),
        "a name with a dot": ({"fullnameOverride": "x.y"}, "fullnameOverride"),
        "routes that belong to nobody": ({"gateway": {"enabled": True}}, "parentRefs"),
        "more connections than PostgreSQL takes": (
            {"postgres": {"maxConnections": 100, "cluster": {"enabled": True}}}, "cluster.maxConnections"),
        "more of a role of which one leads": ({"roles": {"sla": {"autoscaling": {"enabled": True}}}}, "stand by"),
        "a peer that is nobody": ({"networkPolicy": {"monitoring": [{}]}}, "monitoring"),
    }
    for what, (values, said) in wrong.items():
        yield from refused(what, values, said)


def nobody():
    """Who empties a list of peers means nobody, and Kubernetes takes an empty list for everybody."""
    lists = ("monitoring", "ingressControllers", "keda", "grpcClients", "apiClients", "smtpClients", "natsClients", "dns")
    policy = {it: [] for it in lists} | {it: {"to": []} for it in ("postgres", "nats", "otlp")}
    otlp = {"otlpEndpoint": "http://otel.monitoring.svc:4317"}
    given = {"networkPolicy": policy, "telemetry": otlp, "nats": {"monitoringEndpoint": "nats.nats.svc:8222"}}
    for what, values in (("given engines", given), ("own NATS", given | {"nats": OWN_NATS})):
        for it in render(values):
            if it["kind"] != "NetworkPolicy":
                continue
            name = it["metadata"]["name"]
            inside = [(rule.get("from"), rule["ports"]) for rule in it["spec"].get("ingress") or []]
            outside = [(rule.get("to"), rule["ports"]) for rule in it["spec"].get("egress") or []]
            for peers, ports in inside + outside:
                if not peers:
                    yield f"{what}, every list of peers empty: NetworkPolicy/{name} opens {ports} to everybody"
            open_to_none = {"admin", "http", "api", "smtp"} & {port["port"] for _, ports in inside for port in ports}
            if open_to_none:
                yield f"{what}, every list of peers empty: NetworkPolicy/{name} lets somebody to {sorted(open_to_none)}"


def kept():
    """What holds data outlives the release: a slip in the values would take it otherwise, and nothing asks."""
    own = {"nats": OWN_NATS, "postgres": {"cluster": {"enabled": True}}}
    for mode, wanted in (("hook", {}), ("gitops", {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false"})):
        wanted |= {"helm.sh/resource-policy": "keep"}
        found = set()
        for it in render(own | {"jobs": {"mode": mode}}):
            kind, name = name_of(it)
            notes = it["metadata"].get("annotations") or {}
            if kind in ("Cluster", "PersistentVolumeClaim"):
                found.add(kind)
                yield from (f"{mode}: {kind}/{name}: without {key}: {word} it is thrown away with the release"
                            for key, word in wanted.items() if notes.get(key) != word)
            if kind == "StatefulSet" and it["spec"].get("volumeClaimTemplates"):
                found.add(kind)
                policy = it["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
                if set(policy.values()) != {"Retain"}:
                    yield f"{mode}: {kind}/{name}: its claims are not retained"
        if found != {"Cluster", "PersistentVolumeClaim", "StatefulSet"}:
            yield f"{mode}: only {sorted(found)} hold data"


def visitors():
    """Behind a proxy each visitor is one, not all of a proxy."""
    def config(values):
        found = next(it for it in render(values) if it["kind"] == "ConfigMap" and "solmu.toml" in it["data"])
        return tomllib.loads(found["data"]["solmu.toml"])

    plain, told = config({}), config({"trustedProxies": ["192.0.2.0/24"], "config": {"chat": {"trusted_proxies": []}}})
    for section in ("chat", "forms", "public_links"):
        if not plain.get(section, {}).get("trusted_proxies"):
            yield f"by default {section}.trusted_proxies is empty: all visitors of a proxy are one"
    if told["forms"]["trusted_proxies"] != ["192.0.2.0/24"] or told["chat"]["trusted_proxies"]:
        yield "trustedProxies of the values, or config over it, is not what the program is told"


def whole_files():
    """No two components of kustomize replace the same text as a whole: the later one would take back what the earlier one said."""
    texts = {}
    for path in sorted((K8S / "components").glob("*/kustomization.yaml")):
        for patch in yaml.safe_load(path.read_text()).get("patches") or []:
            target = (patch["target"]["kind"], patch["target"]["name"])
            for step in yaml.safe_load(patch["patch"]):
                if target[0] == "ConfigMap" and step["op"] == "replace":
                    texts.setdefault((*target, step["path"]), set()).add(path.parent.name)
    for (kind, name, path), components in texts.items():
        if len(components) > 1:
            yield f"k8s/components: {sorted(components)} all replace {path} of {kind}/{name}: the last one wins"


def refused(what, values, said):
    try:
        render(values)
    except helm_python.HelmError as error:
        if said not in str(error):
            yield f"the chart refuses {what}, and does not speak of {said}: {str(error)[:300]}"
        return
    yield f"the chart takes {what}: {json.dumps(values)}"


def validate(name, objects):
    for it in objects:
        kind, title = name_of(it)
        if crds.knows(it):
            yield from (f"{name}: {kind}/{title}: {problem}" for problem in crds.problems(it))
            continue
        for version in (OLDEST, NEWEST):
            try:
                kubernetes_validate.validate(it, version, strict=True)
            except kubernetes_validate.SchemaNotFoundError:
                yield f"{name}: {kind}/{title}: neither Kubernetes {version} nor deploy/checks/crds has {it['apiVersion']} {kind}"
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.path)
                yield f"{name}: {kind}/{title}: Kubernetes {version}: {path}: {error.message[:200]}"


def overlay_names():
    return sorted(path.name for path in (K8S / "overlays").iterdir() if path.is_dir())


def build_overlay(name):
    program = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    done = subprocess.run([*program, str(K8S / "overlays" / name)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"overlay {name}: {done.stderr.strip()}")
    return [it for it in yaml.safe_load_all(done.stdout) if it]


def check(out):
    out.mkdir(parents=True, exist_ok=True)
    problems = [*refusals(), *nobody(), *kept(), *visitors(), *whole_files()]
    rendered = {}
    for name, values in cases():
        problems += lint(name, values)
        rendered[name] = render(values)
    if shutil.which("kustomize") or shutil.which("kubectl"):
        for name in overlay_names():
            try:
                rendered[f"overlay-{name}"] = build_overlay(name)
            except RuntimeError as error:
                problems.append(str(error))
    else:
        print("not run: kustomize build of the overlays (neither kustomize nor kubectl is there)")
    custom = {(it["apiVersion"], it["kind"]): it for objects in rendered.values() for it in objects if crds.knows(it)}
    problems += crds.self_test(custom.values())
    for name, objects in rendered.items():
        problems += validate(name, objects)
        (out / f"{name}.json").write_text(json.dumps(objects, indent=1))
    print(f"charts: {len(rendered)} renderings, {sum(map(len, rendered.values()))} objects, Kubernetes {OLDEST} and {NEWEST}, "
          f"{len(custom)} kinds of operators")
    return problems


def difference(old, new, path=""):
    """JSON 6902 operations that make `new` of `old`. Lists are replaced whole."""
    for key in [*old, *(key for key in new if key not in old)]:
        here = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if key not in new:
            yield {"op": "remove", "path": here}
        elif key not in old:
            yield {"op": "add", "path": here, "value": new[key]}
        elif isinstance(old[key], dict) and isinstance(new[key], dict):
            yield from difference(old[key], new[key], here)
        elif old[key] != new[key]:
            yield {"op": "replace", "path": here, "value": new[key]}


def is_test(it):
    return it["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"


def for_kustomize(objects):
    objects = [it for it in objects if not is_test(it)]
    for it in objects:
        # Nobody's release: what Helm says of itself would be a lie.
        for labels in (it["metadata"]["labels"], it.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})):
            labels.pop("helm.sh/chart", None)
            if "app.kubernetes.io/managed-by" in labels:
                labels["app.kubernetes.io/managed-by"] = "kustomize"
    return objects


def generate(folder):
    base = for_kustomize(render(BASE))
    before = {name_of(it): it for it in base}
    files = {
        "base/solmu.yaml": HEADER + dump(base),
        "base/kustomization.yaml": HEADER + dump([{
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "solmu",
            "resources": ["solmu.yaml"],
        }]),
    }
    for component, values in COMPONENTS.items():
        after = for_kustomize(render(merge(BASE, values)))
        added = [it for it in after if name_of(it) not in before]
        patches = []
        for it in after:
            operations = list(difference(before.get(name_of(it), it), it))
            if operations:
                kind, name = name_of(it)
                patches.append({"target": {"kind": kind, "name": name}, "patch": dump([operations])})
        kustomization = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
        if added:
            kustomization["resources"] = ["objects.yaml"]
            files[f"components/{component}/objects.yaml"] = HEADER + dump(added)
        if patches:
            kustomization["patches"] = patches
        files[f"components/{component}/kustomization.yaml"] = HEADER + dump([kustomization])
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return sorted(files)


def stale():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        expected = generate(scratch)
        for name in expected:
            path = K8S / name
            if not path.is_file():
                yield f"k8s/{name} is missing: run `cargo xtask deploy k8s`"
            elif path.read_text() != (scratch / name).read_text():
                yield f"k8s/{name} is not what the chart makes: run `cargo xtask deploy k8s`"
    for part in ("base", "components"):
        for path in (K8S / part).rglob("*.yaml"):
            if str(path.relative_to(K8S)) not in expected:
                yield f"{path.relative_to(ROOT)} is made by nothing: remove it"


# Where the configuration's own definitions stand in values.schema.json.
SCHEMA = CHART / "values.schema.json"
PREFIX = "config."
# What says nothing about values, or is another's default.
LEFT_OUT = {"$schema", "$defs", "title", "default", "format", "writeOnly", "examples"}


def program_schema(binary):
    done = subprocess.run([binary, "--data", "/nowhere", "config", "schema"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def is_secret(node):
    return isinstance(node, dict) and (node.get("format") == "password" or is_secret(node.get("items")))


def draft7(node):
    """JSON Schema 2020-12 as draft 7, which every Helm 3 reads."""
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        # Draft 7 looks at nothing beside a reference.
        return {"$ref": node["$ref"].replace("#/$defs/", f"#/definitions/{PREFIX}")}
    out = {}
    for key, value in node.items():
        if key in LEFT_OUT:
            continue
        if key == "properties":
            out[key] = {name: draft7(it) for name, it in value.items()}
        elif key in ("oneOf", "anyOf", "allOf"):
            out[key] = [draft7(it) for it in value]
        elif key in ("items", "additionalProperties"):
            out[key] = draft7(value)
        elif key == "required":
            # A secret is given as a file.
            out[key] = [name for name in value if not is_secret(node["properties"][name])]
        else:
            out[key] = value
    return out


def chart_schema(program):
    """values.schema.json with what the program says of its configuration."""
    values = json.loads(SCHEMA.read_text())
    own = {name: it for name, it in values["definitions"].items() if not name.startswith("config")}
    theirs = {f"{PREFIX}{name}": draft7(it) for name, it in sorted(program["$defs"].items())}
    values["definitions"] = {**own, "config": draft7(program), **theirs}
    values["properties"]["config"] = {"$ref": "#/definitions/config"}
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def secrets(program, node, path=()):
    """The path of every secret, through tables, lists and maps."""
    while "$ref" in node:
        node = program["$defs"][node["$ref"].removeprefix("#/$defs/")]
    if is_secret(node):
        yield path
        return
    for name, it in node.get("properties", {}).items():
        yield from secrets(program, it, (*path, name))
    for many, step in (("items", 0), ("additionalProperties", "x")):
        if isinstance(node.get(many), dict):
            yield from secrets(program, node[many], (*path, step))
    for form in [it for key in ("anyOf", "oneOf", "allOf") for it in node.get(key, [])]:
        if form.get("type") != "null":
            yield from secrets(program, form, path)


def with_secret(program, path):
    """Values in which the secret at this path is given in clear, and all else that must be there beside it."""
    node, value = program, {}
    where, last = value, None
    for step in path:
        while "$ref" in node or "anyOf" in node:
            forms = [it for it in node.get("anyOf", []) if it.get("type") != "null"]
            node = program["$defs"][node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else forms[0]
        if step == 0:
            node = node["items"]
        elif step == "x" and "properties" not in node:
            node = node["additionalProperties"]
        else:
            for name in node.get("required", []):
                where[name] = "a"
            node = node["properties"][step]
        last = (where, step)
        where[step] = {}
        where = where[step]
    last[0][last[1]] = ["in clear"] if node.get("type") == "array" else "in clear"
    return value


def check_schema(binary):
    program = program_schema(binary)
    if SCHEMA.read_text() != chart_schema(program):
        yield "values.schema.json does not know the configuration of this program: run `cargo xtask deploy k8s`"
    paths = sorted(set(secrets(program, program)), key=str)
    if len(paths) < 10:
        yield f"the schema of the program tells of {len(paths)} secrets only"
    for path in paths:
        values = listed({"config": with_secret(program, path)})
        yield from refused(f"the secret {'.'.join(map(str, path))}", values, "secretMounts")
    print(f"charts: {len(paths)} secrets are refused in the values")


def listed(value):
    """Tables with the key 0 as lists of one."""
    if not isinstance(value, dict):
        return value
    if list(value) == [0]:
        return [listed(value[0])]
    return {name: listed(it) for name, it in value.items()}


def main(arguments):
    match arguments:
        case ["check", out]:
            problems = check(pathlib.Path(out))
        case ["k8s"]:
            print(f"k8s: {len(generate(K8S))} files")
            problems = []
        case ["k8s", "--check"]:
            problems = list(stale())
        case ["schema", binary]:
            SCHEMA.write_text(chart_schema(program_schema(binary)))
            print("values.schema.json: written")
            problems = []
        case ["schema", binary, "--check"]:
            problems = list(check_schema(binary))
        case _:
            print(__doc__)
            return 2
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
