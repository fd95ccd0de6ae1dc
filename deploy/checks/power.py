"""Cuts the power: the data directory lies on a loop device, whose image is copied while mail comes in. The copy holds what the
device had been told to keep and nothing of what was still in memory, as a disk does after a power cut. Solmu starts on the
copy, and every mail that a sender was told is safe must be there, once.

    power.py BINARY [--cuts N]

Killing processes does not show this: the kernel keeps what they wrote. So the cut is proved to be one first: a nats-server
with its default `sync_interval` must lose acknowledged messages by it, and one with `sync_interval: always` none. Needs root,
loop devices, mkfs.ext4, nats-server and psql; says so where they are missing.
"""

import argparse
import base64
import itertools
import json
import os
import pathlib
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time

from live import Process, free_ports, get, postgres_program, tool, until

# Of the device: PostgreSQL's cluster and the streams of a short run.
BYTES = 1536 * 1024 * 1024
SENDERS = 4
# Accepted, and of them filed, before the cut: enough that something is under way in every part.
ACCEPTED, FILED = 200, 60
# Messages that the bare bus acknowledges before its cut.
PUBLISHED = 300


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr or done.stdout).strip()[:500]}")
    return done.stdout.strip()


class Device:
    """A disk that can be taken away at any moment."""

    def __init__(self, folder):
        self.folder, self.image, self.place = folder, folder / "disk.img", folder / "disk"
        self.place.mkdir()
        self.mounted = False

    def make(self):
        with self.image.open("wb") as image:
            image.truncate(BYTES)
        run("mkfs.ext4", "-q", "-F", str(self.image))
        self.mount()

    def mount(self):
        # The file system writes its journal when it is told to sync, and not by the clock: so nothing is saved by luck.
        run("mount", "-o", "loop,commit=600", str(self.image), str(self.place))
        self.mounted = True
        self.place.chmod(0o755)

    def copy(self):
        """What a disk would hold if the power went now. Nobody may be writing."""
        run("cp", "--sparse=always", str(self.image), str(self.folder / "cut.img"))

    def become_the_copy(self):
        self.unmount()
        (self.folder / "cut.img").rename(self.image)
        # Its journal is replayed, as at every start after a crash.
        self.mount()

    def unmount(self):
        if self.mounted:
            until("the disk is free", lambda: subprocess.run(["umount", str(self.place)], capture_output=True, check=False).returncode == 0)
            self.mounted = False


