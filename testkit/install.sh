# shellcheck shell=bash
# Installs the tools that ./dev needs. ./dev sources this file; it defines say, die and DEV.

need_tools() {
  local names="" debian=() brew=() redis
  need() { names="${names:+$names, }$1" debian+=("$2") brew+=("$3"); }
  if [ -d /opt/homebrew/opt/openssl@3/bin ]; then PATH=/opt/homebrew/opt/openssl@3/bin:$PATH; fi # Apple's OpenSSL lacks Ed25519
  command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null || die "Rust is missing. Install it from https://rustup.rs and run this again."
  find_postgres || need "PostgreSQL 15 or newer" postgresql postgresql@17
  { command -v redis-server && command -v redis-cli; } >/dev/null || need "Redis 7 or newer" redis-server redis
  command -v openssl >/dev/null || need OpenSSL openssl openssl@3
  command -v curl >/dev/null || need curl curl curl
  command -v cc >/dev/null || need "a C compiler" build-essential gcc
  if [ -n "$names" ]; then
    say "Installing what is missing: $names"
    if command -v apt-get >/dev/null; then apt_install "$names" "${debian[@]}"
    elif command -v brew >/dev/null; then brew install "${brew[@]}"
    else die "Please install $names, and run this again."; fi
    hash -r
    find_postgres || die "PostgreSQL 15 or newer is still not found, in PATH, /usr/lib/postgresql or Homebrew's folders."
  fi
  redis=$(redis-server --version | sed 's/.*v=\([0-9]*\)\..*/\1/')
  [ "$redis" -ge 7 ] || die "Redis 7 or newer is needed; redis-server is version $redis."
  mkdir -p "$DEV/log" 2>/dev/null || true
  [ -w "$DEV/log" ] || die "$DEV belongs to another user, who ran ./dev here first. Run it as that user, or clone again."
}

