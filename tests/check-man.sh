#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pages of the plugins have what their tables say, and all pages are what scdoc and groff take without a word. Prints TAP.
top=${TBAGENT_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
build=${TBAGENT_BUILDDIR:-$top}
n=0 bad=0
result() { # WHAT COMPLAINT
        n=$((n + 1))
        if [[ -z $2 ]]; then echo "ok $n - $1"; return; fi
        echo "not ok $n - $1"; sed 's/^/# /' <<<"$2" | head -n 40; bad=1
}
compare() { # PLUGIN
        local page=$top/man/tbagent-plugin-$1.7.scd said
        said=$("$build/tbagent-plugin-host" --man "$build/plugins/$1/.libs/$1.so" 2>&1) || { echo "$said"; return; }
        diff -u "$top/man/options-$1.scd" - <<<"$said" || { echo "the tables of $1 have changed: make update-man"; return; }
        [[ $(grep -cx "@include options-$1.scd@" "$page") == 1 ]] || echo "$page lacks the line @include options-$1.scd@"
}
formatted() { # PAGE: what groff does not like, and what was left of a marker
        groff -man -Tutf8 -ww -K utf8 "$1" 2>&1 >/dev/null
        grep -n '@include' "$1"
}

for folder in "$top"/plugins/*/; do
        plugin=$(basename "$folder")
        result "man: options and methods of $plugin" "$(compare "$plugin")"
done
for source in "$top"/man/*.[1-8].scd; do
        page=$build/man/$(basename "$source" .scd)
        if [[ -e $page ]] && command -v groff >/dev/null; then result "man: $(basename "$page")" "$(formatted "$page")"
        else n=$((n + 1)); echo "ok $n - man: $(basename "$page") # SKIP no scdoc or no groff"; fi
done
echo "1..$n"
exit $bad