def descendants(first):
    """A process and all that it started, by their ids."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    family, grown = {first}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        grown = bool(more)
        family |= more
    return family


def tell(pids, what):
    for pid in pids:
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            pass


def stopped(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "TtZX"
    except OSError:
        return True


def freeze(first):
    """Holds a process and all of its children. Two looks: one may have been started between look and signal."""
    family = set()
    for _ in range(2):
        family |= descendants(first)
        tell(family, signal.SIGSTOP)
        until("everything stands still", lambda: all(map(stopped, family)))
    return family


class Bus:
    """As much of NATS's protocol as publishing with acknowledgement takes."""

    def __init__(self, port):
        self.link = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.lines = self.link.makefile("rb")
        self.lines.readline()
        self.link.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB answers.* 1\r\n')

    def ask(self, subject, body=b""):
        self.link.sendall(b"PUB %s answers.1 %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        while True:
            line = self.lines.readline()
            if not line:
                raise OSError("nats-server closed the connection")
            if line.startswith(b"PING"):
                self.link.sendall(b"PONG\r\n")
            elif line.startswith(b"MSG"):
                return json.loads(self.lines.read(int(line.split()[-1]) + 2))


def bare_bus(device, sync):
    """Messages that a stream has lost after a cut, of those that were acknowledged."""
    store = device.place / f"bus-{sync.replace(':', '')}"
    client, monitoring = free_ports(2)
    config = device.folder / "bus.conf"
    config.write_text(
        f'listen: "127.0.0.1:{client}"\nhttp: "127.0.0.1:{monitoring}"\njetstream {{ store_dir: "{store}", sync_interval: {sync} }}\n'
    )

    def start():
        process = Process("bus", [tool("nats-server"), "--config", str(config)], device.folder)
        until("nats-server", lambda: get(f"http://127.0.0.1:{monitoring}/healthz"))
        return process

    nats = start()
    try:
        bus = Bus(client)
        created = bus.ask("$JS.API.STREAM.CREATE.S", b'{"name":"S","subjects":["s"],"storage":"file","num_replicas":1}')
        if "error" in created:
            raise RuntimeError(f"no stream: {created}")
        acknowledged = sum("seq" in bus.ask("s", b"message %d" % number) for number in range(PUBLISHED))
        family = freeze(nats.child.pid)
        device.copy()
        tell(family, signal.SIGKILL)
        nats.child.wait()
        device.become_the_copy()
        nats = start()
        state = Bus(client).ask("$JS.API.STREAM.INFO.S").get("state", {"messages": 0})
        return acknowledged - state["messages"]
    finally:
        tell([nats.child.pid], signal.SIGKILL)
        nats.child.wait()


class Senders:
    """They write without pause and note what they were told."""

    def __init__(self, port, cut):
        self.port, self.accepted, self.lock, self.done = port, set(), threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(cut, number), daemon=True) for number in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def send(self, cut, sender):
        numbers = itertools.count()
        while not self.done.is_set():
            try:
                self.send_on_one_connection(cut, sender, numbers)
            except (OSError, smtplib.SMTPException):
                self.done.wait(0.2)

    def send_on_one_connection(self, cut, sender, numbers):
        # Short: after the cut nobody answers any more.
        with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as smtp:
            for number in numbers:
                if self.done.is_set():
                    return
                name = f"p{cut}.{sender}.{number}@customer.example"
                attachment = base64.encodebytes(os.urandom(3000)).decode() if number % 10 == 0 else ""
                smtp.sendmail(
                    f"c{sender}@customer.example",
                    ["support@desk.example"],
                    f"From: <c{sender}@customer.example>\r\nTo: support@desk.example\r\nSubject: Matter {name}\r\n"
                    f"Message-ID: <{name}>\r\nDate: Mon, 02 Nov 2026 08:00:00 +0000\r\n\r\nHello.\r\n{attachment}\r\n",
                )
                with self.lock:
                    self.accepted.add(name)

    def join(self):
        self.done.set()
        for thread in self.threads:
            thread.join()
        return set(self.accepted)


class System:
    def __init__(self, binary, device):
        self.binary, self.device = binary, device
        self.data = device.place / "data"
        self.grpc, self.http, self.admin, self.smtp = free_ports(4)
        (device.folder / "solmu.toml").write_text(
            '[nats]\npartitions = 4\nmax_stream_bytes = 134217728\n[email.smtp]\nmax_messages = 100000\n'
            '[[email.accounts]]\nname = "main"\naddresses = ["support@desk.example"]\ndefault = true\n'
        )

    def start(self):
        ports = {"server.grpc_address": self.grpc, "server.http_address": self.http, "server.admin_address": self.admin, "email.listen": self.smtp}
        sets = [part for key, port in ports.items() for part in ("--set", f"{key}=127.0.0.1:{port}")]
        sets += ["--set", "server.api_address="]
        command = [self.binary, "--data", str(self.data), "--config", str(self.device.folder / "solmu.toml"), "serve", *sets]
        self.process = Process("solmu", command, self.device.folder)

        def ready():
            if self.process.child.poll() is not None:
                raise RuntimeError(f"solmu ended:\n{self.process.text()[-3000:]}")
            return get(f"http://127.0.0.1:{self.admin}/readyz")

        until("solmu is ready", ready)

    def filed(self):
        """The ticket's number and the number of times, of each mail that is filed."""
        url = json.loads((self.data / "engines.json").read_text())["postgres"]
        rows = run(
            postgres_program("psql"), "-At", url, "-c",
            "SELECT m.external_id, min(t.number), count(*) FROM tickets.message m JOIN tickets.ticket t ON t.id = m.ticket_id"
            " WHERE m.author_kind = 1 GROUP BY 1",
        )
        return {name: (number, int(count)) for name, number, count in (row.split("|") for row in rows.splitlines())}


