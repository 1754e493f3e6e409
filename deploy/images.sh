#!/usr/bin/env bash
# Builds the images of Millrace, starts each one, and with Docker the whole stack, until an order is delivered.
#
#   deploy/images.sh [--builder docker|buildah] [--make-bases] [--only STEP] [-- BUILD_OPTIONS]
#
#   --builder      Docker if an engine answers, else buildah. buildah needs no engine: run it as root. It cannot start the stack.
#   --make-bases   Only with buildah, where no registry answers: makes the base images from Debian's packages (debootstrap) and
#                  the Rust toolchain of this machine, under the names that the Dockerfiles use. They replace images of these
#                  names in buildah's storage.
#   --only STEP    build, start (each image), config (the Compose files), stack, or patroni (the stack with three servers of
#                  Postgres). Without it, all steps. "stack" and "patroni" use the images that are there.
#   -- OPTIONS     Options for each build. buildah has mounts, such as the certificates of a network with a proxy of its own:
#                  -- -v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro
#
# The images stay: millrace-api, millrace-worker and millrace-patroni. Everything else is removed at the end, also after a
# failure. The stack has its own name, free ports and new secrets, so it touches no stack of yours, no .env and no secrets/.

set -euo pipefail
unset CDPATH && cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
die() { printf '\ndeploy/images.sh: %s\n' "$*" >&2; exit 1; }
help() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' deploy/images.sh; }

# An image, its Dockerfile, and a command that must succeed in it.
IMAGES=(
  "millrace-api Dockerfile.api millrace-api --version"
  "millrace-worker Dockerfile.worker millrace-worker --version"
  "millrace-patroni deploy/patroni/Dockerfile python3 -m patroni --version"
)
WORK="" PROJECT="" STACK=() CONTAINER="" STEP="" OPTIONS=()

main() {
  local builder="" bases="" only=""
  while [ $# -gt 0 ]; do
    case $1 in
      --builder) builder=${2:-}; shift ;;
      --make-bases) bases=yes ;;
      --only) only=${2:-}; shift ;;
      --) shift; OPTIONS=("$@"); break ;;
      -h | --help) help; exit ;;
      *) die "There is no option \"$1\". deploy/images.sh --help lists them." ;;
    esac
    shift || break
  done
  case $only in '' | build | start | config | stack | patroni) ;; *) die "--only takes build, start, config, stack or patroni." ;; esac
  BUILDER=$(choose_builder "$builder")
  [ -z "$bases" ] || [ "$BUILDER" = buildah ] || die "--make-bases needs --builder buildah."
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/millrace-images.XXXXXX")
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP

  if [ -n "$bases" ]; then
    step "Base images" make_bases
    OPTIONS+=(--pull=never)
  fi
  wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }
  if wanted build; then each_image build_image; fi
  if wanted start; then each_image start_image; fi
  case $BUILDER:$only in
    *:build | *:start) ;;
    docker:*)
      docker compose version >/dev/null 2>&1 || die "Docker Compose is missing. Install its plugin (2.24.4 or newer), or use --only build."
      make_settings
      if wanted config; then step "The Compose files" check_compose_files; fi
      if wanted stack; then step "The stack" run_stack docker-compose.yml; fi
      if wanted patroni; then step "The stack with Patroni" run_stack docker-compose.yml deploy/patroni/docker-compose.yml; fi ;;
    buildah:) say "buildah starts no stack: the Compose files and the stack were not checked" ;;
    *) die "--only $only needs Docker." ;;
  esac
  say "Everything that was checked works"
}

step() { # NAME COMMAND…
  STEP=$1
  say "$1"
  "${@:2}"
  STEP=""
}

each_image() { # COMMAND
  local line
  for line in "${IMAGES[@]}"; do
    # shellcheck disable=SC2086 # No word of IMAGES has a space.
    "$1" $line
  done
}

choose_builder() { # WANTED
  case $1 in
    docker) docker info >/dev/null 2>&1 || die "No Docker engine answers. Start it, or use --builder buildah." ;;
    buildah) command -v buildah >/dev/null || die "buildah is missing. On Debian: apt-get install buildah" ;;
    '')
      if docker info >/dev/null 2>&1; then set -- docker
      elif command -v buildah >/dev/null; then set -- buildah
      else die "No Docker engine answers, and there is no buildah. Start the engine, or as root: apt-get install buildah"; fi ;;
    *) die "--builder takes docker or buildah." ;;
  esac
  echo "$1"
}

