# SPDX-License-Identifier: Apache-2.0
"""What the programs of tests/device share: a stand-in server, a link that may be cut, and a daemon that may be killed."""
import json
import os
import signal
import subprocess
import time

import daemon
from proxy import Proxy
from standin import Standin
from world import scratch_in_memory

DEVICE = 'd'
READ_CONF = os.path.join(daemon.BUILD, 'tests', 'device', 'read-conf')


class World:
    """A server with the device `d`, the link to it, and one daemon at a time on the same folders."""

    def __init__(self, case, mqtt='5', *options):
        self.case, self.mqtt = case, mqtt
        self.server = case.using(Standin('--settle', '0.1', '--store-delay', '0.01', *options))
        self.token = self.server.create_device(DEVICE)
        self.link = case.using(Proxy(self.server.mqtt))
        self.state = os.path.join(case.folder, 'state')
        self.runtime = case.using(scratch_in_memory())
        self.number, self.daemon = 0, None

    def start(self, instances='', more=''):
        self.number += 1
        text = daemon.config(instances, 'mqtt://127.0.0.1:%d' % self.link.port, self.token, 'protocol = "%s";' % self.mqtt,
                             more=more)
        self.daemon = self.case.using(daemon.Daemon(self.case, text, name='tbagent-%d' % self.number,
                                                    more_options=('--state-dir', self.state, '--runtime-dir', self.runtime)))
        return self.daemon

    def kill(self):
        """kill -9; until then it must have been well."""
        self.case.check(self.daemon.process.poll() is None, 'the daemon ended by itself with %s', self.daemon.process.returncode)
        self.daemon.process.send_signal(signal.SIGKILL)
        self.daemon.process.wait()
        self.case.equal(self.daemon.matching(daemon.REPORTS), [], 'what the sanitizer says')

    def cut(self):
        """Resets the connection; a reload spares the pauses that grow with each cut. Until it is there again."""
        mark = self.daemon.mark()
        self.link.reset()
        end = time.monotonic() + 60 * daemon.SLOW
        while True:
            try:
                return self.daemon.connected(1, mark)
            except daemon.Failed:
                if time.monotonic() > end or self.daemon.process.poll() is not None:
                    raise
                self.daemon.hang_up()

    @property
    def mirror(self):
        return os.path.join(self.state, 'shared.conf')

    def status(self):
        return self.server.rpc(DEVICE, 'agent.status')

    def memory(self):
        """Resident bytes that are the daemon's own."""
        with open('/proc/%d/smaps_rollup' % self.daemon.pid) as f:
            return sum(int(line.split()[1]) for line in f if line.startswith('Private_')) * 1024

    def at_server(self, key, scope='CLIENT_SCOPE'):
        return self.server.attributes(DEVICE, scope).get(key)

    def comes(self, key, value, seconds=10):
        """The client attribute has this value at the server."""
        daemon.wait_for(lambda: self.at_server(key) == value, seconds, 'client attribute %s = %r (it is %r)' % (
            key, value, self.at_server(key)))


def dumped(path):
    """A mirror file as libconfig has it: {name: value}."""
    done = subprocess.run([READ_CONF, '--dump', path], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise daemon.Failed(done.stderr)
    out = {}
    for line in done.stdout.splitlines():
        name, kind, value = line.split('\t')
        text = bytes.fromhex(value).decode() if kind in ('text', 'json') else value
        out[bytes.fromhex(name).decode()] = {'int': int, 'float': float, 'bool': lambda v: v == '1', 'text': str,
                                             'json': json.loads}[kind](text)
    return out


def same(a, b):
    """Of the same type, too."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
