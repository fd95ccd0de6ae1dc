"""Runs the image from the rendered manifests, as a kubelet would: `podman kube play` of what `kubectl kustomize k8s/overlays/dev`
gives, on engines of this machine.

    pods.py

The Jobs run first; then a pod for each role starts, its probes are asked as they are declared, a mail goes through all of them,
`first-token` runs inside a pod as docs/kubernetes.md says, and each pod ends on SIGTERM under load within its grace. What the
kernel says of each process (user, capabilities, privileges, read-only root) is compared with the manifest. Needs root, podman,
the image `localhost/solmu:dev` of `make image`, and what `make check-deploy` has rendered; says so where they are missing.

What stands in for a cluster: folders for the volumes, with the owner and the modes that `fsGroup` gives; a bridge for the network.
Nothing here schedules, admits or restarts pods.
"""

import base64
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error

from live import ROOT, Process, free_ports, get, postgres_program, tool, until

RENDERED = ROOT / "target/deploy/overlay-dev.json"
IMAGE = "localhost/solmu:dev"
# The user of the image, and what `fsGroup` of the manifests names.
USER = 65532
ROLES = ["email", "chat", "social", "forms", "tickets", "router", "sla"]
# crun and the limits of podman's defaults ask for more than a container in a container may have.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])}: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout.strip()


