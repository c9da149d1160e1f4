# SPDX-License-Identifier: Apache-2.0
"""For the tests of guest/: the service of the installed package with a configuration, and a server that it sends to. The server
is one for all cases of a test, since starting it takes an emulated processor two seconds; the device is a new one in each.

    agent = Agent(case)
    agent.start('boiler = { plugin = "onewire"; every = "2s"; };')
    agent.wait_for_value('boiler_temp', lambda v: v > 20)
    agent.stop()"""
import atexit
import collections
import functools
import os
import re
import shutil

import machine
from standin import Standin

DEVICE = 'box'
STOPPED = r'stopped: (\d+) values made, (\d+) acknowledged, (\d+) waiting, (\d+) dropped'
Counts = collections.namedtuple('Counts', 'made acknowledged waiting dropped')


@functools.cache
def server(*options):
    there = Standin(*options)
    atexit.register(there.close)
    return there


def empty(folder):
    for name in os.listdir(folder) if os.path.exists(folder) else ():
        path = os.path.join(folder, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


class Agent:
    """The service is stopped and forgets what it did before; it starts with start(). `server` is the stand-in."""

    def __init__(self, case, *standin_options):
        machine.run('systemctl', 'stop', 'tbagent')
        empty(machine.RUNTIME)
        empty(machine.STATE)
        self.case = case
        self.server = server(*standin_options)
        if DEVICE in self.server.ids:
            self.server.delete_device(DEVICE)
        self.server.create_device(DEVICE)
        self.server.set_token(DEVICE, 'token')
        self.lines = 0
        self.disk_bytes = 0
        case.stack.callback(self._end)

    def _end(self):
        machine.run('systemctl', 'stop', 'tbagent')

    def configure(self, instances, telemetry='batch_interval = "200ms";', more='clock = "system";'):
        """Writes it and has it checked. The instance system of the shipped file is off."""
        machine.configure('server = { url = "mqtt://127.0.0.1:%d"; };\ntelemetry = { %s };\n%s\n'
                          'plugins = { system = { enabled = false; };\n%s\n};\n' % (self.server.mqtt, telemetry, more, instances))
        machine.run('tbagent', '--check')

    def start(self, instances, **more):
        """Configured so, until it is connected."""
        self.configure(instances, **more)
        self.lines = len(machine.journal())
        machine.run('systemctl', 'start', 'tbagent')
        self.wait_for_line(r'^connected to ', 30)

    def reload(self, instances, **more):
        self.configure(instances, **more)
        machine.run('systemctl', 'reload', 'tbagent')

    def stop(self):
        """Returns what the service counted."""
        with open('/proc/%s/io' % machine.service('MainPID')) as f:
            self.disk_bytes += int(re.search(r'^write_bytes: (\d+)', f.read(), re.M).group(1))
        machine.run('systemctl', 'stop', 'tbagent')
        return Counts(*map(int, re.search(STOPPED, self.wait_for_line(STOPPED, 5)).groups()))

    # -- the journal ---------------------------------------------------------------------------------------------
    def mark(self):
        """From here on, for the `after` of the calls below."""
        return len(machine.journal())

    def matching(self, pattern, after=None):
        """Lines of the journal since the last start."""
        return [line for line in machine.Journal.now_and_then()[self.lines if after is None else after:] if re.search(pattern, line)]

    def wait_for_line(self, pattern, seconds, after=None):
        return machine.wait_for(lambda: self.matching(pattern, after), seconds, 'a line /%s/' % pattern)[0]

    # -- what arrived --------------------------------------------------------------------------------------------
    def stored(self):
        """How many values."""
        return self.server.count(DEVICE)['stored']

    def arrives(self, more, seconds):
        have = self.stored()
        machine.wait_for(lambda: self.stored() >= have + more, seconds, '%d further values' % more)

    def latest(self):
        return self.server.latest(DEVICE)

    def values(self, key, since=0):
        """[(time in ms, value)] as the server has them, oldest first."""
        return [(ts, v) for ts, v in self.server.series(DEVICE, [key]).get(key, []) if ts >= since]

    def wait_for_value(self, key, condition, seconds=20):
        """The latest value of a key for which the condition is true. It may have come before; wait_for_next is for others."""
        def good():
            value = self.latest().get(key)
            return value is not None and condition(value) and (value,)
        return machine.wait_for(good, seconds, 'another %s than %r' % (key, self.latest().get(key)))[0]

    def wait_for_next(self, key, many=1, seconds=20):
        """So many further values of a key."""
        before = len(self.values(key))
        machine.wait_for(lambda: len(self.values(key)) >= before + many, seconds, '%d further values of %s' % (many, key))
        return [v for _, v in self.values(key)[before:]]
