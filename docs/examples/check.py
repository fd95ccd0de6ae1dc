#!/usr/bin/env python3
"""Runs every example against a fresh system: check.py <solmu binary> <folder of the Rust examples>. What cannot run here is
named."""

import json
import os
import random
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from email.message import EmailMessage
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
# Not a limit that a test measures by: how long a busy machine may take for anything here.
PATIENCE = 180


def free_ports(count):
    """Below the range that outgoing connections take theirs from."""
    found = set()
    while len(found) < count:
        port = random.randrange(20000, 30000)
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)):
                found.add(port)
    return list(found)


def until(what, check):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if check():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"failed: waited {PATIENCE} s for {what}")


def run(what, command, **options):
    """A command that must succeed; gives what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **options)
    if done.returncode != 0:
        raise SystemExit(f"failed: {what}: {done.stdout}{done.stderr}")
    return done.stdout


def installed(what, command, **options):
    """A package manager: without its registry the example is not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"not run: {what}: {error}")
        return False
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        print(f"not run: {what}: the packages cannot be installed: {' '.join(last)}")
        return False
    return True


def expect(what, text, *lines):
    for line in lines:
        if line not in text:
            raise SystemExit(f"failed: {what} did not print '{line}':\n{text}")
    print(f"ok: {what}")


class System:
    def __init__(self, binary, folder):
        self.grpc, self.http, self.admin, self.api, self.smtp = free_ports(5)
        self.data = folder / "data"
        ports = {
            "server.grpc_address": self.grpc, "server.http_address": self.http, "server.admin_address": self.admin,
            "server.api_address": self.api, "email.listen": self.smtp,
        }
        sets = [part for key, port in ports.items() for part in ("--set", f"{key}=127.0.0.1:{port}")]
        self.log = open(folder / "solmu.log", "w", encoding="utf-8")
        command = [binary, "--data", str(self.data), "serve", *sets]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, cwd=folder)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ready():
            if self.process.poll() is not None:
                raise SystemExit("failed: solmu ended:\n" + (folder / "solmu.log").read_text()[-4000:])
            return opener.open(f"http://127.0.0.1:{self.admin}/readyz", timeout=5).status == 200

        until("the system to be ready", ready)
        self.client = [binary, "--data", str(self.data), "--endpoint", f"http://127.0.0.1:{self.grpc}"]
        token = (self.data / "agent-token").read_text().strip()
        self.admin_token = self.data / "token"
        self.environment = {
            **os.environ, "SOLMU_TOKEN": token, "SOLMU_ENDPOINT": f"127.0.0.1:{self.grpc}",
            "SOLMU_API": f"http://127.0.0.1:{self.api}", "SOLMU_PROTOS": str(PROTO),
            "SOLMU_TIMEOUT": str(PATIENCE),
            "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1",
        }

    def mail(self, subject):
        letter = EmailMessage()
        letter["From"], letter["To"], letter["Subject"] = "aino@customer.example", "support@desk.example", subject
        letter["Message-ID"] = f"<{time.time_ns()}@customer.example>"
        letter.set_content("It does not work.")
        with smtplib.SMTP("127.0.0.1", self.smtp, timeout=PATIENCE) as smtp:
            smtp.send_message(letter)

    def service_token(self, *scopes):
        """A token of a service, as an administrator makes it."""
        words = [word for scope in scopes for word in ("--scope", scope)]
        made = run("token create", [*self.client, "token", "create", "example", "--role", "service", *words, "--json"])
        return json.loads(made)["secret"]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def python_example(system, folder):
    venv, generated = folder / "venv", folder / "gen"
    python = venv / "bin" / "python"
    if not installed("python", [sys.executable, "-m", "venv", str(venv)]):
        return
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not installed("python", [*pip, "-r", str(HERE / "python" / "requirements.txt")]):
        return
    generated.mkdir()
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    protoc = [str(python), "-m", "grpc_tools.protoc", f"-I{PROTO}", f"--python_out={generated}"]
    run("the Python code of the protos", [*protoc, f"--grpc_python_out={generated}", *files])
    environment = {**system.environment, "PYTHONPATH": str(generated)}
    text = run("python/inbox.py", [str(python), str(HERE / "python" / "inbox.py")], env=environment)
    expect(
        "python/inbox.py", text,
        "first message: It does not work.", "answered once", "stale: ABORTED ETAG_MISMATCH", "resolved",
    )


