# SPDX-License-Identifier: Apache-2.0
"""What reaches the card: nothing while the server acknowledges, little while it does not, and what happens when there is no room.

Each has an ext4 of its own, whose block device counts what is written, the journal included."""
import os

import ext4
from world import DEVICE, Skipped, World, in_order, inspected, load, none_lost, scratch_in_memory

PER_SAMPLE_MAX = 15         # bytes
PER_COMMIT_MAX = 16000
SLOW_RATE = 1               # points a second, where the commit rules
ROOM = 16 * 1024            # that is left on the full disk: some commits


def new_disk(case, size='64M'):
    """Its image is in memory: how long a disk takes is no matter here, and must not depend on what else goes on."""
    why = ext4.available()
    if why:
        raise Skipped(why)
    return case.using(ext4.LoopExt4(size, folder=case.using(scratch_in_memory())))


def files_below(folder):
    """{path: (inode, size, mtime in ns)} of files and folders."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in ['.', *names]:
            s = os.lstat(os.path.join(path, name))
            found[os.path.join(path, name)] = (s.st_ino, s.st_size, s.st_mtime_ns)
    return found


def settled_bytes(w):
    """The device's count once the file system has done with what the start wrote, and with the time of access of folders
    that were looked at."""
    files_below(w.state)
    seen = [w.disk.written_bytes()]
    while len(seen) < 2 or seen[-1] != seen[-2]:
        w.pause(2, 'the file system settles')
        seen.append(w.disk.written_bytes())
        w.case.check(len(seen) < 30, 'the disk does not come to rest')
    return seen[-1]


def online_bytes(case, o):
    disk = new_disk(case)
    w = World(case, o.mqtt, disk=disk)
    w.start(load(o.rate)).connected()
    w.arrives(o.rate * w.batch_interval * 3)
    before, files, had = settled_bytes(w), files_below(w.state), w.stored()
    w.pause(o.seconds, 'online')
    more, after = disk.written_bytes() - before, files_below(w.state)
    case.note('%d points stored meanwhile, %d bytes on the block device', w.stored() - had, more)
    case.check(w.stored() - had >= .9 * o.rate * o.seconds, 'not enough points')
    result = w.finish()
    result.disk_bytes = more
    none_lost(case, result)
    case.equal(after, files, 'files of the state directory')
    case.equal(more, 0, 'bytes written')
    case.note('held: 0 bytes written in %g s, no file changed', o.seconds)


class Offline:
    """One daemon without a broker on a disk of its own."""

    def __init__(self, case, o, rate):
        self.case, self.rate, self.disk = case, rate, new_disk(case, '256M')
        self.world = World(case, o.mqtt, disk=self.disk)
        self.world.link.refuse()
        self.world.start(load(rate))
        self.world.pause(self.world.batch_interval + self.world.store_after, 'the first commit')
        self.before = self._now()

    def _now(self):
        return self.disk.written_bytes(), self.world.ledger()['made'], inspected('--segments', self.world.state)[0]['blocks']

    def measure(self):
        """(bytes, points, commits) since the start."""
        found = [b - a for a, b in zip(self.before, self._now())]
        self.case.note('at %g/s: %d bytes on the block device, %d points, %d commits: %.2f bytes a point, %.0f a commit',
                       self.rate, *found, found[0] / max(1, found[1]), found[0] / max(1, found[2]))
        return found


def offline_bytes(case, o):
    fast, slow = Offline(case, o, o.rate), Offline(case, o, SLOW_RATE)
    fast.world.pause(o.seconds, 'offline')
    written, points, _ = fast.measure()
    slow_written, _, commits = slow.measure()
    slow.world.link.accept()
    none_lost(case, slow.world.finish())
    fast.world.link.accept()
    result = fast.world.finish(o.seconds)
    result.disk_bytes = written
    none_lost(case, result)
    case.check(written <= PER_SAMPLE_MAX * points, '%.2f bytes a sample', written / points)
    case.check(slow_written <= PER_COMMIT_MAX * commits, '%.0f bytes a commit', slow_written / commits)
    case.note('held: %.2f <= %d bytes a sample at %g/s, %.0f <= %d bytes a commit at %g/s', written / points, PER_SAMPLE_MAX,
              o.rate, slow_written / commits, PER_COMMIT_MAX, SLOW_RATE)


def fill(folder, room):
    """Until there is no more space, then gives back `room`."""
    with open(os.path.join(folder, 'filler'), 'wb', buffering=0) as f:
        try:
            while True:
                f.write(b'x' * 4096)
        except OSError:
            pass
        os.fsync(f)
        os.ftruncate(f.fileno(), max(0, f.tell() - room))
        os.fsync(f)


def disk_full(case, o):
    disk = new_disk(case)
    w = World(case, o.mqtt, disk=disk, telemetry='store_max = "1M"; ring_size = "%s";' % ('64k' if o.short else '256k'))
    counter = '  counter = { plugin = "counter"; every = "100ms"; };\n'
    w.start(counter + load(o.rate)).connected()
    w.arrives(o.rate)
    w.link.refuse()
    fill(disk.path, ROOM)
    w.disk_before = disk.written_bytes()
    w.pause(o.seconds, 'disk full')
    found = w.ledger()
    case.note('%d points dropped of %d made', found['dropped'], found['made'])
    for line in w.daemon.matching('store|disk'):
        case.note('the daemon says: %s', line)
    mark = w.daemon.mark()
    w.link.accept()
    w.daemon.connected(150, mark)     # it tries every two minutes at the latest
    w.arrives(3 * o.rate, 60)
    result = w.finish()
    rows = w.server.series(DEVICE, ['count'], limit=10 ** 7)['count']
    numbers = {v for _, v in rows}
    missing = sorted(set(range(max(numbers) + 1)) - numbers)
    case.equal(result.lost, 0, 'points lost beyond what the gap records tell')
    case.equal(result.rejected, 0, 'rejected')
    in_order(case, result)
    case.check(result.dropped > 0, 'nothing was dropped: the disk was not full for long enough')
    case.check(missing, 'the counter misses nothing')
    case.equal(missing, list(range(missing[0], missing[-1] + 1)), 'the rows that are missing: not one stretch, so not the oldest')
    check_gap_times(case, w.count()['gaps'], rows, missing)
    case.note('held: %d points dropped, the oldest, and the gap records tell of as many', result.dropped)


def check_gap_times(case, gaps, rows, missing):
    """The stretch that the gap records tell of is that of the missing rows."""
    times = {v: t for t, v in rows}
    before, after = times[missing[0] - 1], times[missing[-1] + 1]
    told = min(int(g['value']['from']) for g in gaps), max(int(g['value']['to']) for g in gaps)
    case.note('missing are rows between %d and %d, told are %d to %d', before, after, *told)
    case.check(before <= told[0] and told[1] <= after, 'the gap records tell of another time')
