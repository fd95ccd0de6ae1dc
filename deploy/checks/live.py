"""A deployment in small, for what only a running system can tell: every role in a process of its own, each with its own user
of NATS (deploy/nats/users.conf), scraped by a real Prometheus.

    live.py BINARY [--contacts N]

Proves that no role lacks a right on the bus, that every metric that is scraped stands in the catalogue, that the number of
series does not grow with the number of contacts, that every query of every dashboard and every alert rule is understood
by Prometheus and has data where its metrics have, that a real OTLP receiver gets one trace of a mail from four processes and
nothing personal, with batches linked to it, that the routes of the API lead to roles that have it, and that `solmu doctor` finds
what it should. What is missing here is named.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROLES = ["email", "chat", "social", "forms", "tickets", "router", "sla"]
# How long anything may take on a busy machine, in seconds.
PATIENCE = 300
# Series that one process may have.
SERIES_AT_MOST = 2000
# Traces that are exported, of all the mails.
TRACES = 200
# The way of a mail to its owner: the process, and the span.
STEPS = [
    ("solmu-email", "email.receive"),
    ("solmu-tickets", "process solmu.inbound.message_received.v1"),
    ("solmu-router", "process solmu.ticket.opened.v1"),
    ("solmu-tickets", "process solmu.routing.assignment_decided.v1"),
]


def tool(name):
    ours = ROOT / ".tools/bin" / name
    return str(ours) if ours.exists() else shutil.which(name)


GIVEN = set()


def free_ports(count):
    """Below the range of outgoing connections, so that nobody is given one between our look and its use; never one twice."""
    found = []
    while len(found) < count:
        port = random.randrange(20000, 30000)
        with socket.socket() as it:
            if port not in GIVEN and it.connect_ex(("127.0.0.1", port)):
                GIVEN.add(port)
                found.append(port)
    return found


def until(what, probe):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            value = probe()
        except (OSError, urllib.error.URLError, ValueError, KeyError):
            value = None
        if value:
            return value
        time.sleep(0.2)
    raise RuntimeError(f"not within {PATIENCE} s: {what}")


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


class Process:
    def __init__(self, name, command, folder, environment=None):
        self.name = name
        self.log = folder / f"{name}.log"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SOLMU")}
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT, env={**clean, **(environment or {})}
            )

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()

    def text(self):
        return self.log.read_text(errors="replace")


class System:
    """NATS with a user for each role, PostgreSQL of a first process, and a process for each role."""

    def __init__(self, binary, folder, collector, contacts):
        self.binary, self.folder, self.processes, self.admin = binary, folder, [], {}
        self.problems = []
        self.collector, self.sample_ratio = collector, min(1.0, TRACES / contacts)

    def start_nats(self):
        client, self.monitoring = free_ports(2)
        self.nats_port = client
        passwords = {f"SOLMU_NATS_{role.upper()}": f"p{role}" for role in ["admin", *ROLES]}
        (self.folder / "users.conf").write_text((ROOT / "deploy/nats/users.conf").read_text())
        (self.folder / "nats.conf").write_text(
            f'listen: "127.0.0.1:{client}"\nhttp: "127.0.0.1:{self.monitoring}"\nmax_payload: 1MB\n'
            f'jetstream {{ store_dir: "{self.folder}/jetstream", sync_interval: always }}\ninclude ./users.conf\n'
        )
        nats = Process("nats", [tool("nats-server"), "--config", str(self.folder / "nats.conf")], self.folder, passwords)
        self.nats = nats
        until("nats-server", lambda: get(f"http://127.0.0.1:{self.monitoring}/healthz"))

    def nats_url(self, role):
        return f"nats://{role}:p{role}@127.0.0.1:{self.nats_port}"

    def serve(self, name, arguments):
        data = self.folder / name
        grpc, http, admin, smtp, api = free_ports(5)
        ports = {"server.grpc_address": grpc, "server.http_address": http, "server.admin_address": admin, "email.listen": smtp,
                 "server.api_address": api}
        sets = [part for key, port in ports.items() for part in ("--set", f"{key}=127.0.0.1:{port}")]
        sets += ["--set", f"telemetry.service_name=solmu-{name}"]
        if self.collector:
            sets += ["--set", f"telemetry.otlp_endpoint={self.collector.endpoint}", "--set", f"telemetry.sample_ratio={self.sample_ratio}"]
        config = ["--config", str(self.folder / "solmu.toml")]
        command = [self.binary, "--data", str(data), *config, "serve", *arguments, *sets]
        process = Process(name, command, self.folder)
        process.ports = {"grpc": grpc, "admin": admin, "smtp": smtp, "api": api}
        self.processes.append(process)
        return process

    def start(self):
        self.start_nats()
        (self.folder / "solmu.toml").write_text(
            '[nats]\npartitions = 4\nmax_stream_bytes = 268435456\n[postgres]\nmax_connections = 5\n[secrets]\n'
            'signing_keys = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="\n'
            '[[email.accounts]]\nname = "main"\naddresses = ["support@desk.example"]\ndefault = true\n'
            '[email.relay]\nhost = "127.0.0.1"\nport = 9\ntls = "none"\n'
            '[email.smtp]\nmax_messages = 100000\n'
        )
        # It brings PostgreSQL, the schema and the streams.
        first = self.serve("first", ["--service", "forms", "--nats", self.nats_url("admin")])
        self.wait_ready(first)
        postgres = json.loads((self.folder / "first/engines.json").read_text())["postgres"]
        self.postgres = postgres
        self.roles = {
            role: self.serve(role, ["--service", role, "--postgres", postgres, "--nats", self.nats_url(role)]) for role in ROLES
        }
        for process in self.roles.values():
            self.wait_ready(process)

    def wait_ready(self, process):
        def ready():
            if process.child.poll() is not None:
                raise RuntimeError(f"{process.name} ended:\n{process.text()[-3000:]}")
            return get(f"http://127.0.0.1:{process.ports['admin']}/readyz")

        until(f"{process.name} is ready", ready)

    def metrics(self, name):
        process = self.roles.get(name) or self.processes[0]
        return get(f"http://127.0.0.1:{process.ports['admin']}/metrics")

    def value(self, role, metric):
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.metrics(role).splitlines() if line.startswith(metric))

    def solmu(self, *arguments):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SOLMU")}
        command = [self.binary, "--data", str(self.folder / "first"), "--config", str(self.folder / "solmu.toml"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=clean, cwd=ROOT)


def send(port, numbers):
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as smtp:
        for number in numbers:
            sender = f"customer{number}@customer.example"
            smtp.sendmail(
                sender,
                ["support@desk.example"],
                f"From: Customer {number} <{sender}>\r\nTo: support@desk.example\r\nSubject: Matter {number}\r\n"
                f"Message-ID: <m{number}@customer.example>\r\nDate: Mon, 02 Nov 2026 08:00:00 +0000\r\n\r\nHello.\r\n",
            )


def work(system, contacts):
    """Mail of many people goes through every role, and an answer to one of them."""
    port = system.roles["email"].ports["smtp"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(send, port, range(start, contacts, 8)) for start in range(8)]:
            done.result()
    until("every mail is filed", lambda: system.value("tickets", "solmu_messages_filed_total") >= contacts)
    until("the router decided", lambda: system.value("router", "solmu_assignments_total") > 0)
    until("due times are applied", lambda: 'kind="due' in system.metrics("tickets") or "solmu_decisions_applied_total" in system.metrics("tickets"))
    listed = system.solmu("--endpoint", f"http://127.0.0.1:{system.roles['tickets'].ports['grpc']}", "ticket", "list", "--limit", "1", "--json")
    number = json.loads(listed.stdout.splitlines()[0])["number"]
    system.number = str(number)
    endpoint = f"http://127.0.0.1:{system.roles['tickets'].ports['grpc']}"
    replied = system.solmu("--endpoint", endpoint, "ticket", "reply", str(number), "We are on it.")
    if replied.returncode:
        raise RuntimeError(f"cannot answer: {replied.stderr}")
    until("the connector tried to send", lambda: system.value("email", "solmu_outbound_attempts_total") > 0)


def check_rights(system):
    for line in system.nats.text().splitlines():
        if "violation" in line.lower() or "authorization error" in line.lower():
            yield f"a role lacks a right on the bus: {line.strip()}"


def check_series(system):
    catalogue = tomllib.loads((ROOT / "deploy/observability/metrics.toml").read_text())
    for role in ROLES:
        lines = [line for line in system.metrics(role).splitlines() if line and not line.startswith("#")]
        if len(lines) > SERIES_AT_MOST:
            yield f"{role} tells {len(lines)} series, more than {SERIES_AT_MOST}"
        for name in sorted({re.split(r"[{ ]", line, maxsplit=1)[0] for line in lines}):
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            if name not in catalogue and catalogue.get(base, {}).get("kind") != "histogram":
                yield f"{role} tells '{name}', which is not in the catalogue"
        if "customer.example" in "".join(lines):
            yield f"a metric of {role} holds an address"
    print(f"live: {max(len(system.metrics(role).splitlines()) for role in ROLES)} lines of metrics in the largest process")


def check_doctor(system):
    target = ["--postgres", system.postgres, "--nats", system.nats_url("admin")]
    done = system.solmu("--json", "doctor", *target, "--nats-monitoring", f"127.0.0.1:{system.monitoring}")
    findings = {it["check"]: it for it in map(json.loads, done.stdout.splitlines())}
    for check in ["configuration", "postgres", "postgres durability", "schema", "tables", "rights", "clock", "nats", "nats durability", "streams"]:
        if findings.get(check, {}).get("verdict") != "good":
            yield f"doctor: {check}: {findings.get(check)} {done.stderr}"
    wrong = system.solmu("doctor", "--postgres", system.postgres + "x", "--nats", system.nats_url("admin"))
    if wrong.returncode == 0 or "BAD" not in wrong.stdout:
        yield f"doctor does not see a wrong database: {wrong.stdout} {wrong.stderr}"


def check_scaler(system):
    """The consumers that KEDA is told to watch are those that there are, in the account that it is told."""
    rendered = ROOT / "target/deploy/keda-gateway.json"
    if not rendered.exists():
        print("not run: consumers of the KEDA scaler (nothing was rendered: cargo xtask deploy check)")
        return
    jsz = json.loads(get(f"http://127.0.0.1:{system.monitoring}/jsz?accounts=true&streams=true&consumers=true"))
    there = {
        (account["name"], stream["name"], consumer["name"])
        for account in jsz["account_details"]
        for stream in account.get("stream_detail", [])
        for consumer in stream.get("consumer_detail", [])
    }
    for it in json.loads(rendered.read_text()):
        for trigger in it["spec"]["triggers"] if it["kind"] == "ScaledObject" else []:
            wanted = tuple(trigger["metadata"].get(key) for key in ("account", "stream", "consumer"))
            if trigger["type"] == "nats-jetstream" and wanted not in there:
                yield f"KEDA would watch {wanted}, which is not there; there are {sorted(there)}"


def asks(system, role, path, token, body=None):
    """The status and the text of the answer of a role's JSON API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{system.roles[role].ports['api']}{path}", data=json.dumps(body or {}).encode(), method="POST",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def service_token(system, admin):
    """The token of a portal: some services are for services alone."""
    made = {"token": {"displayName": "portal", "role": "ROLE_SERVICE", "scopes": ["requesters.read"]}}
    status, text = asks(system, "tickets", "/v1/solmu.access.v1.AccessService/CreateToken", admin, made)
    return json.loads(text)["secret"] if status == 200 else ""