# Tools for tests only: Node.js, Prometheus with promtool, Alertmanager, a browser with its driver, pkill to freeze a server
# with its children, etcd, HAProxy and Patroni to replace a primary, schemas, linters and verifiers of signatures from PyPI
# and npm in their own folder, and the generator of types from npm in sdk/.
need_test_tools() {
  local debian=()
  { command -v prometheus && command -v promtool; } >/dev/null || debian+=(prometheus)
  command -v amtool >/dev/null || debian+=(prometheus-alertmanager)
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian+=(python3-venv)
  command -v pkill >/dev/null || debian+=(procps)
  command -v etcd >/dev/null || debian+=(etcd-server)
  command -v haproxy >/dev/null || debian+=(haproxy)
  { command -v node && command -v npm; } >/dev/null || debian+=(nodejs npm)
  { command -v chromium && command -v chromedriver; } >/dev/null || debian+=(chromium chromium-driver)
  if [ ${#debian[@]} -gt 0 ]; then
    say "Installing what tests need: ${debian[*]}"
    if command -v apt-get >/dev/null; then apt_install "${debian[*]}" "${debian[@]}"
    elif command -v brew >/dev/null; then brew install prometheus alertmanager python node etcd haproxy
    else die "Please install Prometheus (with promtool), Alertmanager (with amtool), Python 3 with venv, Node with npm, etcd and HAProxy, and run this again."; fi
    hash -r
  fi
  local wanted=(deploy/requirements.txt deploy/requirements-axe.txt deploy/requirements-webhooks.txt deploy/requirements-patroni.txt testkit/standardwebhooks/package-lock.json)
  if ! cat "${wanted[@]}" | cmp -s - "$DEV/tools/requirements.txt"; then
    say "Installing the tools of deploy/requirements.txt"
    rm -rf "$DEV/tools"
    python3 -m venv "$DEV/tools"
    "$DEV/tools/bin/pip" install -q --disable-pip-version-check --require-hashes -r deploy/requirements.txt
    "$DEV/tools/bin/pip" install -q --disable-pip-version-check --require-hashes --no-deps -r deploy/requirements-axe.txt
    "$DEV/tools/bin/pip" install -q --disable-pip-version-check --require-hashes --no-deps -r deploy/requirements-webhooks.txt
    "$DEV/tools/bin/pip" install -q --disable-pip-version-check --require-hashes --no-deps --target "$DEV/tools/patroni" -r deploy/requirements-patroni.txt
    need_pgbouncer
    # npm compares each package with the hash in package-lock.json.
    mkdir "$DEV/tools/node" && cp testkit/standardwebhooks/package*.json "$DEV/tools/node/"
    npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$DEV/tools/node"
    cat "${wanted[@]}" >"$DEV/tools/requirements.txt"
  fi
  if ! cmp -s sdk/package-lock.json sdk/node_modules/installed.json; then
    say "Installing the tools of sdk/package-lock.json"
    npm ci --prefix sdk --ignore-scripts --no-audit --no-fund --loglevel=error
    cp sdk/package-lock.json sdk/node_modules/installed.json
  fi
}

# PgBouncer keeps prepared statements from 1.21 on. Debian 12 has an older one, so this builds the source of Debian 13.
# Where that fails, the test of the pooler uses session mode, and says so.
need_pgbouncer() {
  local version=1.24.1 hash=da72a3aba13072876d055a3e58dd4aba4a5de4ed6148e73033185245598fd3e0 dir=$DEV/tools/pgbouncer
  if pgbouncer --version 2>/dev/null | grep -qE '^PgBouncer (1\.(2[1-9]|[3-9][0-9])|[2-9])'; then return; fi
  if ! command -v apt-get >/dev/null; then brew install pgbouncer; return; fi
  command -v pkg-config >/dev/null && [ -e /usr/include/event2/event.h ] ||
    apt_install "the tools to build PgBouncer" pkg-config libevent-dev make gcc
  mkdir "$dir"
  if ! { curl -fsSL -o "$dir.tar.gz" "http://deb.debian.org/debian/pool/main/p/pgbouncer/pgbouncer_$version.orig.tar.gz" &&
    echo "$hash  $dir.tar.gz" | sha256sum -c --quiet && tar -xzf "$dir.tar.gz" -C "$dir" --strip-components=1 &&
    (cd "$dir" && ./configure -q --without-openssl --without-cares && make -s -j2) >"$DEV/log/pgbouncer.log" 2>&1; }; then
    say "PgBouncer $version could not be built; see $DEV/log/pgbouncer.log"
    rm -rf "$dir"
    command -v pgbouncer >/dev/null || apt_install PgBouncer pgbouncer
  fi
}

apt_install() { # NAMES PACKAGES
  local sudo="" names=$1 policy=/usr/sbin/policy-rc.d
  shift
  [ "$(id -u)" = 0 ] || sudo=sudo
  # Debian starts a server when it is installed, and at each boot. We start our own servers with their own ports and
  # data, so the system's servers must stay off. Debian reads this policy file for that.
  (
    if [ ! -e $policy ]; then
      trap '$sudo rm -f $policy' EXIT
      printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null && $sudo chmod 755 $policy
    fi
    $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
  ) || die "The installation failed. Install $names as root (apt-get install $*), and run this again."
  if [ -d /run/systemd/system ]; then $sudo systemctl disable -q redis-server postgresql prometheus prometheus-alertmanager etcd haproxy 2>/dev/null || true; fi
}

# Looks where Debian and Homebrew put Postgres, which is outside of PATH.
find_postgres() {
  local version dir
  for version in 18 17 16 15; do
    for dir in {/usr/lib/postgresql/,/opt/homebrew/opt/postgresql@,/usr/local/opt/postgresql@}"$version"/bin; do
      if [ -x "$dir/initdb" ]; then return 0; fi
    done
  done
  command -v initdb >/dev/null && [ "$(initdb --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 15 ]
}