class Engines:
    """PostgreSQL and NATS with a user for each role, where pods can reach them."""

    def __init__(self, folder, address):
        self.folder, self.address = folder, address
        self.nats_port, self.monitoring, self.postgres_port = free_ports(3)
        self.processes = []

    def start(self):
        passwords = {f"SOLMU_NATS_{role.upper()}": f"p{role}" for role in ["admin", *ROLES]}
        (self.folder / "users.conf").write_text((ROOT / "deploy/nats/users.conf").read_text())
        (self.folder / "nats.conf").write_text(
            f'listen: "0.0.0.0:{self.nats_port}"\nhttp: "127.0.0.1:{self.monitoring}"\nmax_payload: 1MB\n'
            f'jetstream {{ store_dir: "{self.folder}/jetstream", sync_interval: always, max_file_store: 64GB }}\ninclude ./users.conf\n'
        )
        self.processes.append(Process("nats", [tool("nats-server"), "--config", str(self.folder / "nats.conf")], self.folder, passwords))
        cluster = self.folder / "postgres"
        cluster.mkdir()
        shutil.chown(cluster, "nobody")
        secret = self.folder / "password"
        secret.write_text("solmu")
        secret.chmod(0o644)
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        initdb = pathlib.Path(postgres_program("initdb")).resolve()
        run(*as_nobody, str(initdb), "--pgdata", str(cluster), "--username", "solmu", "--pwfile", str(secret), "--encoding", "UTF8",
            "--auth-host", "scram-sha-256", "--no-sync")
        with (cluster / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        server = [*as_nobody, str(initdb.parent / "postgres"), "-D", str(cluster), "-p", str(self.postgres_port), "-c", "listen_addresses=*",
                  "-c", "unix_socket_directories="]
        self.processes.append(Process("postgres", server, self.folder))
        # From here by loopback: the bridge is there only once a container is.
        self.postgres = f"postgres://solmu:solmu@127.0.0.1:{self.postgres_port}/postgres"
        until("nats-server", lambda: get(f"http://127.0.0.1:{self.monitoring}/healthz"))
        until("PostgreSQL", lambda: subprocess.run([postgres_program("psql"), "-At", self.postgres, "-c", "SELECT 1"],
                                                   capture_output=True, check=False).returncode == 0)

    def secrets(self):
        """What docs/kubernetes.md says how to make."""
        urls = {f"{role}-url": f"nats://{role}:p{role}@{self.address}:{self.nats_port}" for role in ["admin", *ROLES]}
        return {
            "solmu-postgres": {"url": self.postgres.replace("127.0.0.1", self.address)},
            "solmu-nats": urls,
            "solmu-signing-keys": {"keys": "a:" + base64.b64encode(bytes(32)).decode()},
        }

    def filed(self):
        rows = run(postgres_program("psql"), "-At", self.postgres, "-c", "SELECT external_id FROM tickets.message WHERE author_kind = 1")
        return rows.splitlines()

    def stop(self):
        for process in self.processes:
            if process.name == "postgres" and process.child.poll() is None:
                # Not the patient end: clients of a pod that hangs must not hold this up.
                process.child.send_signal(signal.SIGINT)
            process.stop()


class Kubelet:
    """Volumes, pods and probes."""

    def __init__(self, folder, objects, secrets):
        self.folder, self.objects, self.secrets, self.pods = folder, objects, secrets, []

    def find(self, kind, name):
        return next(it for it in self.objects if it["kind"] == kind and it["metadata"]["name"] == name)

    def write(self, place, name, text, mode):
        path = place / name
        path.write_text(text)
        os.chown(path, 0, USER)
        path.chmod(mode)

    def volume(self, pod, volume):
        place = self.folder / "volumes" / (volume["persistentVolumeClaim"]["claimName"] if "persistentVolumeClaim" in volume else f"{pod}.{volume['name']}")
        if not place.exists():
            place.mkdir(parents=True)
            os.chown(place, 0, USER)
            place.chmod(0o2775)
            if "secret" in volume:
                secret = volume["secret"]
                for item in secret["items"]:
                    self.write(place, item["path"], self.secrets[secret["secretName"]][item["key"]], secret["defaultMode"])
            elif "configMap" in volume:
                for name, text in self.find("ConfigMap", volume["configMap"]["name"])["data"].items():
                    self.write(place, name, text, 0o644)
        return {"name": volume["name"], "hostPath": {"path": str(place), "type": "Directory"}}

    def play(self, workload):
        """Starts a pod of a Deployment or a Job. Of the manifest only what is said here is changed."""
        template = workload["spec"]["template"]
        name = workload["metadata"]["name"]
        spec = {**template["spec"], "volumes": [self.volume(name, it) for it in template["spec"]["volumes"]]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": template["metadata"]["labels"]}, "spec": spec}
        # Without systemd podman cannot run probes; we do. It would publish each port on the host, where there is one of each.
        # A pod that ends is a finding, not to be started again.
        pod["spec"] = {**spec, "restartPolicy": "Never", "containers": [
            {key: value for key, value in it.items() if key != "ports" and not key.endswith("Probe")} for it in spec["containers"]]}
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(pod))
        self.pods.append(name)
        run("podman", "kube", "play", "--quiet", "--network", "podman", str(path))
        return f"{name}-{spec['containers'][0]['name']}"

    def address(self, pod):
        infra = json.loads(run("podman", "pod", "inspect", pod))["InfraContainerID"]
        networks = json.loads(run("podman", "inspect", infra))[0]["NetworkSettings"]["Networks"]
        return next(iter(networks.values()))["IPAddress"]

    def probe(self, workload, which):
        """Asks a probe as it is declared: so often, with that patience."""
        container = workload["spec"]["template"]["spec"]["containers"][0]
        declared = container[which]
        wanted = declared["httpGet"]["port"]
        port = next((it["containerPort"] for it in container["ports"] if it["name"] == wanted), wanted)
        try:
            url = f"http://{self.address(workload['metadata']['name'])}:{port}{declared['httpGet']['path']}"
        except StopIteration:
            return f"{workload['metadata']['name']} has ended"
        for attempt in range(declared.get("failureThreshold", 3)):
            if attempt:
                time.sleep(declared.get("periodSeconds", 10))
            try:
                get(url)
                return None
            except (OSError, urllib.error.URLError) as error:
                last = error
            if state(f"{workload['metadata']['name']}-{container['name']}")["Status"] != "running":
                return f"{workload['metadata']['name']} has ended"
        return f"{workload['metadata']['name']}: {which} of {url}: {last}"

    def remove(self):
        for pod in reversed(self.pods):
            subprocess.run(["podman", "pod", "rm", "--force", "--time", "0", pod], capture_output=True, check=False)


def state(container):
    return json.loads(run("podman", "inspect", container))[0]["State"]


def logs(container):
    done = subprocess.run(["podman", "logs", "--tail", "10", container], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr)[-1500:] + f" {state(container)}"


def check_process(workload, container):
    """What the kernel says of the first process, against the manifest."""
    pid = state(container)["Pid"]
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    name = workload["metadata"]["name"]
    for key, wanted in (("Uid", str(USER)), ("Gid", str(USER)), ("CapEff", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")):
        if status[key].split()[0] != wanted:
            yield f"{name}: {key} is {status[key]}, not {wanted}"
    mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    places = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    for place in ("/", "/etc/solmu", "/run/secrets/solmu/postgres", "/run/secrets/solmu/nats"):
        if "ro" not in places.get(place, []):
            yield f"{name}: {place} can be written"
    for program in ("sh", "bash", "busybox"):
        if subprocess.run(["podman", "exec", container, program, "-c", "true"], capture_output=True, check=False).returncode == 0:
            yield f"{name}: the image has a shell"


class Load:
    """Mail without pause, and what its senders were told."""

    def __init__(self, address):
        self.address, self.accepted, self.done = address, [], threading.Event()
        self.thread = threading.Thread(target=self.send, daemon=True)
        self.thread.start()

    def send(self):
        number = 0
        while not self.done.is_set():
            try:
                with smtplib.SMTP(self.address, 2525, timeout=60) as smtp:
                    while not self.done.is_set():
                        number += 1
                        name = f"pod{number}@customer.example"
                        smtp.sendmail("ada@customer.example", ["support@desk.example"],
                                      f"From: <ada@customer.example>\r\nTo: support@desk.example\r\nSubject: Pod {number}\r\n"
                                      f"Message-ID: <{name}>\r\nDate: Mon, 02 Nov 2026 08:00:00 +0000\r\n\r\nHello.\r\n")
                        self.accepted.append(name)
            except (OSError, smtplib.SMTPException):
                # Told to come later, or nobody there any more.
                time.sleep(0.2)

    def stop(self):
        self.done.set()
        self.thread.join()
        return set(self.accepted)


def end(workload, container):
    """SIGTERM, then SIGKILL after the declared grace: what a kubelet does."""
    grace = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    run("podman", "stop", "--time", str(grace), container)
    code = state(container)["ExitCode"]
    if code:
        yield f"{workload['metadata']['name']} ended with {code} within {grace} s: {logs(container)}"


def jobs(kubelet):
    for name in ("solmu-migrate", "solmu-streams"):
        container = kubelet.play(kubelet.find("Job", name))
        until(f"{name} ends", lambda: state(container)["Status"] == "exited")
        if state(container)["ExitCode"]:
            raise RuntimeError(f"{name} failed: {logs(container)}")


def check(engines, kubelet):
    jobs(kubelet)
    deployments = {role: kubelet.find("Deployment", f"solmu-{role}") for role in ROLES}
    containers = {role: kubelet.play(it) for role, it in deployments.items()}
    for role, deployment in deployments.items():
        problems = [kubelet.probe(deployment, which) for which in ("startupProbe", "livenessProbe", "readinessProbe")]
        if any(problems):
            yield from filter(None, problems)
            yield f"--- {role}: {logs(containers[role])}"
            return
        yield from check_process(deployment, containers[role])
    print(f"pods: {len(ROLES)} pods run and pass their probes as user {USER}, without capabilities, on a read-only root")
    token = run("podman", "exec", containers["tickets"], "/usr/bin/solmu", "--data", "/var/lib/solmu", "first-token")
    load = Load(kubelet.address("solmu-email"))
    until("mail is filed", lambda: len(engines.filed()) >= 20)
    endpoint = f"http://{kubelet.address('solmu-tickets')}:7310"

    def assigned():
        listed = run("podman", "exec", "--env", f"SOLMU_TOKEN={token}", containers["tickets"], "/usr/bin/solmu", "--endpoint", endpoint,
                     "ticket", "list", "--limit", "50", "--json")
        return any(json.loads(line).get("assignee_id") for line in listed.splitlines())

    until("a ticket has an owner", assigned)
    # Under load, who takes mail first; what it has accepted is filed by those that stay. Then all at once.
    yield from end(deployments["email"], containers["email"])
    accepted = load.stop()
    until("every mail that was accepted is filed", lambda: accepted <= set(engines.filed()))
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for problems in pool.map(lambda role: list(end(deployments[role], containers[role])), ROLES[1:]):
            yield from problems
    twice = len(engines.filed()) - len(set(engines.filed()))
    if twice:
        yield f"{twice} mails were filed twice"
    print(f"pods: {len(accepted)} mails accepted until SIGTERM and after, all filed once; every pod ended with 0 within its grace")


def missing():
    if os.geteuid() != 0:
        return "it needs root"
    for program in ("podman", "runc", "setpriv"):
        if not shutil.which(program):
            return f"{program} is not there"
    if not RENDERED.exists():
        return "nothing was rendered: make check-deploy"
    if not tool("nats-server") or not postgres_program("psql") or not postgres_program("initdb"):
        return "nats-server or PostgreSQL is not there: scripts/tools.sh"
    if subprocess.run(["podman", "image", "exists", IMAGE], check=False).returncode:
        return "there is no image: make image"
    return None


def refusal():
    """Why podman starts nothing here, as in some sandboxes where it is there all the same; None if it does."""
    trial = subprocess.run(
        ["podman", "run", "--rm", IMAGE, "--version"], check=False, capture_output=True, text=True, timeout=300
    )
    if trial.returncode == 0:
        return None
    return "podman starts no container here: " + (trial.stderr.strip().splitlines() or ["it says nothing"])[-1]


def main():
    os.environ.setdefault("STORAGE_DRIVER", "vfs")
    why = missing()
    if why:
        print(f"not run: pods from the manifests ({why})")
        return 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="solmu-pods-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        os.environ["CONTAINERS_CONF"] = str(folder / "containers.conf")
        why = refusal()
        if why:
            print(f"not run: pods from the manifests ({why})")
            return 0
        objects = json.loads(RENDERED.read_text())
        named = next(it for it in objects if it["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]
        # The manifests stay as they are: the image gets the name that they use.
        run("podman", "tag", IMAGE, named)
        gateway = json.loads(run("podman", "network", "inspect", "podman"))[0]["subnets"][0]["gateway"]
        engines = Engines(folder, gateway)
        kubelet = Kubelet(folder, objects, {})
        try:
            engines.start()
            kubelet.secrets = engines.secrets()
            problems = list(check(engines, kubelet))
        except (RuntimeError, OSError) as error:
            problems = [str(error)]
        finally:
            kubelet.remove()
            engines.stop()
            subprocess.run(["podman", "untag", IMAGE, named], capture_output=True, check=False)
    for problem in problems:
        print(problem)
    print(f"pods: {len(problems)} problems, {time.monotonic() - begun:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
