#!/usr/bin/env python3
"""Mail through real servers: Postfix before and behind Solmu, swaks for dialogues, Dovecot as a mailbox.

Starts one `solmu serve` with private engines and the servers of others, all on loopback and in a temporary folder,
and follows one customer: mail in through Postfix (LMTP), an answer out through Postfix, the customer's answer to the
signed address back in, mail fetched from a Dovecot mailbox, and dialogues that are to be refused. Needs root (Postfix
and Dovecot drop privileges) and the Debian packages postfix, swaks, libnet-ssleay-perl and dovecot-imapd:

    make check-mail [MAILS=300]

MAILS is how many mails the mailbox has in which everything is killed. Where one of these is missing it says which, and that it did not run. Uses the standard library only.
"""

import contextlib
import email
import email.policy
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Seconds for anything: a busy machine is no failure.
PATIENCE = 300
SUPPORT = "support@desk.example"
CUSTOMER = "aino@customer.example"
# Mails of the mailbox in which the program is killed.
KILLED = int(sys.argv[2]) if len(sys.argv) > 2 else 300


def missing_means():
    """What keeps the check from running, or None."""
    if os.geteuid() != 0:
        return "root is needed: Postfix and Dovecot drop privileges"
    programs = {"postfix": "postfix", "smtp-sink": "postfix", "swaks": "swaks", "dovecot": "dovecot-imapd", "doveadm": "dovecot-imapd",
                "openssl": "openssl", "perl": "perl"}
    packages = {package for program, package in programs.items() if not find(program)}
    if find("perl") and subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False).returncode:
        packages.add("libnet-ssleay-perl")
    return f"install {' '.join(sorted(packages))}" if packages else None


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def free_ports(count):
    """Free ports of loopback. They are closed before they are used, so another process could take one meanwhile."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
        return ports


def wait_for(what, condition):
    """The first true answer of `condition`; ends the check when none comes."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.1)
    raise SystemExit(f"failed: no {what} within {PATIENCE} s")


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class System:
    """The servers of one run."""

    def __init__(self, folder, solmu):
        self.folder, self.solmu, self.processes = pathlib.Path(folder), solmu, []
        self.starts, self.running, self.dovecot = 0, None, None
        names = ["smtp", "lmtp", "grpc", "http", "admin", "postfix", "sink", "imap"]
        self.port = dict(zip(names, free_ports(len(names)), strict=True))

    def start(self, name, *command):
        log = open(self.folder / f"{name}.log", "wb")  # noqa: SIM115 (the process keeps it)
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append((name, process))
        return process

    def stop(self):
        if (self.folder / "postfix").exists():
            subprocess.run([find("postfix"), "-c", self.folder / "postfix", "stop"], capture_output=True, check=False)
        for _, process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for name, process in self.processes:
            try:
                process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise SystemExit(f"failed: {name} did not stop") from None

    # --- servers

    def start_solmu(self):
        certificate, key = self.folder / "mail.crt", self.folder / "mail.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=desk.example",
             "-keyout", key, "-out", certificate],
            check=True, capture_output=True,
        )
        config = self.folder / "solmu.toml"
        port = self.port
        config.write_text(f"""
[nats]
partitions = 1

[server]
grpc_address = "127.0.0.1:{port['grpc']}"
http_address = "127.0.0.1:{port['http']}"
admin_address = "127.0.0.1:{port['admin']}"
api_address = ""

[email]
listen = "127.0.0.1:{port['smtp']}"

[email.smtp.tls]
certificate = "{certificate}"
key = "{key}"

[email.smtp.lmtp]
listen = "127.0.0.1:{port['lmtp']}"

[[email.accounts]]
name = "main"
addresses = ["{SUPPORT}"]
display_name = "Support"
default = true

[email.relay]
host = "127.0.0.1"
port = {port['postfix']}
tls = "none"

[[email.mailboxes]]
name = "inbox"
account = "main"
host = "127.0.0.1"
port = {port['imap']}
tls = "none"
username = "box"
password = "open sesame"
""")
        data = self.folder / "data"
        data.mkdir(mode=0o711)
        shutil.copy(config, data / "solmu.toml")
        self.serve_solmu()

    def serve_solmu(self):
        self.starts += 1
        name = f"solmu{self.starts}"
        self.running = self.start(name, self.solmu, "serve", "--data", self.folder / "data")

        def is_ready():
            said = (self.folder / f"{name}.log").read_text(errors="replace")
            require(self.running.poll() is None, f"solmu does not start: {said}")
            return "Ready in" in said

        wait_for("ready system", is_ready)

    def kill_solmu(self):
        """Ends the process as a crash would; its engines end with it."""
        self.running.kill()
        self.running.wait(timeout=PATIENCE)
        self.processes = [(name, process) for name, process in self.processes if process is not self.running]

    def cli(self, *arguments):
        run = subprocess.run(
            [self.solmu, *arguments, "--json", "--data", self.folder / "data"],
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )
        if run.returncode:
            raise SystemExit(f"failed: solmu {' '.join(map(str, arguments))}: {run.stderr}")
        return [json.loads(line) for line in run.stdout.splitlines() if line.strip()]

    def tickets(self):
        return self.cli("ticket", "list", "--limit", str(KILLED + 1000))

    def start_postfix(self):
        home = self.folder / "postfix"
        for name in ("queue", "data"):
            (home / name).mkdir(parents=True)
        shutil.chown(home / "data", "postfix")
        master = ["# service type private unpriv chroot wakeup maxproc command",
                  f"127.0.0.1:{self.port['postfix']} inet n - n - - smtpd"]
        for service, kind, private, wakeup, limit, command in [
            ("pickup", "unix", "n", "60", "1", "pickup"), ("cleanup", "unix", "n", "-", "0", "cleanup"),
            ("qmgr", "unix", "n", "300", "1", "qmgr"), ("rewrite", "unix", "-", "-", "-", "trivial-rewrite"),
            ("bounce", "unix", "-", "-", "0", "bounce"), ("defer", "unix", "-", "-", "0", "bounce"),
            ("trace", "unix", "-", "-", "0", "bounce"), ("smtp", "unix", "-", "-", "-", "smtp"),
            ("lmtp", "unix", "-", "-", "-", "lmtp"), ("error", "unix", "-", "-", "-", "error"),
            ("anvil", "unix", "-", "-", "1", "anvil"), ("scache", "unix", "-", "-", "1", "scache"),
            ("proxymap", "unix", "-", "-", "-", "proxymap"), ("tlsmgr", "unix", "-", "1000?", "1", "tlsmgr"), ("postlog", "unix-dgram", "n", "-", "1", "postlogd"),
        ]:
            master.append(f"{service} {kind} {private} - n {wakeup} {limit} {command}")
        (home / "master.cf").write_text("\n".join(master) + "\n")
        (home / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/mail.log
maillog_file_prefixes = {self.folder}
myhostname = mx.desk.example
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relay_domains = desk.example
transport_maps = inline:{{ {{ desk.example = lmtp:inet:127.0.0.1:{self.port['lmtp']} }}, {{ customer.example = smtp:[127.0.0.1]:{self.port['sink']} }} }}
smtp_host_lookup = native
smtputf8_enable = yes
message_size_limit = 60000000
maximal_queue_lifetime = 1d
bounce_queue_lifetime = 1d
""")
        subprocess.run([find("postfix"), "-c", home, "set-permissions"], capture_output=True, check=False)
        # It changes what is root's; the queue of this instance is made by `check`.
        subprocess.run([find("postfix"), "-c", home, "start"], check=True, capture_output=True)
        wait_for("Postfix", lambda: answers(self.port["postfix"]))

    def start_sink(self):
        dumps = self.folder / "sink"
        dumps.mkdir(mode=0o777)
        dumps.chmod(0o777)
        self.start("sink", find("smtp-sink"), "-u", "nobody", "-d", f"{dumps}/%M.", f"127.0.0.1:{self.port['sink']}", "64")
        wait_for("sink", lambda: answers(self.port["sink"]))

    def received(self):
        """Mails that left, as the customer's server has them."""
        mails = []
        for dump in sorted((self.folder / "sink").iterdir()):
            mail = email.message_from_bytes(dump.read_bytes(), policy=email.policy.default)
            if mail["From"]:
                mails.append(mail)
        return mails

    def start_dovecot(self):
        home = self.folder / "dovecot"
        (home / "mail" / "cur").mkdir(parents=True)
        for name in ("new", "tmp"):
            (home / "mail" / name).mkdir()
        (home / "users").write_text("box:{PLAIN}open sesame:65534:65534::::\n")
        (home / "dovecot.conf").write_text(f"""
protocols = imap
listen = 127.0.0.1
base_dir = {home}/run
log_path = {home}/dovecot.log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:{home}/mail
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
passdb {{
  driver = passwd-file
  args = {home}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={home}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.port['imap']}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
""")
        (home / "home").mkdir()
        for path in [home, *home.rglob("*")]:
            shutil.chown(path, "nobody", "nogroup")
        self.serve_dovecot()

    def serve_dovecot(self):
        self.dovecot = self.start("dovecot", find("dovecot"), "-F", "-c", self.folder / "dovecot" / "dovecot.conf")
        wait_for("Dovecot", lambda: answers(self.port["imap"]))

    def kill_dovecot(self):
        """Its children end when they see that it is gone."""
        self.dovecot.kill()
        self.dovecot.wait(timeout=PATIENCE)
        self.processes = [(name, process) for name, process in self.processes if process is not self.dovecot]
        wait_for("end of Dovecot's children", lambda: not answers(self.port["imap"]))

    def change_uidvalidity(self):
        """As after a restore: the server counts anew. A session that is open would keep the old number."""
        doveadm = [find("doveadm"), "-c", self.folder / "dovecot" / "dovecot.conf"]
        subprocess.run([*doveadm, "mailbox", "update", "--uid-validity", "77", "-u", "box", "INBOX"],
                       check=True, capture_output=True)
        subprocess.run([*doveadm, "kick", "box"], check=False, capture_output=True)

    def drop_into_mailbox(self, name, mail):
        box = self.folder / "dovecot" / "mail"
        path = box / "tmp" / name
        path.write_bytes(mail)
        shutil.chown(path, "nobody", "nogroup")
        path.rename(box / "new" / name)

    # --- clients

    def swaks(self, port, *arguments, protocol="ESMTP"):
        """Runs a dialogue; returns (went through, transcript)."""
        run = subprocess.run(
            [find("swaks"), "--server", "127.0.0.1", "--port", str(self.port[port]), "--protocol", protocol,
             "--ehlo", "client.customer.example", "--timeout", str(PATIENCE // 2), *arguments],
            capture_output=True, text=True, errors="replace", check=False, timeout=PATIENCE,
        )
        return run.returncode == 0, run.stdout + run.stderr


checks = []


def check(name):
    def register(function):
        checks.append((name, function))
        return function
    return register


def require(condition, text):
    if not condition:
        raise SystemExit(f"failed: {text}")


@check("mail through Postfix (LMTP) becomes a ticket")
def mail_in(system):
    fine, talk = system.swaks("postfix", "--from", CUSTOMER, "--to", SUPPORT, "--header", "Subject: Lasku puuttuu",
                              "--header", "Message-Id: <first@customer.example>",
                              "--header", f"From: Aino Virtanen <{CUSTOMER}>", "--body", "Missä laskuni on?")
    require(fine, talk)
    ticket = wait_for("ticket", system.tickets)[0]
    require(ticket["subject"] == "Lasku puuttuu", ticket)
    system.ticket = ticket


@check("the answer leaves through Postfix with its thread and a signed address")
def answer_out(system):
    system.cli("ticket", "reply", str(system.ticket["number"]), "Se on liitteenä.")
    mail = wait_for("answer at the customer's server", system.received)[0]
    require(mail["In-Reply-To"] == "<first@customer.example>", mail["In-Reply-To"])
    require("<first@customer.example>" in mail["References"], mail["References"])
    require(CUSTOMER in mail["To"], mail["To"])
    require(mail["Auto-Submitted"] is None, "a person's answer is marked as automatic")
    require("Se on liitteenä." in mail.get_body(("plain",)).get_content(), "the text is missing")
    system.reply_to = email.utils.parseaddr(mail["Reply-To"])[1]
    require(re.fullmatch(r".+@desk\.example", system.reply_to), mail["Reply-To"])


@check("the customer's answer to the signed address joins the ticket, without any thread header")
def answer_in(system):
    fine, talk = system.swaks("postfix", "--from", CUSTOMER, "--to", system.reply_to, "--header", "Subject: Kiitos",
                              "--header", f"From: {CUSTOMER}", "--body", "Kiitos!")
    require(fine, talk)
    number = str(system.ticket["number"])
    wait_for("second message of the customer",
             lambda: "Kiitos!" in json.dumps(system.cli("ticket", "show", number), ensure_ascii=False))
    require(len(system.tickets()) == 1, "another ticket was opened")


@check("a mailbox of Dovecot is fetched, and a repeat is one message")
def mailbox(system):
    mail = (f"From: Bo <bo@customer.example>\r\nTo: {SUPPORT}\r\nSubject: From the mailbox\r\n"
            "Message-ID: <box1@customer.example>\r\nDate: Sun, 22 Nov 2026 08:00:00 +0000\r\n\r\nHello.\r\n").encode()
    system.drop_into_mailbox("1.box", mail)
    system.drop_into_mailbox("2.box", mail)
    wait_for("ticket from the mailbox",
             lambda: [t for t in system.tickets() if t["subject"] == "From the mailbox"])
    system.drop_into_mailbox("3.box", mail.replace(b"box1@", b"box2@").replace(b"From the mailbox", b"Later"))
    wait_for("later ticket", lambda: [t for t in system.tickets() if t["subject"] == "Later"])
    same = [t for t in system.tickets() if t["subject"] == "From the mailbox"]
    require(len(same) == 1, f"{len(same)} tickets from two copies of one mail")


@check("STARTTLS, and the mail says so")
def starttls(system):
    fine, talk = system.swaks("smtp", "--tls", "--from", CUSTOMER, "--to", SUPPORT, "--header", "Subject: Over TLS",
                              "--body", "secret")
    require(fine and "TLS started" in talk, talk)
    wait_for("ticket over TLS", lambda: [t for t in system.tickets() if t["subject"] == "Over TLS"])


@check("LMTP answers for each recipient")
def lmtp(system):
    fine, talk = system.swaks("lmtp", "--from", CUSTOMER, "--to", f"{SUPPORT},nobody@desk.example",
                              "--header", "Subject: Two recipients", "--body", "x", protocol="LMTP")
    require("550" in talk and re.search(r"<-\s+250 ", talk), talk)
    wait_for("ticket of the known recipient",
             lambda: [t for t in system.tickets() if t["subject"] == "Two recipients"])
    require(fine is not None, talk)


@check("pipelining, UTF-8 and a body with dots")
def pipelining(system):
    fine, talk = system.swaks("smtp", "--pipeline", "--from", CUSTOMER, "--to", SUPPORT,
                              "--header", "Subject: Ääkköset ja pisteet", "--body", ".\n..\n. ja loppu\n")
    require(fine, talk)
    wait_for("ticket", lambda: [t for t in system.tickets() if t["subject"] == "Ääkköset ja pisteet"])


@check("strangers' domains, unknown recipients and too large mails are refused")
def refusals(system):
    for recipient in ("someone@elsewhere.example", "nobody@desk.example"):
        fine, talk = system.swaks("smtp", "--from", CUSTOMER, "--to", recipient, "--body", "x")
        require(not fine and re.search(r"<\*\* 550 5\.[17]", talk), talk)
    with socket.create_connection(("127.0.0.1", system.port["smtp"]), timeout=PATIENCE) as talk:
        stream = talk.makefile("rwb")
        stream.readline()
        for command, wanted in [("EHLO x", "250"), (f"MAIL FROM:<{CUSTOMER}> SIZE=900000000", "552"), ("QUIT", "221")]:
            stream.write(f"{command}\r\n".encode())
            stream.flush()
            line = stream.readline()
            while line[3:4] == b"-":
                line = stream.readline()
            require(line.decode().startswith(wanted), f"{command}: {line}")


@check("smuggled mails stay out")
def smuggling(system):
    before = len(system.tickets())
    with socket.create_connection(("127.0.0.1", system.port["smtp"]), timeout=PATIENCE) as talk:
        talk.settimeout(PATIENCE)
        stream = talk.makefile("rwb")
        stream.readline()
        for command in ("EHLO x", f"MAIL FROM:<{CUSTOMER}>", f"RCPT TO:<{SUPPORT}>", "DATA"):
            stream.write(f"{command}\r\n".encode())
            stream.flush()
            line = stream.readline()
            while line[3:4] == b"-":
                line = stream.readline()
        inner = f"MAIL FROM:<admin@desk.example>\r\nRCPT TO:<{SUPPORT}>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
        stream.write(b"Subject: outer\r\n\r\nx\n.\r\n" + inner.encode())
        stream.flush()
        require(stream.readline().startswith(b"550"), "a bare line feed before a lone dot was taken")
    require(not [t for t in system.tickets() if t["subject"] == "smuggled"], "a smuggled mail became a ticket")
    require(len(system.tickets()) == before, "a refused mail became a ticket")


@check("kill -9 in the middle of a mailbox loses and doubles nothing")
def kill_in_a_mailbox(system):
    def subjects():
        return [t["subject"] for t in system.tickets() if t["subject"].startswith("Killed ")]

    wanted = [f"Killed {number:05}" for number in range(KILLED)]
    for number, subject in enumerate(wanted):
        body = "Hello. " * (2000 if number % 10 == 0 else 20)
        mail = (f"From: Bo <bo{number}@customer.example>\r\nTo: {SUPPORT}\r\nSubject: {subject}\r\n"
                f"Message-ID: <killed{number}@customer.example>\r\n\r\n{body}\r\n").encode()
        system.drop_into_mailbox(f"killed{number}", mail)
    # Each time a little later, and each time in the middle of something.
    for part in (1, KILLED // 5, KILLED // 2):
        wait_for(f"{part} tickets", lambda part=part: len(subjects()) >= part)
        system.kill_solmu()
        system.serve_solmu()
    wait_for("all tickets", lambda: len(set(subjects())) == len(wanted))
    found = sorted(subjects())
    require(found == wanted, f"{len(found)} tickets from {len(wanted)} mails")


@check("a mailbox that was made anew (another UIDVALIDITY) is read again and doubles nothing")
def made_anew(system):
    before = len(system.tickets())
    system.change_uidvalidity()
    mail = (f"From: Bo <bo@customer.example>\r\nTo: {SUPPORT}\r\nSubject: After the change\r\n"
            "Message-ID: <anew@customer.example>\r\n\r\nHello.\r\n").encode()
    system.drop_into_mailbox("anew", mail)
    # UIDs are in order of arrival: once this one is there, all the others were read before.
    wait_for("ticket after the change", lambda: [t for t in system.tickets() if t["subject"] == "After the change"])
    require(len(system.tickets()) == before + 1, "mails that were read before became tickets again")


@check("a server of the mailbox that was killed is found again")
def mailbox_server_killed(system):
    system.kill_dovecot()
    mail = (f"From: Bo <bo@customer.example>\r\nTo: {SUPPORT}\r\nSubject: While it was away\r\n"
            "Message-ID: <away@customer.example>\r\n\r\nHello.\r\n").encode()
    system.drop_into_mailbox("away", mail)
    system.serve_dovecot()
    wait_for("ticket after the server came back",
             lambda: [t for t in system.tickets() if t["subject"] == "While it was away"])


def main():
    if reason := missing_means():
        print(f"not run: mail through real servers ({reason})")
        return
    solmu = pathlib.Path(sys.argv[1]).resolve()
    # Readable for the servers' own users.
    folder = tempfile.mkdtemp(prefix="solmu-mail-")
    os.chmod(folder, 0o755)
    system = System(folder, solmu)
    try:
        system.start_dovecot()
        system.start_sink()
        system.start_solmu()
        system.start_postfix()
        for name, function in checks:
            begun = time.monotonic()
            function(system)
            print(f"ok  {name} ({time.monotonic() - begun:.1f} s)")
        system.stop()
    except BaseException:
        print(f"the logs are in {folder}", file=sys.stderr)
        with contextlib.suppress(Exception):
            system.stop()
        raise
    shutil.rmtree(folder)
    print(f"mail through real servers: {len(checks)} checks passed")


if __name__ == "__main__":
    main()
