"""Writes tests/released: a database as the program at hand makes it, which later programs must be able to take over.

    snapshot.py BINARY

Schema and rows of a system that has done a day's work of every kind (`solmu demo`). tests/upgrade.rs migrates it with the program
of the day and works on, and writes its rows, as the released program writes them, under the new schema. Made anew at each release, by
the released program; before the first release it stands for it. Never edited by hand.
"""

import json
import os
import pathlib
import re
import sys
import tempfile

from live import ROOT, Process, free_ports, get, postgres_program, until
from power import run

OUT = ROOT / "tests/released"
# Of the machine on which it was made, or what each process writes anew.
LEFT_OUT = ("platform.lease", "platform.member")


def dump(url, *arguments):
    text = run(postgres_program("pg_dump"), "--no-owner", "--no-privileges", *arguments, url)
    # `\restrict` and its like are for psql; settings are of the server's version. Comments are told by their words: a signature in
    # a mail begins with two dashes too.
    of_the_dump = re.compile(r"\\|--$|-- (Name|Data for Name|Dumped|PostgreSQL|TOC)|SET [a-z_]+ = |SELECT pg_catalog.set_config")
    lines = [line for line in text.splitlines() if not of_the_dump.match(line)]
    return "\n".join(lines).strip() + "\n"


def main(binary):
    binary = str(pathlib.Path(binary).resolve())
    with tempfile.TemporaryDirectory(prefix="solmu-snapshot-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        grpc, http, admin, smtp = free_ports(4)
        ports = {"SERVER__GRPC_ADDRESS": grpc, "SERVER__HTTP_ADDRESS": http, "SERVER__ADMIN_ADDRESS": admin, "EMAIL__LISTEN": smtp}
        environment = {f"SOLMU__{key}": f"127.0.0.1:{port}" for key, port in ports.items()}
        os.environ.update(environment)
        data = str(folder / "data")
        process = Process("solmu", [binary, "--data", data, "serve"], folder, environment)
        try:
            until("solmu is ready", lambda: get(f"http://127.0.0.1:{admin}/readyz"))
            until("it has said so", lambda: "Stop with Ctrl-C" in process.text())
            print(run(binary, "--data", data, "--endpoint", f"http://127.0.0.1:{grpc}", "demo", "--http", f"http://127.0.0.1:{http}", "--smtp", f"127.0.0.1:{smtp}")[-600:])
            url = json.loads((folder / "data/engines.json").read_text())["postgres"]
            until("nothing waits in the outbox", lambda: run(postgres_program("psql"), "-At", url, "-c", "SELECT count(*) FROM tickets.outbox WHERE sent_at IS NULL") == "0")
            OUT.mkdir(exist_ok=True)
            excluded = [f"--exclude-table-data={it}" for it in LEFT_OUT]
            (OUT / "schema.sql").write_text(dump(url, "--schema-only"))
            (OUT / "rows.sql").write_text(dump(url, "--data-only", "--column-inserts", *excluded))
            (OUT / "token").write_text((folder / "data/token").read_text().strip() + "\n")
        finally:
            process.stop()
    for path in sorted(OUT.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
