#!/bin/sh
# Brings what the tests talk with: the official MCP SDKs (npm and Python), an OpenAPI validator, git with ssh-keygen, Redis,
# chromium, an OpenTelemetry collector, and cargo-deny. Every version is pinned.
# Quick when nothing changed: each part is skipped while the stamp beside it still names the same versions.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tools="${CARGO_TARGET_DIR:-$here/../target}/tools"
CARGO_DENY=0.20.2

mkdir -p "$tools"
tools=$(CDPATH='' cd -- "$tools" && pwd)
exec 9>"$tools/setup.lock" && flock 9 # two test runs may ask at once

need() {
    command -v "$1" >/dev/null || { echo "setup: \`$1\` is missing: $2" >&2; exit 1; }
}

fresh() { # fresh STAMP FILE...: whether STAMP was written for these files as they are
    stamp=$1 && shift
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cat "$@" | sha256sum)" ]
}

node_packages() {
    need node "install Node.js 20 or later"
    need npm "install it with Node.js"
    fresh "$here/node_modules/.stamp" "$here/package-lock.json" && return
    echo "setup: npm packages" >&2
    (cd "$here" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    cat "$here/package-lock.json" | sha256sum >"$here/node_modules/.stamp"
}

python_packages() {
    need python3 "install Python 3.11 or later with its venv module"
    fresh "$tools/python/.stamp" "$here/requirements.txt" && return
    echo "setup: Python packages" >&2
    rm -rf "$tools/python"
    python3 -m venv "$tools/python"
    "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    collector
    cat "$here/requirements.txt" | sha256sum >"$tools/python/.stamp"
}

collector() { # Rotel is linked with the library of Python, which Debian packs by itself
    python="$tools/python/bin/python"
    libraries=$("$python" -c "import sysconfig; print(sysconfig.get_config_var('LIBDIR') or '')")
    LD_LIBRARY_PATH="$libraries" "$tools"/python/lib/python3*/site-packages/rotel/rotel-agent --version >/dev/null 2>&1 && return
    echo "setup: the library of Python" >&2
    version=$("$python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
    apt-get update -qq >&2 && apt-get install --yes --no-install-recommends -qq "libpython$version" >&2 && return
    echo "setup: install libpython$version" >&2 && exit 1
}

signing() {
    command -v git >/dev/null && command -v ssh-keygen >/dev/null && return
    echo "setup: git and openssh-client" >&2
    apt-get update -qq >&2 && apt-get install --yes --no-install-recommends -qq git openssh-client >&2 && return
    need git "install it" && need ssh-keygen "install openssh-client"
}

redis() {
    command -v redis-server >/dev/null && command -v redis-cli >/dev/null && return
    echo "setup: redis" >&2
    apt-get update -qq >&2 && apt-get install --yes --no-install-recommends -qq redis-server redis-tools >&2 && return
    need redis-server "install Redis 6.2 or later" && need redis-cli "install it with Redis"
}

browser() {
    command -v chromium >/dev/null && return
    echo "setup: chromium" >&2
    apt-get update -qq >&2 && apt-get install --yes --no-install-recommends -qq chromium >&2 && return
    need chromium "install it"
}

cargo_deny() {
    [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" = "cargo-deny $CARGO_DENY" ] && return
    echo "setup: cargo-deny $CARGO_DENY (some minutes)" >&2
    cargo install cargo-deny --version "$CARGO_DENY" --locked --quiet --root "$tools" --target-dir "$tools/build" >&2
    rm -rf "$tools/build"
}

for part in "${@:-all}"; do
    case $part in
    all) signing && redis && browser && node_packages && python_packages && cargo_deny ;;
    sdks) node_packages && python_packages ;;
    signing) signing ;;
    redis) redis ;;
    browser) browser ;;
    deny) cargo_deny ;;
    *) echo "usage: setup.sh [all | sdks | signing | redis | browser | deny]" >&2 && exit 2 ;;
    esac
done
