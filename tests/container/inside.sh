#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs inside the booted container (run starts it): the package from installing to purging. Prints TAP.
cd /share || exit 1
n=0
result() { n=$((n + 1)); if [[ $1 == 0 ]]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
# check WHAT COMMAND...
check() { local what=$1; shift; "$@" >/tmp/out 2>&1; local r=$?; ((r == 0)) || sed 's/^/# /' /tmp/out; result $r "$what"; }
# Waits for a condition: until SECONDS COMMAND...
until_true() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do ((SECONDS < end)) || return 1; sleep .2; done; }
status_says() { systemctl show -p StatusText --value tbagent | grep -q -- "$1"; }
main_pid() { systemctl show -p MainPID --value tbagent; }
restarts() { systemctl show -p NRestarts --value tbagent; }

until_true 60 systemctl list-units --no-legend >/dev/null
echo "# $(. /etc/os-release; echo "$PRETTY_NAME"), $(systemctl --version | head -n 1)"

apt-get update -qq >/tmp/out 2>&1
check "the package installs" apt-get install -y -qq --no-install-recommends ./tbagent_*.deb
check "the service is active" until_true 10 systemctl is-active tbagent
check "the status says what to set" until_true 10 status_says 'no server is set'
check "tbagentctl reaches it, as soon as the bus knows its user" until_true 20 tbagentctl status
journalctl -u tbagent -o cat | grep 'system bus' | sed 's/^/# /'
systemctl status tbagent --no-pager 2>&1 | grep -E 'Status:' | sed 's/^ */# /'
check "it samples into the queue" until_true 70 status_says '[1-9][0-9]* values in the queue'
check "tbagent --check is content" tbagent --check
check "tbagent --once prints readings" tbagent --once
tail -n 3 /tmp/out | sed 's/^/# /'
check "it runs as tbagent, without capabilities" sh -c "ps -o user= -p $(main_pid) | grep -q tbagent && grep -q 'CapEff:.0000000000000000' /proc/$(main_pid)/status"

exposure=$(systemd-analyze security tbagent --no-pager 2>/dev/null | sed -nE 's/.*Overall exposure level for tbagent.service: ([0-9.]+).*/\1/p')
echo "# systemd-analyze security: ${exposure:-none}"
check "systemd-analyze security is 1.5 at most" awk -v x="${exposure:-10}" 'BEGIN { exit !(x <= 1.5) }'

# a server
python3 thingsboard/serve --http 8080 --mqtt 1884 --device box=container-token >/tmp/serve 2>&1 &
serve=$!
until_true 20 grep -q ^ready /tmp/serve
stored() { python3 - <<'PY'
import json, urllib.request
print(json.load(urllib.request.urlopen('http://127.0.0.1:8080/standin/count?device=box'))['stored'])
PY
}
some_stored() { (($(stored) > ${1:-0})); }
cat >/etc/tbagent.conf.d/server.conf <<'CONF'
server = { url = "mqtt://127.0.0.1:1884"; };
clock = "system";
plugins = { system = { every = "1s"; }; };
CONF
install -m 0640 -o root -g tbagent <(echo container-token) /etc/tbagent.token
systemctl restart tbagent
check "with a server set, telemetry arrives" until_true 20 some_stored 5
echo "# $(stored) values stored"
check "the status shows the connection" until_true 10 status_says 'Connected to mqtt://127.0.0.1:1884'
check "no token in the journal or the arguments" sh -c "! journalctl -u tbagent | grep container-token && ! grep -a container-token /proc/$(main_pid)/cmdline /proc/$(main_pid)/environ"

# a plugin that was built out of the tree
arrived() { python3 - "$1" <<'PY'
import json, sys, urllib.request
sys.exit(sys.argv[1] not in json.load(urllib.request.urlopen('http://127.0.0.1:8080/standin/count?device=box'))['keys'])
PY
}
install -D -m 0644 template.so /usr/local/lib/tbagent/plugins/template.so
sed 's/"10s"/"1s"/' template.conf >/etc/tbagent.conf.d/template.conf
check "reload takes up the template plugin" systemctl reload tbagent
check "which runs as it is" until_true 20 arrived load_now
rm -r /usr/local/lib/tbagent /etc/tbagent.conf.d/template.conf

