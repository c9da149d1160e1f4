#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The running part of scripts/demo: daemon and server in a scratch folder, and a live view of what arrives.

Counted at both ends: the daemon says at its end how many values it made; the stand-in says how many it
stored. A real server does not tell a device that, so there its acknowledgements are counted instead."""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'tests', 'thingsboard'))
from standin import Standin  # noqa: E402

DEVICE = 'demo'
NOBODY = 65534

CONFIG = '''# what the demo runs: readings of this machine
server = {{ url = "{url}"; token_file = "{token}"; }};
clock = "system";
plugins = {{
  system = {{ plugin = "system"; every = "2s"; }};
  shell  = {{ plugin = "exec"; every = "1s"; shell = true;
             command = "read one five rest < /proc/loadavg; echo '{{\\"exec_load1\\": '$one', \\"exec_load5\\": '$five'}}'"; }};
{more}}};
'''
ONEWIRE = '  probes = { plugin = "onewire"; every = "5s"; optional = true; };\n'


class Daemon:
    """tbagent in the scratch folder, not as root; its log goes to a file that the view follows."""

    def __init__(self, scratch, url, token):
        self.scratch = scratch
        root = os.path.join(scratch, 'root')
        config = os.path.join(scratch, 'tbagent.conf')
        state, runtime = os.path.join(scratch, 'state'), os.path.join(scratch, 'run')
        os.makedirs(state, exist_ok=True)
        os.makedirs(runtime, exist_ok=True)
        more = ONEWIRE if os.path.isdir('/sys/bus/w1/devices') else ''
        self._write(config, CONFIG.format(url=url, token=os.path.join(scratch, 'token'), more=more))
        self._write(os.path.join(scratch, 'token'), token)
        plugins = glob.glob(root + '/usr/lib/**/tbagent/plugins', recursive=True)
        host = glob.glob(root + '/usr/**/tbagent-plugin-host', recursive=True)
        command = [root + '/usr/sbin/tbagent', '--config', config, '--state-dir', state, '--runtime-dir', runtime,
                   '--plugin-dir', plugins[0], '--host', host[0]]
        if os.getuid() == 0:
            for name in ('tbagent.conf', 'token', 'state', 'run'):
                os.chown(os.path.join(scratch, name), NOBODY, NOBODY)
            command = ['setpriv', '--reuid=%d' % NOBODY, '--regid=%d' % NOBODY, '--clear-groups'] + command
        self.log_path = os.path.join(scratch, 'log')
        self.log = open(self.log_path, 'wb')
        self.seen = 0
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=scratch,
                                        start_new_session=True)

    @staticmethod
    def _write(path, text):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as f:
            f.write(text)

    def new_lines(self):
        with open(self.log_path, encoding='utf8', errors='replace') as f:
            f.seek(self.seen)
            text = f.read()
            end = text.rfind('\n') + 1
            self.seen += len(text[:end].encode())
        return text[:end].splitlines()

    def stop(self):
        """Orderly; returns what it counted, or None when it ended otherwise."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        with open(self.log_path, encoding='utf8', errors='replace') as f:
            found = re.search(r'stopped: (\d+) values made, (\d+) acknowledged, (\d+) waiting, (\d+) dropped', f.read())
        return tuple(map(int, found.groups())) if found else None


class View:
    """One line a second: what came, and some of the newest values."""

    def __init__(self, server):
        self.server = server
        self.seq = 0
        self.total = 0
        self.turn = 0

    def show(self):
        events = self.server.events(since=self.seq)
        if not events:
            return
        self.seq = max(e['seq'] for e in events)
        for e in events:
            if e['event'] == 'connect':
                say('server: device connected (%s)' % e.get('client_id', ''))
            elif e['event'] == 'disconnect':
                say('server: connection ended (%s)' % e.get('reason', ''))
        came = [e for e in events if e['event'] == 'publish' and e.get('what') == 'telemetry']
        acked = sum(e['event'] == 'puback' for e in events)
        if came:
            points = sum(e['points'] for e in came)
            self.total += points
            say('%3d values in %d message%s (%d bytes), %d acknowledged, %d in all | %s' % (
                points, len(came), '' if len(came) == 1 else 's', sum(e['size'] for e in came), acked, self.total, self.some_values()))

    def some_values(self):
        values = sorted(self.server.latest(DEVICE).items())
        if not values:
            return ''
        self.turn += 3
        picked = [values[(self.turn + i) % len(values)] for i in range(min(3, len(values)))]
        return '  '.join('%s = %s' % (k, v) for k, v in picked)


