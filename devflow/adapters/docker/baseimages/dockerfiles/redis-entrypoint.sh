#!/bin/sh
# Runs the server as the redis user; options alone are meant for the server.
set -e
case "${1:-}" in -*|*.conf) set -- redis-server "$@" ;; esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user redis -exec chown redis:redis {} +
  # A container is reached from its network only: without a bind line protected mode would refuse everyone.
  exec setpriv --reuid=redis --regid=redis --clear-groups "$@" --protected-mode no
fi
exec "$@"
