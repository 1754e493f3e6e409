# Compares the API with its OpenAPI document. Sourced by ./dev.
# shellcheck shell=bash

# Sends valid and invalid requests with a staff token, made from the OpenAPI document, and checks each answer against it.
# schemathesis.toml says how. Only logging out is left out: the token would end.
compare_surface() { # SECONDS
  local api=$TARGET/debug/millrace-api log=$DEV/log/surface.log url="" token status=0
  # A database of its own: in the other one, check_sqlx has run the migrations without writing that down.
  "$PG_BIN/psql" -X -q -c "create database surface" "$SERVER_URL/postgres"
  export DATABASE_URL=$SERVER_URL/surface JWT_PRIVATE_KEY WEBHOOK_MASTER_KEY
  JWT_PRIVATE_KEY=$(openssl genpkey -algorithm ed25519)
  WEBHOOK_MASTER_KEY=$(openssl rand -hex 32)
  RUST_LOG=warn "$api" migrate
  RUST_LOG=warn "$api" seed seed --demo-users
  env API_ADDR=127.0.0.1:0 METRICS_ADDR=127.0.0.1:0 RATE_LIMITS=off "$api" serve >"$log" 2>&1 &
  local pid=$!
  for _ in {1..100}; do
    url=$(sed -n 's|.*the API listens on \(http://[0-9.:]*\).*|\1|p' "$log")
    [ -z "$url" ] || break
    kill -0 $pid 2>/dev/null || die_with "$log" "The API did not start."
    sleep 0.2
  done
  token=$(curl -fsS "$url/v1/auth/login" -H 'content-type: application/json' \
    -d "$(awk -F, '$3 == "staff" { printf "{\"email\": \"%s\", \"password\": \"%s\"}", $1, $4 }' seed/users.csv)" |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  "$DEV/tools/bin/schemathesis" run "$url/openapi.json" --checks all --continue-on-failure --max-time "$1" \
    --seed "${SEED:-313622665075220526193490277303390433059}" --no-color --warnings off \
    --exclude-path /v1/auth/logout -H "Authorization: Bearer $token" || status=$?
  kill -TERM $pid
  wait_for_end $pid 20
  [ $status = 0 ] || die "The API is not what its OpenAPI document says: the differences are above."
}