def check_routes(system):
    """Where the gateway's routes lead the services of the API, the role has them. Any answer will do but "unknown here"."""
    rendered = ROOT / "target/deploy/keda-gateway.json"
    if not rendered.exists():
        print("not run: routes of the API (nothing was rendered: cargo xtask deploy check)")
        return
    token = (system.folder / "first/token").read_text().strip()
    paths = json.loads((ROOT / "docs/api/openapi.json").read_text())["paths"]
    asked, portal = 0, ""
    for route in json.loads(rendered.read_text()):
        for rule in route["spec"].get("rules", []) if route["kind"] in ("HTTPRoute", "GRPCRoute") else []:
            role = rule["backendRefs"][0]["name"].removeprefix("solmu-")
            values = [it["method"]["service"] if "method" in it else it["path"]["value"] for it in rule["matches"]]
            services = {value.removeprefix("/v1/") for value in values if "Service" in value}
            for service in sorted(services):
                # One that changes nothing: no request of ours is good.
                ours = [it for it in sorted(paths) if it.startswith(f"/v1/{service}/") and re.search(r"/(List|Get)", it)]
                path = min(ours, key=lambda it: "/List" not in it)
                status, _ = asks(system, role, path, token)
                if status == 403:
                    portal = portal or service_token(system, token)
                    status, _ = asks(system, role, path, portal)
                asked += 1
                if status in (401, 403, 404, 501):
                    yield f"{route['kind']} leads '{service}' to {role}, which answers {path} with {status}"
    print(f"live: {asked} routes of the API lead to roles that answer")


