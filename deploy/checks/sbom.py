"""Writes the bill of materials of the program (CycloneDX 1.6): every crate that is linked into it, with version, licence and the
checksum of Cargo.lock. The same sources give the same file: it has no time and a serial number made of its content.

    sbom.py OUT
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]


def linked(metadata):
    """Ids of the packages that the binary is made of: what only builds or tests is not in it."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    first = next(it["id"] for it in metadata["packages"] if it["name"] == "solmu")
    found, waiting = set(), [first]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found.add(package)
        waiting += [it["pkg"] for it in nodes[package]["deps"] if any(kind["kind"] is None for kind in it["dep_kinds"])]
    return found


def component(package, checksums):
    name, version = package["name"], package["version"]
    ours = package["source"] is None
    entry = {
        "type": "library",
        "bom-ref": f"{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:cargo/{name}@{version}" + ("?vcs_url=git%2Bhttps%3A%2F%2Fgithub.com%2Fsolmu%2Fsolmu" if ours else ""),
    }
    if package.get("license"):
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if (name, version) in checksums:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    return entry


def main(out):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(it["name"], it["version"]): it["checksum"] for it in lock if "checksum" in it}
    wanted = linked(metadata)
    packages = {it["id"]: it for it in metadata["packages"]}
    chosen = sorted((packages[it] for it in wanted), key=lambda it: (it["name"], it["version"]))
    program = next(it for it in chosen if it["name"] == "solmu")
    components = [component(it, checksums) for it in chosen if it is not program]
    digest = hashlib.sha256(json.dumps(components, sort_keys=True).encode()).digest()
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}",
        "version": 1,
        "metadata": {"component": {**component(program, checksums), "type": "application"}},
        "components": components,
    }
    pathlib.Path(out).write_text(json.dumps(bill, indent=1) + "\n")
    without = [it["name"] for it in components if "licenses" not in it]
    print(f"sbom: {len(components)} crates" + (f", without a licence: {', '.join(without)}" if without else ""))


if __name__ == "__main__":
    main(sys.argv[1])