def typescript_examples(system, folder):
    if shutil.which("npm") is None:
        print("not run: typescript: there is no npm")
        return
    project = folder / "typescript"
    shutil.copytree(HERE / "typescript", project, ignore=shutil.ignore_patterns("node_modules", "dist"))
    if not installed("typescript", ["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=project):
        return
    run("the TypeScript compiler", ["npm", "run", "--silent", "build"], cwd=project)
    text = run("typescript/tickets.ts", ["node", "dist/tickets.js"], cwd=project, env=system.environment)
    expect("typescript/tickets.ts", text, "Printer", "noted", "missing: NOT_FOUND")

    environment = {**system.environment, "SOLMU_CHANGES": "1"}
    out = folder / "watch.log"
    with open(out, "w", encoding="utf-8") as log:
        watching = subprocess.Popen(
            ["node", "dist/watch.js"], cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            until("the watcher to watch", lambda: "watching" in out.read_text() or watching.poll() is not None)
            system.mail("Scanner")
            watching.wait(PATIENCE)
        finally:
            watching.kill()
            watching.wait()
    expect("typescript/watch.ts", out.read_text(), "watching", "#")


class TlsProxy:
    """What stands before a Solmu that is called from other machines: it speaks TLS and HTTP/2, and passes bytes on."""

    def __init__(self, folder, target):
        self.certificate, certificate, key = folder / "ca.pem", folder / "server.pem", folder / "key.pem"
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        authority = ["-keyout", str(folder / "ca.key"), "-out", str(self.certificate), "-days", "2", "-subj", "/CN=Example authority"]
        run("an authority", ["openssl", "req", "-x509", *new_key, *authority])
        request, extensions = folder / "server.csr", folder / "server.ext"
        extensions.write_text("basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n")
        run("a request", ["openssl", "req", *new_key, "-keyout", str(key), "-out", str(request), "-subj", "/CN=localhost"])
        run("a certificate", [
            "openssl", "x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(folder / "ca.key"),
            "-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(certificate),
        ])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2"])
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, args=(context,), daemon=True).start()

    def serve(self, context):
        while True:
            try:
                plain, _ = self.listener.accept()
                # One example, one connection at a time: bytes are passed on in turn, so no two threads share the TLS state.
                with context.wrap_socket(plain, server_side=True) as inner:
                    self.pass_on(inner)
            except (OSError, ValueError):
                if self.listener.fileno() < 0:
                    return

    def pass_on(self, inner):
        with socket.create_connection(("127.0.0.1", self.target)) as outer:
            for side in (inner, outer):
                side.settimeout(0.005)
            while True:
                for source, sink in ((inner, outer), (outer, inner)):
                    try:
                        part = source.recv(65536)
                    except TimeoutError:
                        continue
                    if not part:
                        return
                    sink.settimeout(PATIENCE)
                    sink.sendall(part)
                    sink.settimeout(0.005)

    def stop(self):
        self.listener.close()


def rust_examples(system, examples, folder):
    if not (examples / "answer").exists():
        raise SystemExit(f"failed: there are no examples in {examples}: cargo build -p solmu-client --examples")
    endpoint = f"http://127.0.0.1:{system.grpc}"
    service = system.service_token("requesters.write", "tickets.write")
    environment = {**system.environment, "SOLMU_ENDPOINT": endpoint}

    def example(name, *words, **more):
        return run(name, [str(examples / name), *words], env={**environment, **more})

    text = example("answer", SOLMU_TOKEN=service)
    expect("rust/answer.rs", text, "once", "not sent: 1 newer message", "answered once", "tagged: answered-by-example")
    text = example("list", "subject:scanner OR subject:Printer")
    expect("rust/list.rs", text, "The scanner scans nothing", "Printer", "2 tickets on 2 pages")
    wrong = subprocess.run([str(examples / "list"), "colour = red"], env=environment, capture_output=True, text=True)
    expect("rust/list.rs with a wrong filter", wrong.stdout, "filter:")
    without = {"SOLMU_TOKEN": "", "SOLMU_TOKEN_FILE": str(system.admin_token)}
    text = example("export", 'identity = "aino@customer.example"', **without)
    kinds = {json.loads(line)["type"] for line in text.splitlines()}
    if not {"contact", "identity", "ticket", "message"} <= kinds:
        raise SystemExit(f"failed: the export has only {kinds}")
    expect("rust/export.rs", text, "The scanner scans nothing")

    out = folder / "rust-watch.log"
    with open(out, "w", encoding="utf-8") as log:
        watching = subprocess.Popen([str(examples / "watch"), "1"], env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            until("the watcher to watch", lambda: "watching" in out.read_text() or watching.poll() is not None)
            system.mail("Plotter")
            watching.wait(PATIENCE)
        finally:
            watching.kill()
            watching.wait()
    expect("rust/watch.rs", out.read_text(), "solmu.ticket.")

    if shutil.which("openssl") is None:
        print("not run: the Rust examples over TLS: there is no openssl")
        return
    proxy = TlsProxy(folder, system.grpc)
    try:
        over_tls = {"SOLMU_ENDPOINT": f"https://localhost:{proxy.port}"}
        text = example("list", "subject:Printer", SOLMU_CA=str(proxy.certificate), **over_tls)
        expect("rust/list.rs over TLS", text, "Printer", "1 tickets on 1 pages")
        stranger = {**environment, **over_tls, "SOLMU_CA": str(HERE.parent.parent / "Makefile")}
        refused = subprocess.run([str(examples / "list")], env=stranger, capture_output=True, text=True, timeout=PATIENCE)
        if refused.returncode == 0:
            raise SystemExit("failed: a certificate of an authority that nobody named was taken")
        print("ok: rust/list.rs refuses another authority")
    finally:
        proxy.stop()


def main():
    binary = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory(prefix="solmu-examples-") as folder:
        folder = Path(folder)
        os.chmod(folder, 0o755)
        system = System(binary, folder)
        try:
            system.mail("Printer")
            opened = [*system.client, "ticket", "list"]
            until("the mail to be a ticket", lambda: "Printer" in run("ticket list", opened))
            rust_examples(system, Path(sys.argv[2]).resolve(), folder)
            python_example(system, folder)
            typescript_examples(system, folder)
        finally:
            system.stop()


if __name__ == "__main__":
    main()
