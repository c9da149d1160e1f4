# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the scripts beside it: progress, rights, packages.

say() { printf '%s == %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Runs a command as root, by sudo where needed.
as_root() {
        if ((UID == 0)); then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else die "needs root or sudo for: $*"; fi
}

# Installs the packages that are not there yet; says so, since it may take minutes.
need_packages() {
        local missing=() p log
        for p in "$@"; do dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
        ((${#missing[@]})) || return 0
        say "installing ${#missing[@]} packages: ${missing[*]}"
        log=$(mktemp)
        as_root apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update failed"; }
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
                { tail -n 20 "$log" >&2; die "apt-get install failed"; }
        rm -f "$log"
}

# The files of the tree, NUL-separated, whether it is a git checkout or an unpacked archive.
tree_files() {
        if git -C "$1" rev-parse --git-dir >/dev/null 2>&1; then
                git -C "$1" -c safe.directory='*' ls-files -co --exclude-standard -z | while IFS= read -r -d '' f; do
                        [[ -e $1/$f || -L $1/$f ]] && printf '%s\0' "$f"; done
        else (cd "$1" && find . -path ./build-\* -prune -o -type f -print0); fi
}

# A new Debian, made from the mirror of this machine's apt and the way it reaches it: make_debian SUITE FOLDER OPTION...
# (the options are those of mmdebstrap). As root. What it mounts in the folder goes with it, however it ends.
make_debian() {
        local suite=$1 folder=$2 mirror f settings=(); shift 2
        mirror=$(sed -nE 's/^(URIs:|deb(-src)?( \[[^]]*\])?) +(https?:[^ ]*debian\/?)( .*)?$/\4/p' \
                /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | grep -v security | head -n 1 || true)
        [[ $mirror ]] || die "no Debian mirror in this machine's apt sources"
        for f in /etc/apt/apt.conf.d/*; do if grep -qiE 'Acquire::(http|https|Retries)' "$f"; then settings+=(--aptopt="$f"); fi; done
        unshare --mount mmdebstrap --quiet ${settings[@]+"${settings[@]}"} "$@" "$suite" "$folder" "$mirror"
}

# kept NAME HOW...: prints the folder NAME of the cache, which "HOW... FOLDER" makes where it is not there or is a month old.
# NAME ends in a hash of what it is made from: its predecessors go after a day. For scripts with set -e and inherit_errexit.
kept() {
        local cache=${XDG_CACHE_HOME:-$HOME/.cache}/tbagent name=$1; shift
        mkdir -p "$cache"
        {
                flock 9
                if [[ ! $(find "$cache/$name" -maxdepth 0 -mtime -30 2>/dev/null) ]]; then
                        rm -rf --one-file-system "$cache/$name"
                        find "$cache" -maxdepth 1 -name "${name%-*}-*" \( -mtime +0 -o -name '*.part' \) \
                                -exec rm -rf --one-file-system {} +
                        mkdir "$cache/$name.part"
                        "$@" "$cache/$name.part" >&2
                        mv "$cache/$name.part" "$cache/$name"
                fi
        } 9>"$cache/${name%-*}.lock"
        echo "$cache/$name"
}

# What builds and tests need, on Debian 12 and 13 and Raspberry Pi OS.
BUILD_PACKAGES=(gcc libc6-dev make autoconf autoconf-archive automake libtool pkg-config libpaho-mqtt-dev libjson-c-dev libsystemd-dev
        libconfig-dev libssl-dev libzstd-dev libxxhash-dev libgpiod-dev python3 scdoc)
TEST_PACKAGES=(libcmocka-dev mosquitto openssl binutils procps iproute2 strace e2fsprogs mount dbus-daemon)

# Makes $2 a copy of the tree $1, leaving what has not changed as it is, so that make rebuilds only the rest.
copy_tree() {
        local new=$2.new
        rm -rf "$new"; mkdir -p "$new" "$2"
        tree_files "$1" | tar -C "$1" --null -T - -cf - | tar -C "$new" -xf -
        (cd "$new" && find . -type f | while IFS= read -r f; do
                if ! cmp -s "$f" "$2/$f"; then mkdir -p "$2/${f%/*}" && cp -p "$f" "$2/$f"; fi; done)
        rm -rf "$new"
}

# Runs a command with its output in a file that is shown only when it fails. A dot every 5 s shows life.
quietly() {
        local log=$1 pid; shift
        "$@" >"$log" 2>&1 & pid=$!
        ( while sleep 5; do printf . >&2; done ) & local dots=$!
        local status=0; wait $pid || status=$?
        kill $dots 2>/dev/null; wait $dots 2>/dev/null || true
        ((status == 0)) || { echo >&2; tail -n 60 "$log" >&2; die "failed: $*"; }
}