clean_up() {
  local status=$? container
  trap '' INT TERM HUP
  if [ $status != 0 ] && [ ${#STACK[@]} -gt 0 ]; then
    say "The containers, their health checks, and the end of their logs"
    compose ps -a || true
    for container in $(compose ps -aq); do
      docker inspect -f '{{.Name}}: {{with .State.Health}}{{.Status}}{{range .Log}}{{"\n"}}  {{.Output}}{{end}}{{else}}exit code {{.State.ExitCode}} {{.State.Error}}{{end}}' "$container" || true
    done
    compose logs --no-color --tail 40 || true
  fi
  if [ ${#STACK[@]} -gt 0 ]; then stop_stack || true; fi
  if [ -n "$CONTAINER" ]; then buildah rm "$CONTAINER" >/dev/null || true; fi
  rm -rf "$WORK"
  if [ $status != 0 ] && [ -n "$STEP" ]; then say "FAILED: $STEP. The reason is above"; fi
  exit $status
}

# ---- images ---------------------------------------------------------------------------------

build_image() { # IMAGE DOCKERFILE …
  step "Building $1" "build_with_$BUILDER" "$1" "$2"
}

build_with_docker() { docker build -f "$2" -t "$1" ${OPTIONS[@]+"${OPTIONS[@]}"} .; }

# --layers keeps each step, so the stage that both Dockerfiles share is built once. The format is Docker's, because the other
# one (OCI) has no HEALTHCHECK.
build_with_buildah() {
  buildah build --isolation chroot --format docker --layers -f "$2" -t "$1" ${OPTIONS[@]+"${OPTIONS[@]}"} .
}

start_image() { # IMAGE DOCKERFILE COMMAND…
  step "Starting $1" check_image "$1" "${@:3}"
}

# The image starts, its user is not root, and that user can change no program and no setting. The last look is not at a
# read-only container, because there nobody can change a file.
check_image() { # IMAGE COMMAND…
  in_image --read-only "$@"
  # shellcheck disable=SC2016 # The shell in the container expands it.
  in_image "" "$1" sh -c 'test "$(id -u)" != 0 || { echo "It runs as root."; exit 1; }
    files=$(find /etc /opt /usr -type f -writable 2>/dev/null)
    test -z "$files" || { echo "Its user can change these files: $files"; exit 1; }'
}

# buildah cannot make a container read-only.
in_image() { # --read-only|"" IMAGE COMMAND…
  local status=0
  if [ "$BUILDER" = docker ]; then
    # shellcheck disable=SC2086 # No option is no word.
    docker run --rm --pull never $1 --cap-drop ALL --security-opt no-new-privileges --network none --entrypoint "$3" "$2" "${@:4}"
  else
    CONTAINER=$(buildah from --pull=never "$2")
    buildah run --isolation chroot "$CONTAINER" -- "${@:3}" || status=$?
    buildah rm "$CONTAINER" >/dev/null
    CONTAINER=""
    return "$status"
  fi
}

# Stand-ins for the images of Docker Hub: a small Debian, the same with Rust, and the same with Postgres for Patroni.
make_bases() {
  local debian=docker.io/library/debian:bookworm-slim rust toolchain
  command -v debootstrap >/dev/null || die "debootstrap is missing. On Debian: apt-get install debootstrap"
  command -v rustc >/dev/null || die "Rust is missing. Install it from https://rustup.rs and run this again."
  rust=$(sed -n 's/^FROM \(rust:[^ ]*\) .*/\1/p' Dockerfile.api) toolchain=$(rustc --print sysroot)
  debootstrap --variant=minbase --include=ca-certificates bookworm "$WORK/debian" >"$WORK/debootstrap.log" ||
    { tail -n 20 "$WORK/debootstrap.log" >&2; die "debootstrap failed. Can this machine reach Debian's packages?"; }
  CONTAINER=$(buildah from scratch)
  buildah add -q "$CONTAINER" "$WORK/debian" / >/dev/null
  buildah config --cmd bash "$CONTAINER"
  buildah commit -q "$CONTAINER" "$debian" >/dev/null
  buildah rm "$CONTAINER" >/dev/null
  CONTAINER=""
  rm -rf "$WORK/debian"
  buildah build -q --isolation chroot -t "docker.io/library/$rust" -f - "$toolchain" <<END
FROM $debian
RUN apt-get update -q && apt-get install -q -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY bin /usr/local/bin/
COPY lib /usr/local/lib/
END
  buildah build -q --isolation chroot -t docker.io/library/postgres:15-bookworm -f - "$WORK" <<END
FROM $debian
RUN groupadd -r -g 999 postgres && useradd -r -g postgres -u 999 -d /var/lib/postgresql -s /bin/bash postgres \
 && apt-get update -q && apt-get install -q -y --no-install-recommends postgresql-15 \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15 /etc/postgresql/15
ENV LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/postgresql/15/bin
END
}

# ---- the stack ------------------------------------------------------------------------------

compose() { docker compose --ansi never -p "$PROJECT" --env-file "$WORK/env" "${STACK[@]}" "$@"; }

# New secrets, made as docs/deploying.md says. The ports are free ones.
make_settings() {
  local name
  for name in openssl curl python3; do command -v $name >/dev/null || die "$name is missing. Install it, and run this again."; done
  openssl genpkey -algorithm ed25519 -out "$WORK/jwt.pem" && chmod 444 "$WORK/jwt.pem"
  for name in POSTGRES_PASSWORD OWNER_DATABASE_PASSWORD APP_DATABASE_PASSWORD REPLICATION_PASSWORD \
    QUEUE_REDIS_PASSWORD CACHE_REDIS_PASSWORD GRAFANA_PASSWORD; do echo "$name=$(openssl rand -hex 24)"; done >"$WORK/env"
  printf '%s\n' PAYMENT_PROVIDER=simulated MILLRACE_PORT=127.0.0.1:0 CONSOLE_PORT=127.0.0.1:0 GRAFANA_PORT=0 \
    ALERTMANAGER_PORT=0 PROMETHEUS_PORT=0 >>"$WORK/env"
  echo "secrets: {jwt_key: {file: '$WORK/jwt.pem'}}" >"$WORK/secrets.yml"
}

check_compose_files() {
  local files
  for files in docker-compose.yml docker-compose.test.yml docker-compose.yml:deploy/patroni/docker-compose.yml; do
    echo "$files"
    COMPOSE_PATH_SEPARATOR=: COMPOSE_FILE=$files docker compose --env-file "$WORK/env" config -q
  done
}

run_stack() { # FILE…
  local file
  PROJECT=millrace-images-$$ STACK=(--project-directory .)
  for file in "$@" "$WORK/secrets.yml"; do STACK+=(-f "$file"); done
  compose up -d --no-build --wait --wait-timeout 300 --scale worker=2
  compose ps -a
  say "A shop, an administrator and a customer"
  compose exec -T -e MILLRACE_PASSWORD="$(openssl rand -hex 24)" api millrace-api create-user --email admin@millrace.test --role admin
  compose exec -T api millrace-api seed /usr/share/millrace/seed
  deliver_an_order
  see_it_watched
  stop_stack
  STACK=()
}

stop_stack() { compose --progress quiet down -v --remove-orphans; }

address() { compose port "$1" "$2"; } # SERVICE PORT: where this machine reaches it

api() { # PATH CURL_OPTIONS…
  curl -sS --fail-with-body -m 30 -H 'Content-Type: application/json' "http://$API/$1" "${@:2}"
}

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; } # NAME: of the JSON on stdin

deliver_an_order() {
  local API password token order status="" seen="" deadline
  API=$(address api 8080) password=$(openssl rand -hex 24)
  api health && echo
  api v1/auth/register -d "{\"email\": \"ann@millrace.test\", \"password\": \"$password\", \"name\": \"Ann\"}" >/dev/null
  token=$(api v1/auth/login -d "{\"email\": \"ann@millrace.test\", \"password\": \"$password\"}" | field access_token)
  say "An order"
  order=$(api v1/orders -H "Authorization: Bearer $token" -H 'Idempotency-Key: images' -d '{
    "items": [{"sku": "MUG-STONE-350", "quantity": 2}], "payment_token": "tok_ok",
    "shipping_address": {"name": "Ann", "line1": "1 Mill Lane", "city": "Ithaca", "postal_code": "14850", "country": "US"}}' | field id)
  # The simulated carrier needs a minute. The token is good for 15 minutes.
  deadline=$((SECONDS + 240))
  until [ "$status" = delivered ]; do
    status=$(api "v1/orders/$order" -H "Authorization: Bearer $token" | field status)
    if [ "$status" != "$seen" ]; then echo "$status ($SECONDS s)"; fi
    seen=$status
    case $status in cancelled | cancelling) die "The order was cancelled." ;; esac
    [ $SECONDS -lt $deadline ] || die "After 240 s the order is $status, not delivered. The logs of the workers say why."
    sleep 1
  done
}

# Prometheus scrapes the API and both workers, Alertmanager knows who is called, and Grafana has our dashboards.
see_it_watched() {
  local deadline=$((SECONDS + 90)) up=0 dashboards=(deploy/grafana/dashboards/*.json) shown password
  say "Prometheus, Alertmanager and Grafana"
  until [ "$up" = 3 ]; do
    [ $SECONDS -lt $deadline ] || die "After 90 s Prometheus reaches $up of 3 processes. Are they in its targets?"
    sleep 2
    up=$(curl -fsS -m 5 "http://$(address prometheus 9090)/api/v1/targets" | python3 -c 'import json, sys
print(sum(it["health"] == "up" for it in json.load(sys.stdin)["data"]["activeTargets"]))')
  done
  curl -fsS -m 5 "http://$(address alertmanager 9093)/api/v2/receivers" | grep -q nobody || die "Alertmanager lacks its settings."
  password=$(sed -n 's/^GRAFANA_PASSWORD=//p' "$WORK/env")
  shown=$(curl -fsS -m 5 -u "admin:$password" "http://$(address grafana 3000)/api/search?type=dash-db" |
    python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')
  [ "$shown" = ${#dashboards[@]} ] || die "Grafana shows $shown of ${#dashboards[@]} dashboards."
  echo "3 processes are scraped, $shown dashboards are shown."
}

main "$@"
