#!/usr/bin/env bash
# Builds the image of deploy/Dockerfile without a registry: on a root file system made of Debian packages, with a program
# that is built already, or from source. Then runs its program inside it as user 65532 on a read-only root.
#
#   deploy/checks/image.sh [BINARY]     target/release/solmu, else target/quick/solmu, else target/debug/solmu
#   PROFILE=quick deploy/checks/image.sh --from-source
#                                       all stages of the Dockerfile: the program is built inside too, without a network, on
#                                       Debian packages with the toolchain and the crates of this machine. Takes as long as a
#                                       first build does; PROFILE is release unless given.
#
# Beside it, target/image/solmu.cdx.json is its bill of materials. Needs root, buildah and mmdebstrap; says so where they are missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for tool in buildah mmdebstrap; do
    if ! command -v "$tool" >/dev/null; then
        echo "not run: the image ($tool is not there)"
        exit 0
    fi
done
if [ "$(id -u)" -ne 0 ]; then
    echo "not run: the image (it needs root)"
    exit 0
fi

from_source=no
binary=""
case "${1:-}" in
    --from-source) from_source=yes ;;
    *) binary="${1:-}" ;;
esac
if [ "$from_source" = no ]; then
    for candidate in target/release/solmu target/quick/solmu target/debug/solmu; do
        [ -n "$binary" ] || { [ -x "$candidate" ] && binary="$candidate"; } || true
    done
    [ -n "$binary" ] || { echo "there is no program to put into the image: cargo build --release -p solmu" >&2; exit 1; }
fi

scratch="$(mktemp -d)"
mounted=""
clean() {
    [ -z "$mounted" ] || buildah rm "$mounted" >/dev/null
    rm -rf "$scratch"
}
trap clean EXIT
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"

# What the distroless base for C programs holds, and nothing else: no shell, no package manager.
if ! mmdebstrap --quiet --variant=extract \
    --include=base-files,netbase,tzdata,ca-certificates,libc6,libgcc-s1 bookworm "$scratch/base.tar"; then
    echo "not run: the image (the packages of its base could not be fetched)"
    exit 0
fi
mkdir "$scratch/base"
tar -C "$scratch/base" -xf "$scratch/base.tar" --exclude='./dev/*'
rm -rf "$scratch/base"/{var/lib/dpkg,var/cache,var/log,usr/share/doc,usr/share/man}
# ca-certificates is a list of files that its configuration would join.
mkdir -p "$scratch/base/etc/ssl/certs"
cat "$scratch/base"/usr/share/ca-certificates/mozilla/*.crt > "$scratch/base/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/nonexistent\nnonroot:x:65532:65532:nonroot:/nonexistent:/nonexistent\n' > "$scratch/base/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' > "$scratch/base/etc/group"
install -d -m 0750 "$scratch/home/solmu"
for shell in bin/sh bin/bash usr/bin/apt usr/bin/dpkg; do
    [ ! -e "$scratch/base/$shell" ] || { echo "the base has /$shell" >&2; exit 1; }
done
# The same files give the same layer.
find "$scratch/base" "$scratch/home" -newermt @0 -exec touch -h -d @0 {} +
base="$(buildah from scratch)"
buildah add --quiet "$base" "$scratch/base" / >/dev/null
buildah add --quiet --chown 65532:65532 "$base" "$scratch/home" /var/lib >/dev/null
buildah commit --quiet --timestamp 0 --rm "$base" localhost/solmu-base:bookworm >/dev/null

revision="$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"

# A program that is built already, put on the base; twice, to see that nothing of the moment gets in.
prebuilt() {
    install -D -m 0755 "$binary" target/image/solmu
    strip target/image/solmu
    touch -d @0 target/image/solmu
    build() {
        buildah build --quiet --format oci --timestamp 0 --target prebuilt --file deploy/Dockerfile \
            --build-arg BASE=localhost/solmu-base:bookworm --build-arg REVISION="$revision" --tag "$1" . | tail -1
    }
    first="$(build localhost/solmu:dev)"
    local second
    second="$(build localhost/solmu:again)"
    [ "$first" = "$second" ] || { echo "two builds of the same sources differ: $first $second" >&2; exit 1; }
    python3 deploy/checks/sbom.py target/image/solmu.cdx.json
}

# All stages. The toolchain and the crates are mounted, so that the builder holds only what Debian has; it has no network.
whole() {
    local sysroot home builder
    sysroot="$(rustc --print sysroot)"
    home="${CARGO_HOME:-$HOME/.cargo}"
    cargo fetch --locked --quiet
    if ! mmdebstrap --quiet --variant=extract \
        --include=base-files,dash,coreutils,grep,sed,gcc,g++,libc6-dev,binutils,make,perl-base,ca-certificates,zlib1g bookworm "$scratch/builder.tar"; then
        echo "not run: the image from source (the packages of its builder could not be fetched)"
        exit 0
    fi
    mkdir -p "$scratch/builder" "$scratch/cargo/registry" "$scratch/target"
    tar -C "$scratch/builder" -xf "$scratch/builder.tar" --exclude='./dev/*'
    # What the packages' own scripts would do.
    ln -sf gcc "$scratch/builder/usr/bin/cc"
    ln -sf g++ "$scratch/builder/usr/bin/c++"
    [ -e "$scratch/builder/bin/sh" ] || ln -s dash "$scratch/builder/bin/sh"
    printf 'root:x:0:0:root:/root:/bin/sh\n' > "$scratch/builder/etc/passwd"
    builder="$(buildah from scratch)"
    buildah add --quiet "$builder" "$scratch/builder" / >/dev/null
    buildah config --env PATH=/usr/local/rust/bin:/usr/bin:/bin --env CARGO_HOME=/usr/local/cargo --env CARGO_NET_OFFLINE=true "$builder"
    buildah commit --quiet --timestamp 0 --rm "$builder" localhost/solmu-builder:bookworm >/dev/null
    first="$(buildah build --quiet --format oci --timestamp 0 --network none --file deploy/Dockerfile \
        --volume "$sysroot:/usr/local/rust:ro" --volume "$scratch/cargo:/usr/local/cargo" \
        --volume "$home/registry:/usr/local/cargo/registry:ro" --volume "$scratch/target:/src/target" \
        --build-arg BUILDER=localhost/solmu-builder:bookworm --build-arg BASE=localhost/solmu-base:bookworm \
        --build-arg PROFILE="${PROFILE:-release}" --build-arg REVISION="$revision" --tag localhost/solmu:dev . | tail -1)"
}

if [ "$from_source" = yes ]; then whole; else prebuilt; fi

user="$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' localhost/solmu:dev)"
[ "$user" = 65532:65532 ] || { echo "the image runs as '$user'" >&2; exit 1; }
mounted="$(buildah from localhost/solmu:dev)"
buildah run --user 65532:65532 "$mounted" -- /usr/bin/solmu --version
buildah run --user 65532:65532 "$mounted" -- /usr/bin/solmu --data /var/lib/solmu config check
size="$(du -sh "$(buildah mount "$mounted")" | cut -f1)"
echo "image: localhost/solmu:dev, $size, user $user, $first"
