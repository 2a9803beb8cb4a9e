#!/bin/sh
# npm, with the Node beside this file.
bin=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
PATH="$bin:$PATH" exec "$bin/node" "@NPM@" "$@"
