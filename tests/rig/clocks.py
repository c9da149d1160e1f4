# SPDX-License-Identifier: Apache-2.0
"""For the tests of the clock: the machine's clocks, who says that they are right, and rows that tell when they were made.

A wall clock is told here by its offset: REALTIME = BOOTTIME + offset, in seconds. BOOTTIME is what nobody can set, so it is
the reference: the plugin boottime gives it as the value of each row, and the server has what the daemon took for its time."""
import contextlib
import ctypes
import os
import time

import agent
import machine

PERIOD = .05
TOLERANCE = .050
KEY = 'boottime_us'
STAMP = '/run/systemd/timesync/synchronized'
YEAR = 365.25 * 86400
TRUTH = 1767225600.0        # 2026-01-01: as good as any that is neither what the machine believes nor a time it was set to
DEVICE = agent.DEVICE
STORE_AFTER = 5
SLACK = .5                  # seconds round a step in which a row may be of before or after it


def boottime():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def offset():
    """Of the wall clock as it is now; of some readings the one that took least."""
    best = None
    for _ in range(20):
        before, wall, after = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if best is None or after - before < best[0]:
            best = after - before, (wall - (before + after) // 2) / 1e9
    return best[1]


def set_clock(wanted):
    """Returns (BOOTTIME of the step, the offset that it gave)."""
    now = boottime()
    time.clock_settime(time.CLOCK_REALTIME, wanted + now)
    return now, offset()


def say_synchronized():
    """What an NTP client does: the kernel's greatest error is small. Until the clock is set again timedated says so, too."""
    ADJ_MAXERROR, ADJ_ESTERROR = 4, 8
    timex = (ctypes.c_long * 64)()              # struct timex: modes, offset, freq, maxerror, esterror, ...
    timex[0], timex[3], timex[4] = ADJ_MAXERROR | ADJ_ESTERROR, 1000, 1000
    if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
        raise OSError(ctypes.get_errno(), 'adjtimex')


def put_stamp():
    """What systemd-timesyncd does after its first answer."""
    os.makedirs(os.path.dirname(STAMP), exist_ok=True)
    with open(STAMP, 'w'):
        pass


def forget_trust():
    """As after a boot. The service has to be stopped."""
    for path in (STAMP, machine.RUNTIME + '/clock'):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    set_clock(offset())     # the kernel's greatest error is large again


class World(agent.Agent):
    """The service with an instance `tick` that gives its BOOTTIME, and a server for it."""

    def __init__(self, case):
        super().__init__(case, '--young', str(STORE_AFTER + 2))
        machine.add_plugin('boottime')

    def start(self, wait_for_clock='2min'):
        super().start('tick = { plugin = "boottime"; every = "%dms"; };' % (PERIOD * 1000), more='',
                      telemetry='batch_interval = "500ms"; store_after = "%ds"; wait_for_clock = "%s";' % (
                          STORE_AFTER, wait_for_clock))

    def rows(self):
        """[(BOOTTIME, time at the server)] in seconds, in the order in which they were made."""
        found = self.server.series(DEVICE, [KEY], limit=100000).get(KEY, [])
        return sorted((value / 1e6, ts / 1e3) for ts, value in found)

    def finish(self):
        """Stops, prints the figures and holds them to what is promised. Returns the server's count."""
        made, _, waiting, dropped = self.stop()
        machine.wait_for(lambda: self.server.stats()['store_queue'] == 0, 10, 'the server to store what it has')
        count = self.server.count(DEVICE)
        marks = [v for _, v in self.server.series(DEVICE, ['tick_time']).get('tick_time', [])].count('estimated')
        stored = count['stored'] - marks        # that a time is an estimate is none of the values made
        gaps = sum(int(gap['value']['dropped']) for gap in count['gaps'])
        print('made=%d stored=%d lost=%d duplicated=%d reordered=%d disk_bytes=%d reordered_old=%d' % (
            made, stored, made - stored - gaps, count['duplicated'], count['reordered_young'], self.disk_bytes,
            count['reordered_old']), flush=True)
        self.case.equal((made - stored, gaps, waiting, dropped), (0, 0, 0, 0), 'lost, told as gaps, waiting, dropped')
        return count

    def hold_to(self, rows, steps, what):
        """steps: [(BOOTTIME, offset that the wall clock had from then on)]. Each row must have the time of its moment."""
        ends = [at for at, _ in steps[1:]] + [float('inf')]
        worst = 0
        for made, stored in rows:
            allowed = [o for (at, o), end in zip(steps, ends) if at - SLACK < made < end + SLACK]
            error = min(abs(stored - made - o) for o in allowed)
            worst = max(worst, error)
            self.case.check(error <= TOLERANCE, '%s: the row of BOOTTIME %.3f s is off by %.3f s', what, made, error)
        self.case.note('%s: %d rows, off by at most %.1f ms', what, len(rows), worst * 1000)

    def hold_schedule(self, rows, begin, end, what):
        """Between two moments there are as many rows as there are periods, no more ever, and no long silence."""
        made = [at for at, _ in rows if begin <= at <= end]
        periods = (end - begin) / PERIOD
        gap = max((b - a for a, b in zip(made, made[1:])), default=end - begin)
        self.case.note('%s: %d rows in %.1f periods, %.0f ms apart at most', what, len(made), periods, gap * 1000)
        self.case.check(len(made) <= periods + 2, '%s: a burst of %d rows in %.1f periods', what, len(made), periods)
        self.case.check(len(made) >= .8 * periods, '%s: only %d rows in %.1f periods', what, len(made), periods)
        self.case.check(gap < 1, '%s: silent for %.3f s', what, gap)