# control
printf 'u member -\nu plain -\nm member tbagent\n' | systemd-sysusers - >/tmp/out 2>&1
as() { local user=$1; shift; setpriv --reuid "$user" --regid "$user" --init-groups "$@"; }
fails_with() { local want=$1; shift; "$@"; local r=$?; ((r == want)) || { echo "exit status $r, not $want"; return 1; }; }
shows_connection() { "$@" | tee /dev/stderr | grep -q '^server *connected to mqtt://127.0.0.1:1884'; }
attribute() { python3 - "$1" <<'PY'
import sys
sys.path.insert(0, 'thingsboard')
from standin import Standin
print(Standin.attach('http://127.0.0.1:8080', '127.0.0.1', 1884).attributes('box').get(sys.argv[1]))
PY
}
attribute_is() { [[ $(attribute "$1") == "$2" ]]; }
check "tbagentctl status works for root" shows_connection tbagentctl status
sed 's/^/# /' /tmp/out
check "and for a member of group tbagent" shows_connection as member tbagentctl status
check "and for anybody else" shows_connection as plain tbagentctl status
check "root may ask the server" tbagentctl request getSessionLimits
check "so may a member of group tbagent" as member tbagentctl request getSessionLimits
check "who may claim, too" as member tbagentctl claim cl4im-word 1min
check "and publish" as member tbagentctl publish by=member
check "which arrives" until_true 10 attribute_is by member
check "a plain user may not ask" fails_with 4 as plain tbagentctl request getSessionLimits
check "nor claim" fails_with 4 as plain tbagentctl claim cl4im-word
check "nor publish" fails_with 4 as plain tbagentctl publish by=plain
check "nor anything but look" sh -c "! setpriv --reuid plain --regid plain --init-groups busctl call org.tbagent1 /org/tbagent1 org.tbagent1.Manager Claim st x 0"
check "nobody else takes the name" sh -c "! setpriv --reuid plain --regid plain --init-groups busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus RequestName su org.tbagent1 0"
systemctl restart dbus
check "the daemon comes back to a bus that was restarted" until_true 30 tbagentctl status
systemctl stop tbagent
check "a daemon that does not run is told" fails_with 3 tbagentctl status
check "to anybody" fails_with 3 as plain tbagentctl status
systemctl start tbagent
until_true 10 status_says 'Connected'
check "no secret of a claim in the journal" sh -c '! journalctl -b | grep cl4im'

# reload
sed -i 's/every = "1s"/every = "500ms"/' /etc/tbagent.conf.d/server.conf
pid=$(main_pid)
check "reload takes a good file without a restart" sh -c "systemctl reload tbagent && [ $(main_pid) = $pid ]"
before=$(stored)
check "samples go on after it" until_true 20 some_stored $((before + 20))
echo 'plugins = { system = { every = 10s; }; };' >/etc/tbagent.conf.d/zz-broken.conf
check "reload refuses a broken file" sh -c '! systemctl reload tbagent'
systemctl restart tbagent
check "a restart with it runs on the last good configuration" until_true 15 status_says 'last good configuration.*zz-broken.conf:1'
before=$(stored)
check "and telemetry still arrives" until_true 20 some_stored $((before + 5))
rm /etc/tbagent.conf.d/zz-broken.conf

