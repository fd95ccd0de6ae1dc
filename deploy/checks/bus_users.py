"""What a user of NATS can read, asked of a real nats-server with deploy/nats/users.conf. No process of Solmu, no cluster.

    bus_users.py

A pulled message comes to the inbox of whoever pulls. So each user listens to its own inbox and to no other: the customers' mail that is
delivered to `tickets` must not be readable for somebody who broke into `forms`. Shown first a spoiled file, which it must find.

Run by `cargo xtask deploy check`.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from live import ROOT, ROLES, free_ports, tool

USERS = ["admin", *ROLES]
PATIENCE = 30
# Subjects that show others' messages, besides their inboxes.
WIDE = [">", "*.>", "_INBOX.>", "solmu.>", "solmu.inbound.v1.*", "$JS.>", "$JS.API.>", "$JS.ACK.>"]
# What may be subscribed to besides the own inbox: which agents look at a ticket.
MAY = {"tickets": {"solmu.viewers.v1.*"}}
# Ways to the mail that only `tickets` and the operator have.
READS_MAIL = [
    "$JS.API.CONSUMER.MSG.NEXT.SOLMU_INBOUND.tickets-inbound-0",
    "$JS.API.CONSUMER.CREATE.SOLMU_INBOUND.spy",
    "$JS.API.CONSUMER.CREATE.SOLMU_INBOUND",
    "$JS.API.CONSUMER.DURABLE.CREATE.SOLMU_INBOUND.spy",
    "$JS.API.STREAM.MSG.GET.SOLMU_INBOUND",
    "$JS.API.DIRECT.GET.SOLMU_INBOUND",
    "$JS.API.STREAM.CREATE.SPY",
]
MAIL = b"the mail of a customer"


class Client:
    """As much of the protocol as this needs. Each call asks the server until all that came before is answered."""

    def __init__(self, port, user):
        self.user, self.buffer, self.subscriptions = user, b"", 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.line()
        self.send("CONNECT " + json.dumps({"user": user, "pass": f"p{user}", "verbose": False, "headers": True}))
        self.settle()

    def send(self, line, payload=None):
        self.socket.sendall(line.encode() + b"\r\n" + (b"" if payload is None else payload + b"\r\n"))

    def line(self):
        while b"\r\n" not in self.buffer:
            got = self.socket.recv(65536)
            if not got:
                raise RuntimeError(f"nats-server closed the connection of {self.user}")
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode(errors="replace")

    def take(self, size):
        while len(self.buffer) < size + 2:
            self.buffer += self.socket.recv(65536)
        taken, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        return taken

    def settle(self, until=lambda messages: True):
        """Errors and messages up to the answer to a PING, again until enough has come."""
        errors, messages, deadline = [], [], time.monotonic() + PATIENCE
        while True:
            self.send("PING")
            while (line := self.line()) != "PONG":
                if line.startswith("-ERR"):
                    errors.append(line)
                elif line.startswith(("MSG ", "HMSG ")):
                    messages.append(self.take(int(line.rsplit(" ", 1)[1])))
                elif line == "PING":
                    self.send("PONG")
            if until(messages):
                return errors, messages
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.user} waits in vain: {errors} {messages}")
            time.sleep(0.02)

    def subscribe(self, subject):
        """Whether the server lets it."""
        self.subscriptions += 1
        self.send(f"SUB {subject} {self.subscriptions}")
        return not self.settle()[0]

    def publish(self, subject, payload=b""):
        self.send(f"PUB {subject} {len(payload)}", payload)
        return not self.settle()[0]

    def ask(self, subject, payload):
        """Request and reply over the own inbox."""
        inbox = f"_INBOX_{self.user}.{self.subscriptions + 1}"
        if not self.subscribe(inbox):
            raise RuntimeError(f"{self.user} may not listen to its own inbox")
        self.send(f"PUB {subject} {inbox} {len(payload)}", payload)
        return self.settle(until=bool)[1][0]


class Server:
    def __init__(self, folder, users):
        self.port = free_ports(1)[0]
        (folder / "users.conf").write_text(users)
        config = folder / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{folder}/jetstream" }}\ninclude ./users.conf\n')
        self.log = (folder / "nats.log").open("w")
        environment = {f"SOLMU_NATS_{user.upper()}": f"p{user}" for user in USERS}
        self.child = subprocess.Popen([tool("nats-server"), "--config", str(config)], env=environment, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.child.poll() is not None:
                    raise
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()
        self.log.close()


def listening(server):
    """Nobody may listen where another's messages come by."""
    for user in USERS:
        client = Client(server.port, user)
        if not client.subscribe(f"_INBOX_{user}.>"):
            yield f"{user} may not listen to its own inbox"
        others = [f"_INBOX_{other}.>" for other in USERS if other != user]
        for subject in [*WIDE, *others]:
            if subject not in MAY.get(user, ()) and client.subscribe(subject):
                yield f"{user} may listen to '{subject}'"


def asking(server):
    """Nobody but tickets and the operator may fetch the mail itself."""
    for user in USERS:
        client = Client(server.port, user)
        for subject in READS_MAIL:
            if user not in ("admin", "tickets") and client.publish(subject):
                yield f"{user} may ask '{subject}'"


def overhearing(server):
    """A mail goes its way while `forms` listens to all that it can."""
    admin, email, tickets, forms = (Client(server.port, user) for user in ("admin", "email", "tickets", "forms"))
    made = json.loads(admin.ask("$JS.API.STREAM.CREATE.SOLMU_INBOUND", json.dumps({
        "name": "SOLMU_INBOUND", "subjects": ["solmu.inbound.v1.*"], "retention": "limits", "storage": "memory", "max_bytes": 1 << 20,
    }).encode()))
    if "error" in made:
        raise RuntimeError(f"no stream: {made['error']}")
    for subject in [*WIDE, *(f"_INBOX_{user}.>" for user in USERS)]:
        forms.subscribe(subject)
    email.ask("solmu.inbound.v1.0", MAIL)
    name = "tickets-inbound-0"
    tickets.ask(f"$JS.API.CONSUMER.CREATE.SOLMU_INBOUND.{name}", json.dumps({
        "stream_name": "SOLMU_INBOUND", "config": {"name": name, "durable_name": name, "ack_policy": "explicit"},
    }).encode())
    if tickets.ask(f"$JS.API.CONSUMER.MSG.NEXT.SOLMU_INBOUND.{name}", b"1") != MAIL:
        yield "tickets does not get the mail"
    if MAIL in forms.settle()[1]:
        yield "forms reads the mail that is delivered to tickets"


def problems(users):
    with tempfile.TemporaryDirectory(prefix="solmu-bus-users-") as folder, Server(pathlib.Path(folder), users) as server:
        return [*listening(server), *asking(server), *overhearing(server)]


def main():
    users = (ROOT / "deploy/nats/users.conf").read_text()
    # One that lets forms listen to the inbox of tickets, as a shared `_INBOX` did.
    spoiled = users.replace('"_INBOX_forms.>"', '"_INBOX_forms.>", "_INBOX_tickets.>"')
    found = problems(users)
    if not any("forms reads the mail" in it for it in problems(spoiled)):
        found.append("a spoiled file is not found")
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
