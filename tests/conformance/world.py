# SPDX-License-Identifier: Apache-2.0
"""What a case has: a device of its own at the server, the wire to it, and the real daemon at the other end.

    @case(14)
    def null(w):
        '''a value that could not be read is left out'''
        w.start(w.exec('{"a": null, "b": 1}'))
        w.stored('b')
        w.equal(w.sent('a'), [], 'values of a')

A case sets things up and looks at what came of it through ThingsBoard's REST API (w.server), the wire (wire.py), and what the
daemon keeps. With standin=(OPTION, ...) it has a stand-in server of its own, whose faults and events it may use."""
import collections
import json
import os
import re
import subprocess
import time
import uuid

import daemon as real
import rules
import tap
from standin import RestError, Standin
from tap import Failed, Skipped  # noqa: F401
from wire import TELEMETRY, Wire

Entry = collections.namedtuple('Entry', 'number function standin seconds skip')
ENTRIES = []
DEVICE = '  dev = { plugin = "device"; %s };\n'
COUNTER = '  counter = { plugin = "counter"; every = "100ms"; };\n'
RING_SIZE = 1 << 20


def case(number, standin=None, seconds=3, skip=None):
    """standin: options of a stand-in server of its own, without which the case cannot be shown; seconds: about how long it
    takes, so that the longest begin first."""
    def keep(function):
        ENTRIES.append(Entry(number, function, standin, seconds, skip))
        return function
    return keep


class Place:
    """Where the server is: the stand-in that the cases share, or one that was named."""

    def __init__(self, http=None, mqtt=None, user='tenant@thingsboard.org', password='tenant'):
        self.named = http is not None
        self.login = user, password
        self.shared = None
        if self.named:
            self.http, (self.host, _, self.port) = http, mqtt.rpartition(':')
        else:
            self.shared = Standin('--settle', '0.1', '--client-rpc-timeout', '60')
            self.http, self.host, self.port = self.shared.http, self.shared.host, self.shared.mqtt

    def server(self):
        """A Standin of the caller's own: it keeps a login and names."""
        return Standin.attach(self.http, self.host, self.port, *self.login)

    def close(self):
        if self.shared:
            self.shared.close()


