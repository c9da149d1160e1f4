#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every plugin exports the one symbol tbagent_plugin, takes nothing of ours from its host, and needs no library
# but those named here.
tree=${TBAGENT_PLUGIN_TREE:-$(cd "$(dirname "$0")/../.." && pwd)/plugins}
shopt -s nullglob
plugins=("$tree"/*/.libs/*.so)
number=0

report() { # report WHETHER NAME DETAILS
        number=$((number + 1))
        echo "$1 $number - $2"
        [[ $1 == ok ]] || sed 's/^/# /' <<<"$3"
}

expect() { # expect NAME WANTED SEEN
        if [[ $2 == "$3" ]]; then report ok "$1"; else report "not ok" "$1" "wanted: $2
seen: $3"; fi
}

allowed() { # libraries that the plugin may need besides libc
        case $1 in
        exec.so) echo 'libjson-c\.so\.' ;;
        gpio.so) echo '(libgpiod|libjson-c|libm)\.so\.' ;;
        *) echo 'nothing' ;;
        esac
}

echo "1..$((3 * ${#plugins[@]} + 1))"
names=$(for plugin in "${plugins[@]}"; do basename "$plugin" .so; done | tr '\n' ' ')
expect "the plugins of this tree are there" "exec gpio i2c onewire system " "$names"
for plugin in "${plugins[@]}"; do
        name=$(basename "$plugin")
        # Sanitizers add helpers of their own to what is exported.
        exported=$(nm -D --defined-only "$plugin" | awk '{ print $NF }' | grep -v -e '^__odr_asan' -e '^__asan_' -e '^__sancov')
        expect "$name exports tbagent_plugin and nothing else" tbagent_plugin "$exported"
        expect "$name takes no symbol of ours" "" "$(nm -D --undefined-only "$plugin" | grep -i tbagent)"
        libraries=$(readelf -d "$plugin" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
                grep -v -E "^(libc|libgcc_s|lib[aut]+b?san|libclang_rt.*|ld-linux.*)\.so|^$(allowed "$name")")
        expect "$name needs only the libraries it may" "" "$libraries"
done
