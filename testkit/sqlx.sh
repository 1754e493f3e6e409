# Checks every query against Postgres. Sourced by ./dev.
# shellcheck shell=bash

check_sqlx() {
  write_sqlx "$DEV/sqlx"
  diff -rq .sqlx "$DEV/sqlx" || die ".sqlx/ does not match the SQL (the files above differ). Run ./dev sqlx and commit .sqlx/."
}

# Checks every query of `shared` against Postgres, and writes the results to a new folder.
write_sqlx() {
  local file transaction
  rm -rf "$1" && mkdir "$1"
  for file in migrations/*.up.sql; do
    if [ "$(head -n 1 "$file")" = "-- no-transaction" ]; then transaction=(); else transaction=(-1); fi
    "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 ${transaction[@]+"${transaction[@]}"} -f "$file" "$SERVER_URL/millrace"
  done
  # The --cfg has no meaning. It makes cargo expand the macros again although no source file has changed.
  SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$1 DATABASE_URL=$SERVER_URL/millrace \
    cargo rustc -p millrace-shared --lib --all-features --profile check -- --cfg "sqlx_data_$(date +%s)"
}
