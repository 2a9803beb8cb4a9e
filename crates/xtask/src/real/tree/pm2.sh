#!/bin/sh
# pm2 as this site runs it: with a state of its own, and the Node beside this file.
bin=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
site=$(dirname -- "$bin")
PATH="$bin:$PATH" PM2_HOME="${PM2_HOME:-$site/.pm2}"
export PATH PM2_HOME
exec "$bin/node" "$site/node_modules/pm2/bin/pm2" "$@"
