"""Checks deploy/compose.yaml without docker: its form against the schema of the Compose specification, and what a schema
cannot see: names that must meet, files that must be there, settings that the program must take, listeners that are published
to this machine only.

    compose.py check [BINARY]   BINARY: the program that says whether it takes its settings

Run by `cargo xtask deploy check`, with the packages of scripts/deploy-tools.txt on PYTHONPATH.
"""

import copy
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy/compose.yaml"
# The schema comes with a package of others; its own program would want more packages than we need.
SCHEMA = ROOT / ".tools/python/check_jsonschema/builtin_schemas/vendor/compose-spec.json"


def read():
    # Variables get their defaults, as when nobody sets them.
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", FILE.read_text())
    return yaml.safe_load(text)


def form(compose):
    validator = jsonschema.validators.validator_for(json.loads(SCHEMA.read_text()))(json.loads(SCHEMA.read_text()))
    for error in validator.iter_errors(compose):
        yield f"{'.'.join(map(str, error.path)) or 'the file'}: {error.message[:200]}"


def wiring(compose):
    services = compose["services"]
    published = {}
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"{name} waits for '{other}', which is not there"
            elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                yield f"{name} waits until '{other}' is well, which nobody looks at"
        for config in service.get("configs", []):
            if config["source"] not in compose.get("configs", {}):
                yield f"{name} reads the config '{config['source']}', which is not there"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (FILE.parent / source).exists():
                    yield f"{name} mounts '{source}', which is not there"
            elif source not in compose.get("volumes", {}):
                yield f"{name} mounts the volume '{source}', which is not there"
        for port in map(str, service.get("ports", [])):
            address, host, inside = ["", *port.split(":")][-3:]
            if address != "127.0.0.1":
                yield f"{name} publishes {port} to the whole network"
            if host in published:
                yield f"{name} and {published[host]} both publish {host}"
            published[host] = name
        image = service.get("image", "")
        if ":" not in image or image.endswith(":latest"):
            yield f"{name}: the image '{image}' has no version"
    used = {config["source"] for service in services.values() for config in service.get("configs", [])}
    for config in set(compose.get("configs", {})) - used:
        yield f"nobody reads the config '{config}'"


def listeners(compose):
    """What Solmu is told to listen on is published, and nothing else."""
    solmu = compose["services"]["solmu"]
    told = {value.rsplit(":", 1)[1] for key, value in solmu["environment"].items() if key.endswith(("_ADDRESS", "__LISTEN"))}
    published = {str(port).rsplit(":", 1)[1] for port in solmu.get("ports", [])}
    if told != published:
        yield f"solmu listens on {sorted(told)} and publishes {sorted(published)}"


def settings(compose, binary):
    """The program itself takes its settings."""
    environment = {key: str(value) for key, value in compose["services"]["solmu"]["environment"].items()}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([binary, "--data", folder, "config", "check"], env=environment, cwd=folder,
                              capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"solmu: {done.stderr.strip()}"


def tool(name):
    ours = ROOT / ".tools/bin" / name
    return str(ours) if ours.exists() else shutil.which(name)


def engines(compose):
    """The configurations within the file, by the programs that read them."""
    nats = compose["configs"]["nats"]["content"]
    if "sync_interval: always" not in nats:
        yield "nats: without sync_interval: always it loses at a power cut what senders were told is safe"
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "nats.conf"
        path.write_text(nats.replace('"/data"', f'"{folder}/data"'))
        if tool("nats-server"):
            done = subprocess.run([tool("nats-server"), "--config", str(path), "-t"], capture_output=True, text=True, check=False)
            if done.returncode:
                yield f"nats: {done.stderr.strip()}"
    if tool("promtool"):
        command = [tool("promtool"), "check", "config", "--syntax-only", str(ROOT / "deploy/observability/prometheus.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"prometheus: {(done.stdout + done.stderr).strip()}"
    for name, config in compose["configs"].items():
        if name != "nats" and not isinstance(yaml.safe_load(config["content"]), dict):
            yield f"the config '{name}' is no YAML that Grafana reads"


def problems(compose, binary):
    found = list(form(compose))
    # What has another form is not looked into.
    if not found:
        found = [*wiring(compose), *listeners(compose), *engines(compose)]
        if binary:
            found += settings(compose, binary)
    return found


# Each of them must be found, or the check checks nothing.
def spoiled(compose):
    def change(what, edit):
        other = copy.deepcopy(compose)
        edit(other["services"]["solmu"], other)
        return what, other

    yield change("an unknown key", lambda solmu, _: solmu.update(imagee="x"))
    yield change("a wrong type", lambda solmu, _: solmu.update(ports="7310"))
    yield change("a service that is not there", lambda solmu, _: solmu["depends_on"].update(redis={"condition": "service_started"}))
    yield change("health that nobody looks at", lambda solmu, _: solmu["depends_on"].update(nats={"condition": "service_healthy"}))
    yield change("a volume that is not there", lambda solmu, _: solmu["volumes"].append("attic:/attic"))
    yield change("a file that is not there", lambda _, all: all["services"]["grafana"]["volumes"].append("./nowhere:/x:ro"))
    yield change("an open port", lambda solmu, _: solmu["ports"].__setitem__(0, "7310:7310"))
    yield change("a port taken twice", lambda solmu, _: solmu["ports"].append("127.0.0.1:9090:7310"))
    yield change("a listener that nobody reaches", lambda solmu, _: solmu["ports"].pop())
    yield change("an image without a version", lambda solmu, _: solmu.update(image="solmu:latest"))
    yield change("a config that is not there", lambda _, all: all["configs"].pop("datasource"))
    yield change("an unsafe bus", lambda _, all: all["configs"]["nats"].update(content="port: 4222\n"))


def spoiled_settings(compose):
    other = copy.deepcopy(compose)
    other["services"]["solmu"]["environment"]["SOLMU__NATS__PARTITION"] = "4"
    return other


def main(arguments):
    match arguments:
        case ["check", *rest]:
            binary = os.path.abspath(rest[0]) if rest else None
        case _:
            print(__doc__)
            return 2
    compose = read()
    found = problems(compose, binary)
    if not found:
        found = [f"the check does not see {what}" for what, other in spoiled(compose) if not problems(other, None)]
        if binary and not list(settings(spoiled_settings(compose), binary)):
            found.append("the check does not see a setting that the program does not know")
    for problem in found:
        print(f"deploy/compose.yaml: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
