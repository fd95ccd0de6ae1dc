"""The NATS of the chart as three real servers: configuration and environment as they are rendered, on free ports of this machine.

    nats_cluster.py RENDERED.json

They must find each other, elect a leader, and keep a stream with three replicas. Shown first a spoiled environment, in which the password
of the routes is not put in, as when it stood inside of the address in the configuration: there must be no leader.

Run by `cargo xtask deploy check`, over the rendering of values-ha.yaml.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error

from bus_users import Client
from live import free_ports, get, tool

# How long an election may take on a busy machine, in seconds.
PATIENCE = 120
# How the passwords are called, so that the client of bus_users.py knows them.
ROUTE = "r0ute"


def one(objects, kind, name):
    return next(it for it in objects if it["kind"] == kind and it["metadata"]["name"] == name)


def environment(container, pod):
    """What Kubernetes would give the container: `$(NAME)` is what stands before under that name."""
    known = {}
    for it in container["env"]:
        if "value" in it:
            value = re.sub(r"\$\(([A-Z_]+)\)", lambda found: known.get(found[1], found[0]), it["value"])
        elif "fieldRef" in it["valueFrom"]:
            value = pod
        else:
            key = it["valueFrom"]["secretKeyRef"]["key"].removesuffix("-password")
            value = ROUTE if key == "route" else f"p{key}"
        known[it["name"]] = value
    return known


class Server:
    def __init__(self, objects, folder, ports, index, change):
        state = one(objects, "StatefulSet", "solmu-nats")
        name = state["metadata"]["name"]
        config = one(objects, "ConfigMap", name)["data"]
        folder.mkdir()
        client, cluster, self.monitor = ports[index]
        self.client = client
        text = config["nats.conf"]
        for old, new in [
            ("0.0.0.0:4222", f"127.0.0.1:{client}"), ("0.0.0.0:6222", f"127.0.0.1:{cluster}"), ("0.0.0.0:8222", f"127.0.0.1:{self.monitor}"),
            ('"/data"', f'"{folder}/data"'), ("/var/run/nats", str(folder)),
        ]:
            if old not in text:
                raise RuntimeError(f"nats.conf has no {old} any more: change this check, too")
            text = text.replace(old, new)
        (folder / "nats.conf").write_text(text)
        (folder / "users.conf").write_text(config["users.conf"])
        values = environment(state["spec"]["template"]["spec"]["containers"][0], f"{name}-{index}")
        # Names of pods are of the cluster only.
        for other, (_, route, _) in enumerate(ports):
            values = {key: value.replace(f"{name}-{other}.{name}-headless:6222", f"127.0.0.1:{route}") for key, value in values.items()}
        self.log = folder / "nats.log"
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [tool("nats-server"), "--config", str(folder / "nats.conf")], env={**os.environ, **change(values)}, stdout=log, stderr=log,
            )

    def leader(self):
        """Who leads the group of all that keep streams; nothing while nobody does."""
        meta = json.loads(get(f"http://127.0.0.1:{self.monitor}/jsz"))["meta_cluster"]
        return meta.get("leader") if meta["cluster_size"] == 3 else None

    def refused(self):
        return re.search(r"authentication error|authorization violation|authorization timeout", self.log.read_text(errors="replace"), re.IGNORECASE)


class Servers:
    def __init__(self, objects, folder, change=lambda values: values):
        count = one(objects, "StatefulSet", "solmu-nats")["spec"]["replicas"]
        ports = [tuple(free_ports(3)) for _ in range(count)]
        self.all = []
        for index in range(count):
            self.all.append(Server(objects, pathlib.Path(folder) / str(index), ports, index, change))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for it in self.all:
            it.child.terminate()
        for it in self.all:
            it.child.wait()

    def until(self, probe):
        """What all of them say, once all of them say something; nothing if that does not come."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and all(it.child.poll() is None for it in self.all):
            try:
                said = [probe(it) for it in self.all]
            except (OSError, urllib.error.URLError, ValueError, KeyError):
                said = [None]
            if all(said):
                return said
            time.sleep(0.1)
        return None

    def tail(self):
        return self.all[0].log.read_text(errors="replace")[-1500:]


def problems(objects):
    with tempfile.TemporaryDirectory(prefix="solmu-nats-cluster-") as folder, Servers(objects, folder) as servers:
        leaders = servers.until(Server.leader)
        if not leaders or len(set(leaders)) != 1:
            yield f"three servers as the chart makes them elect no leader: {leaders}\n{servers.tail()}"
            return
        wanted = {"name": "SOLMU_INBOUND", "subjects": ["solmu.inbound.v1.*"], "storage": "file", "max_bytes": 1 << 20, "num_replicas": 3}
        made = json.loads(Client(servers.all[1].client, "admin").ask("$JS.API.STREAM.CREATE.SOLMU_INBOUND", json.dumps(wanted).encode()))
        if "error" in made:
            yield f"no stream of three replicas: {made['error']}"


def main():
    objects = json.loads(pathlib.Path(sys.argv[1]).read_text())
    if not tool("nats-server"):
        print("not run: the servers of the chart (no nats-server: scripts/tools.sh)")
        return 0
    found = list(problems(objects))

    def spoiled(values):
        return {key: value.replace(f":{ROUTE}@", ":$SOLMU_NATS_ROUTE@") for key, value in values.items()}

    with tempfile.TemporaryDirectory(prefix="solmu-nats-cluster-") as folder, Servers(objects, folder, spoiled) as servers:
        if not servers.until(Server.refused):
            found.append(f"servers that do not know the password of the routes let each other in:\n{servers.tail()}")
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
