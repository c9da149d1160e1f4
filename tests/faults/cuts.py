# SPDX-License-Identifier: Apache-2.0
"""The power goes, again and again at random moments: what reached the block device by then is there, nothing else is.

A round is one boot. The file system is shut down as it stands (tests/faults/ext4.py), the daemon killed at once, /run wiped and
the disk mounted again. Each round's instance has a name and keys of its own, so that its points are counted apart: made stands
in the ring's ledger, read after the kill and before the wipe; stored is what arrives of its keys in the end, however many
rounds later. Rows that the ring takes between shutdown and kill were lost to the power, too: that time is the margin, with
one call of the plugin.

The rounds go through phases: offline (rows move to the disk), online (the disk is not touched), catching up (the disk is read,
and its files go), and short (a cut while the store opens)."""
import collections
import os
import random
import shutil
import time

from disks import new_disk
from world import World, in_order, load

from daemon import preload, wait_for

CUTS = 20
CUTS_SHORT = 6
TROUBLE = r'\b(store|disk|ring|segment|block)s?\b'
Round = collections.namedtuple('Round', 'name phase made allowed')


class Cuts:
    def __init__(self, case, o, env=None):
        self.case, self.o, self.env = case, o, env
        self.disk = new_disk(case)
        times = dict(batch_interval=.2, store_after=3) if o.short else {}
        self.w = World(case, o.mqtt, disk=self.disk, **times)
        self.window = self.w.batch_interval + self.w.store_after
        self.chance, self.rounds = random.Random(o.seed), []

    def offline(self):
        self.w.link.refuse()
        self._boot()
        self._for(self.chance.uniform(.3, 3) * self.window)

    def online(self):
        self.w.link.accept()
        self._boot()
        self.w.daemon.connected(60)
        self._for(self.chance.uniform(0, 2) * self.window)

    def catching_up(self):
        """The backlog of the rounds before goes out when the link comes back."""
        self.w.link.refuse()
        self._boot()
        self._for(self.window)
        mark = self.w.daemon.mark()
        self.w.link.accept()
        self.w.daemon.connected(60, mark)
        self._for(self.chance.uniform(0, 1))

    def short(self):
        self.chance.choice((self.w.link.refuse, self.w.link.accept))()
        self._boot()
        self._for(self.chance.uniform(0, .3))

    def long_offline(self):
        """So long that a store that does not sync must lose too much."""
        self.w.link.refuse()
        self._boot()
        self._for(3 * self.window)

    def _boot(self):
        self.name = 'c%02d' % len(self.rounds)
        self.w.start(load(self.o.rate, self.name), env=self.env)
        self.booted = time.monotonic()
        wait_for(lambda: os.path.exists(self.w.ring_path), 10, 'the ring')

    def _for(self, seconds):
        self.w.pause(seconds, self.name)

    def cut(self, phase):
        self.case.equal(self.w.daemon.matching(TROUBLE), [], 'what the daemon says of its store')
        began = time.monotonic()
        self.disk.cut()
        self.w.kill()
        took = time.monotonic() - began
        made = self.w.ledger()['made']
        allowed = (self.window + took) * self.o.rate + max(1, self.o.rate / 10)
        self.rounds.append(Round(self.name, phase, made, allowed))
        self.case.note('%s: cut %.1f s after the start (%s), %d points made, killed %.0f ms later', self.name,
                       began - self.booted, phase.replace('_', ' '), made, took * 1000)
        wipe(self.w.runtime)
        self.disk.remount()

    def settle(self):
        """All that is left arrives; {round: points lost}."""
        self.w.link.accept()
        d = self.w.start(env=self.env)
        d.connected(60)
        self.w.pause(120, 'catching up', until=self._nothing_waits)
        self.case.equal(self.w.stop().waiting, 0, 'points that still wait')
        return {r: r.made - self.w.count(r.name + '_')['stored'] for r in self.rounds}

    def _nothing_waits(self):
        """Of the ring's sums only these tell: what the store had before this ring was made is in no other."""
        found = self.w.ledger()
        return found['points'] + found['stored_points'] == 0 and not segments_left(self.w.state)


def wipe(folder):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def segments_left(state):
    spool = os.path.join(state, 'spool')
    return [n for n in os.listdir(spool) if n.endswith('.seg')] if os.path.isdir(spool) else []


def judge(case, lost):
    """Rounds that lost more than they may."""
    for r, points in lost.items():
        case.note('%s (%s): %d points made, %d lost, %d allowed', r.name, r.phase.replace('_', ' '), r.made, points, r.allowed)
        case.check(points >= 0, '%d more points stored than made', -points)
    return [r for r, points in lost.items() if points > r.allowed]


def power_cut(case, o):
    cuts = Cuts(case, o)
    phases = ['offline', 'online', 'catching_up', 'offline', 'short']
    for number in range(CUTS_SHORT if o.short else CUTS):
        phase = phases[number % len(phases)]
        getattr(cuts, phase)()
        cuts.cut(phase)
    lost = cuts.settle()
    result = cuts.w.result(sum(r.made for r in cuts.rounds))
    too_much = judge(case, lost)
    case.equal([r.name for r in too_much], [], 'rounds that lost too much')
    case.equal(result.rejected, 0, 'rejected')
    in_order(case, result)
    case.note('held: %d cuts, at most %d points lost in one, (batch_interval + store_after) x rate is %g', len(cuts.rounds),
              max(lost.values()), cuts.window * o.rate)


def power_cut_no_fsync(case, o):
    cuts = Cuts(case, o, env={'LD_PRELOAD': preload('no-fdatasync')})
    for _ in range(2):
        cuts.long_offline()
        cuts.cut('long_offline')
    lost = cuts.settle()
    cuts.w.result(sum(r.made for r in cuts.rounds))
    too_much = judge(case, lost)
    case.check(too_much, 'without fdatasync no more is lost than with it: the test proves nothing')
    case.note('as it must be: without fdatasync %d of %d rounds lost too much', len(too_much), len(cuts.rounds))
