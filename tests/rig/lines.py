# SPDX-License-Identifier: Apache-2.0
"""For the tests of guest/: edges made on a line of a simulated chip, edges as the kernel tells them, and every level that a
line was ever set to.

    with Edges(gpio.path, 3) as edges:
        make_edges(gpio, 3, 1000)
        len(edges.take())

    with Trace(gpio) as trace:
        ...
        trace.levels(5)        # [(seconds, 1), (seconds, 0), ...]"""
import collections
import fcntl
import os
import re
import select
import struct
import time

import hardware

TRACING = '/sys/kernel/tracing'
Edge = collections.namedtuple('Edge', 'time_ns rising offset seqno line_seqno')


class Edges:
    """Both edges of a line, by the kernel's interface itself. size: how many wait for a reader."""
    GPIO_V2_GET_LINE_IOCTL = 0xC250B407
    FLAG_INPUT, FLAG_EDGE_RISING, FLAG_EDGE_FALLING = 1 << 2, 1 << 4, 1 << 5
    EVENT = struct.Struct('=QIIII24x')

    def __init__(self, path, offset, size=1024):
        request = bytearray(592)        # struct gpio_v2_line_request
        struct.pack_into('=I', request, 0, offset)
        struct.pack_into('=32s', request, 256, b'rig')
        struct.pack_into('=Q', request, 288, self.FLAG_INPUT | self.FLAG_EDGE_RISING | self.FLAG_EDGE_FALLING)
        struct.pack_into('=II', request, 560, 1, size)
        chip = os.open(path, os.O_RDWR)
        try:
            fcntl.ioctl(chip, self.GPIO_V2_GET_LINE_IOCTL, request)
        finally:
            os.close(chip)
        self.fd = struct.unpack_from('=i', request, 588)[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def take(self, seconds=1):
        """What waits, and what comes until nothing does for so long."""
        found = []
        while select.select([self.fd], [], [], seconds)[0]:
            data = os.read(self.fd, 64 * self.EVENT.size)
            found += [Edge(t, kind == 1, *rest) for t, kind, *rest in self.EVENT.iter_unpack(data)]
        return found


def make_edges(gpio, offset, count, period=0):
    """Turns the level so many times, one each period (in seconds), or as fast as it goes. Returns the time that it took.

    A line that nobody serves in time joins two edges in one, on real hardware as well. So that the kernel's thread for the
    line comes before the next edge, both run on one processor, where the thread has the higher priority."""
    path = '%s/sim_gpio%d/pull' % (gpio.device, offset)
    level = hardware.read(path) == 'pull-up'
    words = b'pull-down', b'pull-up'
    before = os.sched_getaffinity(0)
    fd = os.open(path, os.O_WRONLY)
    try:
        serve_on_one_processor()
        began = time.monotonic()
        for i in range(count):
            wait = began + i * period - time.monotonic()
            if wait > 0:
                time.sleep(wait)        # the period is what is asked for
            level = not level
            os.pwrite(fd, words[level], 0)
        return time.monotonic() - began
    finally:
        os.close(fd)
        os.sched_setaffinity(0, before)


def serve_on_one_processor():
    """This process, and the threads of the kernel that serve interrupts of lines."""
    os.sched_setaffinity(0, {0})
    interrupts = re.findall(r'^ *(\d+):.* irq_sim ', hardware.read('/proc/interrupts'), re.M)
    for pid in filter(str.isdigit, os.listdir('/proc')):
        name = hardware.read('/proc/%s/comm' % pid) if os.path.exists('/proc/%s/comm' % pid) else ''
        if any(name.startswith('irq/%s-' % n) for n in interrupts):
            os.sched_setaffinity(int(pid), {0})


class Trace:
    """Every call by which the kernel sets a line of the chip, by its tracer: however short a level is, it is seen."""

    def __init__(self, gpio):
        self.base = gpio.base()
        hardware.write(TRACING + '/trace_clock', 'mono')
        # Who did it is not asked: that would patch the scheduler while it runs, which an emulated processor now and then trips over.
        hardware.write(TRACING + '/options/record-cmd', '0')
        hardware.write(TRACING + '/trace', '')
        self._enable('1')

    def _enable(self, on):
        for event in ('gpio_value', 'gpio_direction'):
            hardware.write('%s/events/gpio/%s/enable' % (TRACING, event), on)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._enable('0')

    def levels(self, offset):
        """[(CLOCK_MONOTONIC, level set)], oldest first; None: it became an input."""
        found = []
        number = self.base + offset
        for line in hardware.read(TRACING + '/trace').splitlines():
            event = re.search(r' (\d+\.\d+): gpio_(value|direction): %d +(\S+) *(.*)' % number, line)
            if not event:
                continue
            moment, kind, word, more = event.groups()
            if kind == 'value' and word == 'set':
                found.append((float(moment), int(more)))
            elif kind == 'direction' and word == 'in':
                found.append((float(moment), None))
        return found