def say(text):
    print('%s  %s' % (time.strftime('%H:%M:%S'), text), flush=True)


def change_interval(server):
    say('-- the shared attribute system.every is set to 1s at the server: the instance "system" reads twice as often --')
    server.share(DEVICE, {'system.every': '1s'})


def ask_status(server):
    say('-- the server calls the method agent.status --')
    answer = server.rpc(DEVICE, 'agent.status')
    say('the device answers: ' + re.sub(r'\s+', ' ', json.dumps(answer))[:240])


def cut(server):
    say('-- the server drops the connection now, to show that nothing is lost --')
    server.control('drop', {'how': 'reset'})


# What is shown, and when: at this part of the time, but not later than so many seconds.
STEPS = [(.25, 5, change_interval), (.4, 9, ask_status), (.5, 15, cut)]


def watch(daemon, view, server, seconds):
    """Until the time is over, Ctrl-C, or the daemon ends."""
    start = time.monotonic()
    steps = [(start + min(part * seconds, most), do) for part, most, do in STEPS] if server and seconds >= 10 else []
    while time.monotonic() < start + seconds and daemon.process.poll() is None:
        time.sleep(max(0.05, min(1, start + seconds - time.monotonic())))
        for line in daemon.new_lines():
            say('tbagent: ' + re.sub(r'^tbagent(\[\d+\])?: ', '', line))
        if view:
            view.show()
        if steps and time.monotonic() > steps[0][0]:
            steps.pop(0)[1](server)
    if daemon.process.poll() is not None:
        say('the daemon has ended by itself, with code %d' % daemon.process.returncode)


def stored_at(server, made):
    """What the server holds in the end; it stores a moment after it acknowledges."""
    end = time.monotonic() + 5
    while True:
        count = server.count(DEVICE)
        dropped = sum(g['value']['dropped'] for g in count['gaps'] if isinstance(g.get('value'), dict)
                      and g['value']['why'] == 'queue full')   # the others tell of what was never made
        if count['stored'] + dropped >= made or time.monotonic() > end:
            return count['stored'], dropped
        time.sleep(.05)


def run(args):
    if args.server and not args.token:
        sys.exit('demo: --server needs --token: ThingsBoard, Devices, the device, Copy access token')
    server = None if args.server else Standin()
    url = args.server or 'mqtt://127.0.0.1:%d' % server.mqtt
    daemon = None
    try:
        token = args.token or server.create_device(DEVICE)
        say('server %s%s' % (url, '' if args.server else ' (stand-in for ThingsBoard)'))
        if args.server:
            say('add a shared attribute to the device, system.every = 1s, or call its method agent.status: it takes them at once')
        daemon = Daemon(args.scratch, url, token)
        try:
            watch(daemon, View(server) if server else None, server, args.seconds)
        except KeyboardInterrupt:
            say('stopping')
        counts = daemon.stop()
        for line in daemon.new_lines():
            say('tbagent: ' + re.sub(r'^tbagent(\[\d+\])?: ', '', line))
        made, acknowledged = counts[:2] if counts else (0, 0)
        stored, dropped = stored_at(server, made) if server else (acknowledged, 0)
    finally:
        if daemon:
            daemon.stop()
        if server:
            server.close()
    lost = made - stored - dropped
    print('%d samples made, %d stored, %d lost' % (made, stored, lost))
    return 0 if made > 0 and lost == 0 else 1


def main():
    parser = argparse.ArgumentParser(prog='demo')
    parser.add_argument('--seconds', type=float, default=1e9, help='end after so long (default: at Ctrl-C)')
    parser.add_argument('--server', help='mqtt://HOST[:PORT] or mqtts://... of your ThingsBoard')
    parser.add_argument('--token', help="the device's access token there")
    parser.add_argument('--scratch', required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        return run(args)
    finally:
        shutil.rmtree(args.scratch, ignore_errors=True)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    sys.exit(main())