# kept descriptors: an output of the plugin keeper is text in a file that goes with its last descriptor
install -m 644 plugins/keeper.so "$(dirname "$(dpkg -L tbagent | grep /plugins/system.so)")"
kept() { systemctl show -p NFileDescriptorStore --value tbagent; }
kept_is() { [[ $(kept) == "$1" ]]; }
since() { journalctl --sync; journalctl -u tbagent -u tbagent-exit-state -o cat --no-pager --since "@$1"; }
now() { sleep .01; date +%s.%6N; }
said() { since "$mark" | grep -q -- "$1"; }
quiet() { ! since "$mark" | grep -E 'initial|close\)|exit state'; }
running_again() { local n; n=$(since "$mark" | grep -c '^io: running'); ((n > 0)); }
cat >/etc/tbagent.conf.d/kept.conf <<'CONF'
plugins = { io = { plugin = "keeper"; every = "1s"; outputs = { a = { on_exit = "away"; }; b = { on_exit = "away"; }; }; }; };
CONF
mark=$(now); systemctl reload tbagent
check "systemd keeps what a plugin keeps" until_true 10 kept_is 2
mark=$(now); systemctl restart tbagent
check "after systemctl restart it is taken" until_true 10 running_again
since "$mark" | grep -E '^io|systemd starts' | sed 's/^/# /'
check "and no output has moved" quiet
check "because systemd said so" said 'systemd starts it again'
mark=$(now); apt-get install -y -qq --reinstall ./tbagent_*.deb >/tmp/out 2>&1
check "after an upgrade it is taken" until_true 20 running_again
check "and no output has moved" quiet
mark=$(now); kill -9 "$(main_pid)"
check "after kill -9 of the daemon it is taken" until_true 20 running_again
check "and no output has moved" quiet
check "nor was it taken for a failure" sh -c '! systemctl is-active tbagent-exit-state && [ "$(systemctl show -p NRestarts --value tbagent)" = 1 ]'
mark=$(now); systemctl stop tbagent
check "systemctl stop sets the outputs" said 'io: b is away (close)'
check "and nothing is kept any more" kept_is 0
mark=$(now); systemctl start tbagent; until_true 10 kept_is 2
echo '{' >/etc/tbagent.conf.d/zz-broken.conf; rm /var/lib/tbagent/last-good.conf
mark=$(now); systemctl restart tbagent
check "a daemon that cannot start any more is given up" until_true 20 sh -c 'systemctl is-failed tbagent'
check "and another unit sets the outputs" until_true 10 said 'io: b is not kept'
since "$mark" | sed 's/^/# /'
check "and holds them" systemctl is-active tbagent-exit-state
systemctl status tbagent-exit-state --no-pager 2>&1 | grep -E 'Status:' | sed 's/^ */# /'
check "under the same sandbox" awk -v x="$(systemd-analyze security tbagent-exit-state --no-pager 2>/dev/null | sed -nE 's/.*exposure level for [^:]*: ([0-9.]+).*/\1/p')" 'BEGIN { exit !(x > 0 && x <= 1.5) }'
rm /etc/tbagent.conf.d/zz-broken.conf
mark=$(now); systemctl start tbagent
check "until the daemon starts again" until_true 10 running_again
check "which ends that unit" sh -c '! systemctl is-active tbagent-exit-state && ! systemctl is-failed tbagent-exit-state'
rm /etc/tbagent.conf.d/kept.conf
systemctl reload tbagent; until_true 10 kept_is 0
rm "$(dirname "$(dpkg -L tbagent | grep /plugins/system.so)")/keeper.so"

# watchdog
mkdir -p /run/systemd/system/tbagent.service.d
printf '[Service]\nWatchdogSec=3\n' >/run/systemd/system/tbagent.service.d/watchdog.conf
systemctl daemon-reload && systemctl restart tbagent
until_true 10 status_says 'Connected'
pid=$(main_pid)
kill -STOP "$pid"
changed() { local now; now=$(main_pid); [[ $now != 0 && $now != "$pid" ]]; }
check "a stopped daemon is restarted by the watchdog" until_true 40 changed
before=$(stored)
check "and sends again" until_true 20 some_stored $((before + 5))
hosts_gone() { ! pgrep -f tbagent-plugin-host >/dev/null; }
began=$(date +%s%N)
systemctl stop tbagent
took=$((($(date +%s%N) - began) / 1000000))
echo "# stopped in $took ms"
check "it stops within 3 s" test "$took" -lt 3000
check "no host is left" until_true 5 hosts_gone
kill "$serve"

check "purge goes through" apt-get purge -y -qq tbagent
left=$(find / -xdev \( -path /proc -o -path /sys -o -path /share -o -path /usr/share/doc -o -path '/var/cache/*' -o -path '/var/log/*' -o -path '/var/lib/dpkg/*' -o -path '/var/lib/apt/*' -o -path '/tmp/*' -o -path '/run/systemd/*' \) -prune -o -name '*tbagent*' -print 2>/dev/null)
[[ -z $left ]] || sed 's/^/# left: /' <<<"$left"
check "purge leaves no file" test -z "$left"
check "purge leaves the user and its groups" sh -c 'getent passwd tbagent && getent group tbagent gpio i2c'
echo "1..$n"
