#!/bin/sh
# Official PHP images compile extensions with this command; here the distribution has them as packages.
set -eu
case "${0##*/}" in docker-php-ext-configure) exit 0 ;; esac
version="$(php -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;')"
missing=""
for name in "$@"; do
  case "$name" in
    -*|[0-9]*) continue ;;
    pdo_mysql|mysqli) package=mysql ;;
    pdo_pgsql) package=pgsql ;;
    pdo_sqlite) package=sqlite3 ;;
    dom|simplexml|xmlreader|xmlwriter|xsl) package=xml ;;
    *) package="$name" ;;
  esac
  php -m | grep -qix "$name" || missing="$missing php$version-$package"
done
[ -n "$missing" ] || exit 0
apt-get update -q
# shellcheck disable=SC2086  # the list is split on purpose
apt-get install -y -q --no-install-recommends $missing
rm -rf /var/lib/apt/lists/*