def postgres_program(name):
    """Of the same place as the server that `solmu serve` finds."""
    places = [ROOT / ".tools/bin" / name, *map(pathlib.Path, filter(None, [shutil.which(name)]))]
    places += sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return next((str(path) for path in places if path.exists()), None)


def check_backup(system):
    """What docs/operations.md says of backups: a dump while all runs, restored into a database of another name."""
    programs = {name: postgres_program(name) for name in ("pg_dump", "pg_restore", "psql")}
    if not all(programs.values()):
        print("not run: backup and restore (no pg_dump, pg_restore and psql)")
        return

    def run(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{pathlib.Path(command[0]).name}: {done.stderr.strip()[:500]}")
        return done.stdout.strip()

    def count(url):
        tables = ("tickets.ticket", "tickets.message", "tickets.contact", "routing.agent", "sla.policy")
        return run(programs["psql"], "-At", url, "-c", "SELECT " + ", ".join(f"(SELECT count(*) FROM {it})" for it in tables))

    dump = str(system.folder / "solmu.dump")
    run(programs["pg_dump"], "--format", "custom", "--file", dump, system.postgres)
    run(programs["psql"], system.postgres, "-c", "CREATE DATABASE restored ENCODING 'UTF8' TEMPLATE template0")
    parts = urllib.parse.urlsplit(system.postgres)
    restored = urllib.parse.urlunsplit(parts._replace(path="/restored"))
    run(programs["pg_restore"], "--exit-on-error", "--no-owner", "--dbname", restored, dump)
    before, after = count(system.postgres), count(restored)
    if before != after:
        yield f"backup: {before} rows were dumped and {after} restored"
    done = system.solmu("--json", "doctor", "--postgres", restored, "--nats", system.nats_url("admin"))
    for it in map(json.loads, done.stdout.splitlines()):
        if it["check"] in ("schema", "rights", "postgres") and it["verdict"] != "good":
            yield f"backup: the restored database: {it}"
    print(f"live: backup restored, rows {after.replace('|', ' ')}")
    yield from check_private_backup(system, count)


def check_private_backup(system, count):
    """Private data, as the page says: `solmu dump` while all runs, `solmu restore` into an empty folder, and serve from there."""
    dump, fresh = str(system.folder / "private.dump"), system.folder / "restored"
    before = count(system.postgres)
    done = system.solmu("dump", dump)
    if done.returncode:
        raise RuntimeError(f"solmu dump: {done.stderr.strip()}")

    def restore():
        return subprocess.run(
            [system.binary, "--data", str(fresh), "--config", str(system.folder / "solmu.toml"), "restore", dump],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )

    done = restore()
    if done.returncode:
        raise RuntimeError(f"solmu restore: {done.stderr.strip()}")
    process = system.serve("restored", ["--service", "tickets"])
    system.wait_ready(process)
    after = count(json.loads((fresh / "engines.json").read_text())["postgres"])
    process.stop()
    if before != after:
        yield f"backup: {before} private rows were dumped and {after} restored"
    again = restore()
    if again.returncode == 0 or "has data already" not in again.stderr:
        yield f"backup: a folder with data is restored into: {again.stdout} {again.stderr}"
    print(f"live: private backup restored, rows {after.replace('|', ' ')}")


class Collector:
    """Rotel, a collector of others: it speaks OTLP, and prints what it gets."""

    PROGRAM = ROOT / ".tools/python/rotel/rotel-agent"

    def __init__(self, folder):
        grpc, http = free_ports(2)
        self.endpoint = f"http://127.0.0.1:{grpc}"
        command = [str(self.PROGRAM), "start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed",
                   "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"]
        self.process = Process("collector", command, folder)
        until("the collector listens", lambda: socket.create_connection(("127.0.0.1", grpc), timeout=1))

    def spans(self):
        """Each span that it got: process, name, trace, id, parent, what it is linked with, and whether it is a batch's."""
        found, service = [], ""
        for line in self.process.text().splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "-> service.name":
                service = value.removeprefix("Str(").removesuffix(")")
            elif line.startswith("Span #"):
                found.append({"service": service})
            elif found and key in ("Trace ID", "Parent ID", "ID", "Name", "Kind") and key not in found[-1]:
                found[-1][key] = value
            elif found and key == "-> messaging.batch.message_count":
                found[-1]["batch"] = True
            elif found and key == "-> ID":
                found[-1].setdefault("links", set()).add(value)
        return found

    def check_links(self):
        """Events lead to the batch that they were handled in, and that leads to where each was made."""
        spans = self.spans()
        by_id = {span.get("ID"): span for span in spans}
        several, followed = 0, 0
        for span in spans:
            several += bool(span.get("batch")) and len(span.get("links", ())) > 1
            # What is on its way cannot be looked at.
            for batch in [by_id[it] for it in span.get("links", ()) if by_id.get(it, {}).get("batch")]:
                followed += 1
                if span.get("Parent ID") not in batch["links"] or batch.get("Parent ID"):
                    yield f"'{batch['Name']}' is not linked with where '{span['Name']}' began: {batch} {span}"
        if not several or not followed:
            yield f"no batch is linked with several events ({several}), or no event with its batch ({followed})"
        print(f"live: {followed} events lead to their batch; {several} batches lead to several events")

    def whole(self):
        """A trace in which every step follows from the one before."""
        traces = {}
        for span in self.spans():
            traces.setdefault(span.get("Trace ID"), []).append(span)
        for spans in traces.values():
            by_id = {span.get("ID"): span for span in spans}
            steps = [next((it for it in spans if (it["service"], it.get("Name")) == step), None) for step in STEPS]
            if all(steps) and all(self.leads_to(after, before, by_id) for before, after in zip(steps, steps[1:])):
                return spans
        return None

    @staticmethod
    def leads_to(span, wanted, by_id):
        for _ in by_id:
            span = by_id.get(span.get("Parent ID"))
            if span is None or span is wanted:
                break
        return span is wanted

    def check(self):
        try:
            spans = until("a trace from the mail to its owner", self.whole)
        except RuntimeError as error:
            yield f"{error}; names that came: {sorted({it.get('Name', '') for it in self.spans()})}"
            return
        kinds = {(it["Name"], it["Kind"]) for it in spans}
        if ("process solmu.ticket.opened.v1", "SPAN_KIND_CONSUMER") not in kinds:
            yield f"kinds of spans: {sorted(kinds)}"
        for private in ("customer.example", "Customer ", "Matter ", "We are on it"):
            if private in self.process.text():
                yield f"a span says '{private}'"
        yield from self.check_links()
        services = {it["service"] for it in spans}
        print(f"live: a collector of others got {len(self.spans())} spans; one mail is a trace of {len(spans)} over {len(services)} processes")


class Prometheus:
    """A real one, which scrapes every role each second and evaluates our rules."""

    def __init__(self, system, program):
        self.port, self.traced = free_ports(1)[0], system.collector is not None
        targets = "".join(
            f'      - targets: ["127.0.0.1:{process.ports["admin"]}"]\n        labels: {{component: {role}}}\n'
            for role, process in system.roles.items()
        )
        (system.folder / "prometheus.yaml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 2s}\n"
            f"rule_files: ['{ROOT}/deploy/observability/rules/*.yaml']\n"
            f"scrape_configs:\n  - job_name: solmu\n    sample_limit: 20000\n    static_configs:\n{targets}"
        )
        arguments = [
            f"--config.file={system.folder}/prometheus.yaml",
            f"--storage.tsdb.path={system.folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
        ]
        self.process = Process("prometheus", [program, *arguments], system.folder)
        until("Prometheus scrapes every role", lambda: self.value('count(up{job="solmu"} == 1)') == len(ROLES))

    def ask(self, path, **query):
        return json.loads(get(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"))["data"]

    def value(self, query):
        result = self.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    def exemplar(self):
        now = time.time()
        found = self.ask("query_exemplars", query="solmu_ingest_latency_seconds_bucket", start=now - 3600, end=now)
        return any(it["labels"].get("trace_id") for series in found for it in series["exemplars"])

    def check_dashboards(self):
        # A series that has just appeared has no rate yet.
        for metric in ("solmu_ingest_filed_seconds_count", "solmu_outbound_attempts_total", "solmu_assignments_total", "solmu_inbound_messages_total"):
            until(f"it has seen {metric}", lambda: self.value(f"sum(rate({metric}[5m]))") is not None)
        told = {name for name in self.ask("label/__name__/values")}
        asked, silent = 0, 0
        for path in sorted((ROOT / "deploy/observability/dashboards").glob("*.json")):
            for panel in json.loads(path.read_text())["panels"]:
                for target in panel.get("targets", []):
                    asked += 1
                    query = target["expr"]
                    try:
                        result = self.ask("query", query=query)["result"]
                    except urllib.error.HTTPError as error:
                        yield f"{path.name}: '{panel['title']}': {error.read().decode()[:300]}"
                        continue
                    if any(it["value"][1] != "NaN" for it in result):
                        continue
                    silent += 1
                    # Nobody wrote on some channels and nothing was breached: such metrics are not told at all, or not with
                    # the label that is asked for. What is told must be shown; a quantile of what happened once is no number.
                    names = set(re.findall(r"\b(?:solmu|rpc|http|db|process|tokio)_\w+", query))
                    if not result and names <= told and "=" not in query:
                        yield f"{path.name}: '{panel['title']}' shows nothing, and its metrics are told: {query}"
        print(f"live: Prometheus took {asked} queries of dashboards; {asked - silent} had data")
        if self.traced:
            until("an exemplar leads from a histogram to a trace", self.exemplar)
        if silent > asked * 2 // 3:
            yield f"only {asked - silent} queries of the dashboards have data in a system that works"

    def check_rules(self):
        def evaluated():
            rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
            return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

        for rule in until("rules are evaluated", evaluated):
            if rule["health"] != "ok":
                yield f"rule {rule['name']}: {rule.get('lastError')}"
            # A system that works wakes nobody.
            if rule.get("state") == "firing" and rule["labels"].get("severity") == "page":
                yield f"{rule['name']} fires in a system that works: {rule['alerts'][0]['annotations']}"


def own_consumers():
    """Consumers that somebody is woken for."""
    rules = (ROOT / "deploy/observability/rules/alerts.yaml").read_text()
    return re.search(r'solmu_bus_oldest_age_seconds\{consumer=~"([^"]+)"', rules).group(1)


def check_consumers(system):
    """Whoever consumes for us is among them: what is missing there would wake nobody."""
    told = set(re.findall(r'^solmu_bus_pending_messages\{consumer="([^"]+)"', system.metrics("tickets"), re.MULTILINE))
    if not told:
        yield "no consumer is told of"
    for name in sorted(told):
        if not re.fullmatch(own_consumers(), name):
            yield f"nobody is woken for the consumer '{name}': SolmuOldestUnprocessed does not know it"


def children(parent):
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[1] == parent:
            yield int(path.parent.name)


def check_away(system, prometheus):
    """An engine that hangs is told of at once, figures of it are not kept, and only who needs it is not ready."""

    def ready(role):
        try:
            get(f"http://127.0.0.1:{system.roles[role].ports['admin']}/readyz")
        except urllib.error.HTTPError:
            return False
        return True

    def all_ready():
        return all(ready(role) for role in ROLES)

    def tells(engine, value):
        return all(system.value(role, f'solmu_engine_ready{{engine="{engine}"}}') == value for role in ROLES)

    def pending():
        alerts = prometheus.ask("alerts")["alerts"]
        return any(it["labels"]["alertname"] == "SolmuEngineAway" and it["labels"]["engine"] == "nats" for it in alerts)

    system.nats.child.send_signal(signal.SIGSTOP)
    try:
        until("all tell that NATS is away", lambda: tells("nats", 0))
        for role in ROLES:
            if ready(role) != (role in ("tickets", "router", "sla")):
                yield f"without NATS, {role} is {'' if ready(role) else 'not '}ready"
        # What is asked and changed over the API needs only the database; events of it wait in the outbox.
        endpoint = f"http://127.0.0.1:{system.roles['tickets'].ports['grpc']}"
        for arguments in (["ticket", "list", "--limit", "1"], ["ticket", "note", system.number, "NATS is away"]):
            done = system.solmu("--endpoint", endpoint, *arguments)
            if done.returncode:
                yield f"without NATS, solmu {' '.join(arguments)}: {done.stderr.strip()}"
        until("what the bus said is taken away", lambda: "solmu_bus_stream_messages{" not in system.metrics("tickets"))
        if prometheus:
            until("somebody will be woken for NATS", pending)
    finally:
        system.nats.child.send_signal(signal.SIGCONT)
    until("all are ready again", all_ready)
    until("the bus is told of again", lambda: "solmu_bus_stream_messages{" in system.metrics("tickets"))

    # Every process of PostgreSQL stands still; mail is taken all the same, and filed later.
    postmaster = (system.folder / "first/postgres/postmaster.pid").read_text().split()[0]
    stopped = [int(postmaster), *children(postmaster)]
    filed = system.value("tickets", "solmu_messages_filed_total")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        until("all tell that PostgreSQL is away", lambda: tells("postgres", 0))
        for role in ROLES:
            if ready(role) != (role in ("email", "social", "forms")):
                yield f"without PostgreSQL, {role} is {'' if ready(role) else 'not '}ready"
        send(system.roles["email"].ports["smtp"], [1_000_001])
    finally:
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
    until("all are ready again", all_ready)
    until("what was taken meanwhile is filed", lambda: system.value("tickets", "solmu_messages_filed_total") > filed)
    print("live: NATS and PostgreSQL stood still for a while: told of, and mail was taken without PostgreSQL")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--contacts", type=int, default=10000)
    arguments = parser.parse_args()
    binary = str(pathlib.Path(arguments.binary).resolve())
    if not tool("nats-server"):
        print("not run: a deployment in small (no nats-server: scripts/tools.sh)")
        return 0
    begun = time.monotonic()
    problems = []
    with tempfile.TemporaryDirectory(prefix="solmu-live-") as folder:
        folder = pathlib.Path(folder)
        # Started by root, PostgreSQL runs as somebody else, who has to get through.
        folder.chmod(0o755)
        if not Collector.PROGRAM.exists():
            print("not run: traces to a collector of others (no rotel: scripts/tools.sh deploy)")
        collector = Collector(folder) if Collector.PROGRAM.exists() else None
        system = System(binary, folder, collector, arguments.contacts)
        prometheus = None
        try:
            system.start()
            program = tool("prometheus")
            prometheus = Prometheus(system, program) if program else None
            work(system, arguments.contacts)
            problems += check_series(system)
            problems += check_doctor(system)
            problems += check_backup(system)
            problems += check_scaler(system)
            problems += check_routes(system)
            if collector:
                problems += collector.check()
            if prometheus:
                problems += prometheus.check_dashboards()
                problems += prometheus.check_rules()
            else:
                print("not run: queries of the dashboards on a real Prometheus (scripts/tools.sh deploy)")
            problems += check_consumers(system)
            problems += check_away(system, prometheus)
            if prometheus:
                prometheus.process.stop()
            # Every role gives back its leases and ends well, the one with PostgreSQL last.
            for process in reversed(system.processes):
                code = process.stop()
                if code:
                    problems.append(f"{process.name} ended with {code}:\n{process.text()[-1500:]}")
            problems += check_rights(system)
        except (RuntimeError, OSError, smtplib.SMTPException) as error:
            problems.append(f"{error}")
            problems += check_rights(system)
            for process in system.processes:
                problems.append(f"--- end of the log of {process.name}\n{process.text()[-800:]}")
        finally:
            helpers = [prometheus and prometheus.process, collector and collector.process]
            for process in [*helpers, *reversed(system.processes), getattr(system, "nats", None)]:
                if process:
                    process.stop()
    for problem in problems:
        print(problem)
    print(f"live: {len(ROLES)} roles, {arguments.contacts} contacts, {len(problems)} problems, {time.monotonic() - begun:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
