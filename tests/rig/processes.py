# SPDX-License-Identifier: Apache-2.0
"""For the tests of guest/: the processes of the service, to be killed and held, and pulses that come meanwhile.

    with Pulses(gpio, 3) as pulses:
        os.kill(hosts()[0], signal.SIGKILL)
        ...
    pulses.count"""
import os
import signal
import threading
import time

import lines
import machine
from tap import Failed


def hosts(pid=None):
    """Its plugin hosts. pid: of the daemon, for those who cannot wait for systemctl."""
    pid = pid or machine.service('MainPID')
    with open('/proc/%s/task/%s/children' % (pid, pid), encoding='utf8') as f:
        return [int(word) for word in f.read().split()]


def has_plugin(pid):
    """Whether a host has loaded its plugin: it may have asked for what is kept then."""
    try:
        with open('/proc/%d/maps' % pid, encoding='utf8') as f:
            return '/plugins/' in f.read()
    except OSError:
        return True     # it has ended


def is_host(pid):
    """It has become one: until then it is a copy that the daemon waits for, and must not be stopped."""
    try:
        return os.readlink('/proc/%d/exe' % pid).endswith('tbagent-plugin-host')
    except OSError:
        return False


def kill_and_hold(seconds=10):
    """Kills the only host, and stops the next one before it can take anything. Its pid, and the time of the kill; None where it
    was faster."""
    daemon = machine.service('MainPID')
    old, = hosts(daemon)
    os.kill(old, signal.SIGKILL)
    killed = time.monotonic()
    while time.monotonic() < killed + seconds:
        new = [pid for pid in hosts(daemon) if pid != old and is_host(pid)]
        if new:
            os.kill(new[0], signal.SIGSTOP)
            if not has_plugin(new[0]):
                return new[0], killed
            os.kill(new[0], signal.SIGCONT)
            return None
    raise Failed('no other host within %g s' % seconds)


class Pulses:
    """Pulses on a line that somebody holds already, so many a second, until the end of the block."""

    def __init__(self, gpio, offset, rate=20):
        self.path = '%s/sim_gpio%d/pull' % (gpio.device, offset)
        self.half = .5 / rate
        self.count, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        lines.serve_on_one_processor()
        with open(self.path, 'w', encoding='utf8') as f:
            while not self.ended.wait(self.half):
                f.write('pull-up')
                f.flush()
                self.count += 1
                self.ended.wait(self.half)
                f.write('pull-down')
                f.flush()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