class World:
    def __init__(self, case, entry, mqtt, place):
        self.case, self.mqtt, self.version = case, mqtt, 5 if mqtt == '5' else 4
        self.note, self.check, self.equal, self.folder = case.note, case.check, case.equal, case.folder
        self.lawful = True      # False: the case made the daemon send what it never would
        own = entry.standin is not None
        self.server = case.using(Standin(*entry.standin)) if own else place.server()
        self.wire = case.using(Wire(self.server.host, self.server.mqtt))
        self.name = 'conformance-%d-%s' % (entry.number, uuid.uuid4().hex[:12])
        self.token = None
        self.daemon, self.parts = None, {}
        if place.named and not own:
            case.stack.callback(self._forget)

    def _forget(self):
        """The server is not ours: nothing stays there."""
        for name in list(self.server.ids):
            try:
                self.server.delete_device(name)
            except (RestError, OSError):
                pass

    # -- the daemon -----------------------------------------------------------------------------------------------
    def text(self, instances='', server='', telemetry='', more='', token=None, clock='system'):
        """The text of a configuration. token: what the server part says of credentials, if not the token of a device that is
        made here."""
        if token is None:
            self.token = self.token or self.server.create_device(self.name)
            token = 'token = "%s";' % self.token
        return ('server = { url = "mqtt://127.0.0.1:%d"; protocol = "%s"; %s %s };\nclock = "%s";\n'
                'telemetry = { batch_interval = "200ms"; %s };\n%s\nplugins = {\n%s};\n' % (
                    self.wire.port, self.mqtt, token, server, clock, telemetry, more, instances))

    def start(self, instances='', connected=True, env=None, **parts):
        """The daemon with these instances; parts as of text()."""
        self.parts = parts
        self.daemon = self.case.using(real.Daemon(self.case, self.text(instances, **parts), env=env))
        if DEVICE[:6] in instances:
            self.daemon.wait_for_line(r'^dev: running', 20)
        if connected:
            self.daemon.connected(20)
        return self.daemon

    def exec(self, *lines, name='shell'):
        """An instance that prints these lines once; texts or bytes."""
        path = os.path.join(self.folder, name + '.lines')
        with open(path, 'wb') as f:
            f.writelines((x.encode() if isinstance(x, str) else x) + b'\n' for x in lines)
        return '  %s = { plugin = "exec"; mode = "daemon"; shell = true; command = "cat %s; exec sleep 1000"; };\n' % (name, path)

    def state(self, name):
        return os.path.join(self.folder, 'state', name)

    def put_rows(self, count, bad=-1, text='{}'):
        """Straight into the ring, past every check, before the daemon starts: rows {"p":0}, {"p":1} ...; in place of number
        `bad` the text."""
        os.makedirs(os.path.join(self.folder, 'run'), exist_ok=True)
        program = os.path.join(real.BUILD, 'tests', 'faults', 'put-rows')
        found = subprocess.run([program, os.path.join(self.folder, 'run', 'ring'), str(RING_SIZE), str(count), str(bad), text],
                               capture_output=True, text=True)
        self.check(found.returncode == 0, 'put-rows: %s', found.stderr)

    def refused(self, pattern, instances='', **parts):
        """tbagent --check does not take this configuration, for this reason."""
        path = real.write(os.path.join(self.folder, 'refused.conf'), self.text(instances, **parts))
        done = subprocess.run([real.BIN, '--check', path, *real.options(self.folder)], capture_output=True, text=True)
        self.equal(done.returncode, 78, 'exit code of --check')
        found = [line for line in (done.stdout + done.stderr).splitlines() if re.search(pattern, line)]
        self.check(found, 'not /%s/ but: %s', pattern, done.stdout + done.stderr)
        self.note('%s', found[0].replace(path, 'FILE'))

    def memory(self):
        """Anonymous memory of the daemon in KiB."""
        with open('/proc/%d/status' % self.daemon.pid) as f:
            return int(re.search(r'^RssAnon:\s+(\d+)', f.read(), re.M).group(1))

    # -- waiting --------------------------------------------------------------------------------------------------
    def until(self, condition, what, seconds=20):
        """The first true value of condition()."""
        end, pause = time.monotonic() + seconds * real.SLOW, .02
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise Failed('waited %g s for %s' % (seconds * real.SLOW, what))
            time.sleep(pause)
            pause = min(.2, pause * 1.5)

    def stored(self, key, value=None, seconds=20):
        """The values of a key, once there is one (this one) at the server."""
        return self.until(lambda: self._stored(key, value), 'a value of %s' % key, seconds)

    def _stored(self, key, value):
        found = self.values(key)
        return found if value is None or value in found else None

    def values(self, key):
        return [v for _, v in self.server.series(self.name, [key]).get(key, [])]

    def attribute(self, key, scope='CLIENT_SCOPE'):
        return self.server.attributes(self.name, scope).get(key)

    def rpc(self, method, params=None, **more):
        return self.server.rpc(self.name, method, params, **more)

    def counted_on(self, more=5, key='count', seconds=40):
        """Waits for so many further values of the counter."""
        have = len(self.values(key)) if key in self.server.keys(self.name) else 0
        self.until(lambda: len(self.values(key)) >= have + more, '%d further values of %s' % (more, key), seconds)

    def settle(self):
        """Waits until nearly nothing waits any more, then stops the daemon; what is left is sent by one without instances. What
        the first one counted."""
        self.until(lambda: real.waiting(self.case) < 10, 'what waits to be sent', 60)
        counts = self.stop()
        if real.waiting(self.case):
            self.start(**self.parts)
            self.until(lambda: not real.waiting(self.case), 'the rest to be sent', 60)
            self.stop()
        self.equal(counts.dropped, 0, 'values dropped')
        return counts

    def whole(self, all_of_it=True):
        """Stops: the server has all that was made (or what came for a device that was made anew), each number of the counter
        once."""
        made = self.settle().made
        if all_of_it:
            self.until(lambda: sum(map(len, self.server.series(self.name).values())) == made, 'all %d values' % made)
        values = sorted(self.values('count'))
        gaps, twice = real.holes(values), [a for a, b in zip(values, values[1:]) if a == b]
        self.equal((gaps, twice, values[0] == 0), ([], [], all_of_it), 'numbers missing, there twice, and whether the first is 0')

    def ready(self):
        """Waits until the session is up in all its parts: requests of both sides work."""
        self.until(lambda: self.attribute('tbagent_version'), 'the first client attributes')
        self.until(lambda: self.rpc('agent.ping') == 'pong', 'an answer')

    # -- what was sent --------------------------------------------------------------------------------------------
    def entries(self, since=0):
        """[(ts, values)] of all telemetry that the daemon published; numbers with a fraction are text."""
        return [e for p in self.wire.publishes(TELEMETRY, since) for e in self.entries_in(p)]

    def entries_of(self, connection):
        return [e for p in self.wire.publishes(TELEMETRY) if p.connection == connection for e in self.entries_in(p)]

    @staticmethod
    def entries_in(packet):
        return rules.entries(packet.payload)

    def sent(self, key):
        return [values[key] for _, values in self.entries() if key in values]

    def has_stored(self, *packets):
        """Whether the server has all values of these messages."""
        times = {key: {ts for ts, _ in rows} for key, rows in self.server.series(self.name).items()}
        return all(ts in times.get(key, ()) for p in packets for ts, values in self.entries_in(p) for key in values)

    def mirror(self):
        """{key: value} of the file that mirrors the shared attributes; names with a dot are left out."""
        try:
            with open(self.state('shared.conf'), encoding='utf8') as f:
                text = f.read()
        except FileNotFoundError:
            return {}
        found = dict(re.findall(r'^(\w+) = ([^{(].*);$', text, re.M))
        found.update((_unquoted(n), v) for n, v in re.findall(r'\{ name = (".*?"); value = (.*?); \}', text))
        return {k: _unquoted(v) for k, v in found.items()}

    def stop(self):
        return self.daemon.stop(within=5)

    # -- the end --------------------------------------------------------------------------------------------------
    def finish(self):
        """The daemon ends well, and what it sent was lawful."""
        if self.daemon and self.daemon.process.poll() is None:
            self.stop()
        if self.lawful:
            broken = rules.broken(list(self.wire.packets), self.version)
            self.equal(broken[:5], [], 'what the agent must never send')


def _unquoted(text):
    """A value of libconfig as Python's."""
    if text in ('true', 'false'):
        return text == 'true'
    return json.loads(text.replace('\\x', '\\u00') if text.startswith('"') else text.rstrip('L'))


class Case(tap.Case):
    """One entry on one version of MQTT."""

    def __init__(self, entry, mqtt, place):
        super().__init__(entry.function)
        self.entry, self.mqtt, self.place = entry, mqtt, place
        self.name = 'case %d (MQTT %s): %s' % (entry.number, mqtt, self.name)

    def run(self):
        if self.entry.skip:
            return ' # SKIP ' + self.entry.skip
        if self.entry.standin is not None and self.place.named:
            return ' # SKIP needs the stand-in'
        self.function = self._body
        return super().run()

    def _body(self, _):
        w = World(self, self.entry, self.mqtt, self.place)
        self.entry.function(w)
        w.finish()