def cut_solmu(system, device, cut):
    """What the cut has taken, a line each."""
    senders = Senders(system.smtp, cut)
    try:
        until("mail is accepted and filed", lambda: len(senders.accepted) >= ACCEPTED and len(system.filed()) >= FILED)
        # What the database has told is its promise.
        before = system.filed()
        family = freeze(system.process.child.pid)
        device.copy()
        accepted = senders.join()
        tell(family, signal.SIGKILL)
        system.process.child.wait()
        until("nobody is left", lambda: not any(pathlib.Path(f"/proc/{pid}").exists() and not stopped(pid) for pid in family))
    finally:
        senders.done.set()
    device.become_the_copy()
    system.start()
    try:
        until("every accepted mail is filed", lambda: accepted <= system.filed().keys())
    except RuntimeError:
        missing = sorted(accepted - system.filed().keys())
        yield f"{len(missing)} of {len(accepted)} accepted mails are lost, such as {missing[:3]}"
    after = system.filed()
    moved = [name for name, (number, _) in before.items() if after.get(name, ("", 0))[0] != number]
    if moved:
        yield f"{len(moved)} mails that were filed stand elsewhere or nowhere: {moved[:3]}"
    twice = [name for name, (_, count) in after.items() if count != 1]
    if twice:
        yield f"{len(twice)} mails are filed more than once: {twice[:3]}"
    print(f"power: cut {cut}: {len(accepted)} mails accepted, {len(before)} filed before, all there after: {accepted <= after.keys()}")


def missing():
    if os.geteuid() != 0:
        return "it needs root"
    for program in ("mkfs.ext4", "losetup", "mount"):
        if not shutil.which(program):
            return f"{program} is not there"
    if not tool("nats-server") or not postgres_program("psql"):
        return "nats-server or psql is not there: scripts/tools.sh"
    if subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode:
        return "there are no loop devices"
    return None


def check(binary, cuts, folder):
    device = Device(folder)
    system = None
    try:
        device.make()
        lost = bare_bus(device, "2m")
        print(f"power: a bus with its default sync_interval lost {lost} of {PUBLISHED} acknowledged messages by a cut")
        if lost == 0:
            yield "the cut takes nothing from a bus that does not sync: it is no power cut, and what follows proves nothing"
        lost = bare_bus(device, "always")
        print(f"power: one with 'sync_interval: always' lost {lost}")
        if lost:
            yield f"a bus that syncs always lost {lost} of {PUBLISHED} acknowledged messages"
        system = System(binary, device)
        system.start()
        for cut in range(1, cuts + 1):
            yield from cut_solmu(system, device, cut)
        if system.process.stop():
            yield f"solmu did not end well:\n{system.process.text()[-1500:]}"
    except (RuntimeError, OSError) as error:
        yield str(error)
        if system:
            yield f"--- end of the log\n{system.process.text()[-1500:]}"
    finally:
        if system and system.process.child.poll() is None:
            tell(descendants(system.process.child.pid), signal.SIGKILL)
            system.process.child.wait()
        device.unmount()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--cuts", type=int, default=2)
    arguments = parser.parse_args()
    why = missing()
    if why:
        print(f"not run: the power cut ({why})")
        return 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="solmu-power-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        problems = list(check(str(pathlib.Path(arguments.binary).resolve()), arguments.cuts, folder))
    for problem in problems:
        print(problem)
    print(f"power: {arguments.cuts} cuts, {len(problems)} problems, {time.monotonic() - begun:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
