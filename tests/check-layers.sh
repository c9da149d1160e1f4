#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The layer check passes on the tree, and finds a wrong include when there is one.
top=${TBAGENT_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
echo 1..2
if out=$("$top/scripts/check-layers" "$top"); then echo "ok 1 - includes follow src/LAYERS"; else
        echo "not ok 1 - includes follow src/LAYERS"; sed 's/^/# /' <<<"$out"; fi
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp -r "$top/src" "$work/" && chmod -R u+w "$work" && echo '#include "agent/config.h"' >>"$work/src/base/file.h"
if out=$("$top/scripts/check-layers" "$work"); then echo "not ok 2 - an upward include is found"; else
        echo "ok 2 - an upward include is found"; fi
