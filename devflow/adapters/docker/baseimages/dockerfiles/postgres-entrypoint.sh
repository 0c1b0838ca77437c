#!/bin/bash
# Makes the cluster on the first start, with the variables of the official image: POSTGRES_USER, POSTGRES_PASSWORD,
# POSTGRES_DB (each also as a file: …_FILE), and runs /docker-entrypoint-initdb.d/*.sh and *.sql once.
set -euo pipefail

from_file() {
  local file="${1}_FILE"
  if [ -n "${!file:-}" ]; then export "$1"="$(< "${!file}")"; fi
}

init_cluster() {
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    echo "POSTGRES_PASSWORD is not set. Give the database a password, or set POSTGRES_HOST_AUTH_METHOD=trust." >&2
    exit 1
  fi
  # A start that was killed half-way leaves the mark behind: what it made then is not a cluster, and is made again.
  if [ -e "$PGDATA/.unfinished" ]; then find "$PGDATA" -mindepth 1 -delete; fi
  if [ -n "$(find "$PGDATA" -mindepth 1 ! -name lost+found | head -1)" ]; then
    echo "$PGDATA holds files but no database. Mount an empty folder there." >&2
    exit 1
  fi
  touch "$PGDATA/.unfinished"
  local draft="$PGDATA/.new" file
  initdb --pgdata "$draft" --username "$POSTGRES_USER" --encoding UTF8 \
    --pwfile <(printf '%s\n' "${POSTGRES_PASSWORD:-}") --auth-local=trust --auth-host=scram-sha-256
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$draft/pg_hba.conf"
  pg_ctl --pgdata "$draft" --wait --options "-c listen_addresses='' -p 5432" start
  if [ "$POSTGRES_DB" != postgres ]; then
    psql -v ON_ERROR_STOP=1 -v name="$POSTGRES_DB" -U "$POSTGRES_USER" -d postgres <<< 'CREATE DATABASE :"name"'
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) bash "$file" ;;
      *.sql) psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$file" ;;
    esac
  done
  pg_ctl --pgdata "$draft" --wait --mode fast stop
  mv "$draft"/* "$PGDATA"/
  rmdir "$draft"
  rm "$PGDATA/.unfinished"
}

if [ "${1:-}" = postgres ] || [[ "${1:-}" == -* ]]; then
  if [[ "$1" == -* ]]; then set -- postgres "$@"; fi
  if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres:postgres "$PGDATA"
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
  fi
  for name in POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB; do from_file "$name"; done
  export POSTGRES_USER="${POSTGRES_USER:-postgres}"
  export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
  if [ ! -s "$PGDATA/PG_VERSION" ] || [ -e "$PGDATA/.unfinished" ]; then init_cluster; fi
  exec "$@" -c listen_addresses='*'
fi
exec "$@"
