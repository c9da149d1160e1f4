# SPDX-License-Identifier: Apache-2.0
"""A small store, damaged in every way there is: each of its bytes inverted, each length that a cut may leave.

One store of some blocks is made, with the ring that belongs to it. Every trial is a copy of both with one byte inverted, or cut
to one length, and a daemon of its own that sends what it finds to a device of its own. It has to start, to lose no row of
another block, and to tell exactly what is lost: what arrived and what the gap record says are together what was made. The ring
knows how much the store should hold, so that holds also where nothing is left to count."""
import collections
import concurrent.futures
import os
import re
import shutil
import subprocess
import time

from world import Failed, Result, World, inspected, ledger, load, scratch_in_memory, waiting

import daemon

PARALLEL = 6
BLOCKS = 3
RATE = 20
SHORT_TRIALS = 40
SECONDS = 20            # until what is there must have arrived
Block = collections.namedtuple('Block', 'start end points')
Damage = collections.namedtuple('Damage', 'name allowed apply')


def blocks_of(state):
    """[Block] of the one segment."""
    found = []
    for line in inspected('--segments', state)[1]:
        words = dict(w.split('=', 1) for w in line.split() if '=' in w)
        if 'at' in words:
            at = int(words['at'])
            found.append(Block(at, at + int(words['bytes']), int(words['points'])))
    return found


def make_template(case, w):
    """A state directory and a runtime directory that belong together; (segment path, blocks, points)."""
    w.link.refuse()
    w.start(load(RATE))
    spool = os.path.join(w.state, 'spool')
    daemon.wait_for(lambda: os.path.isdir(spool) and len(blocks_of(w.state)) >= BLOCKS, 30, 'blocks')
    w.stop()
    names = [n for n in os.listdir(spool) if n.endswith('.seg')]
    case.equal(len(names), 1, 'segments')
    return os.path.join('spool', names[0]), blocks_of(w.state), w.ledger()['made']


def flip(position):
    def apply(path):
        with open(path, 'r+b') as f:
            f.seek(position)
            byte = f.read(1)[0]
            f.seek(position)
            f.write(bytes([byte ^ 0xff]))
    return apply


def cut(length):
    return lambda path: os.truncate(path, length)


def damages(size, blocks):
    """Every one, with the points it may cost."""
    for position in range(size):
        yield Damage('byte %d' % position, sum(b.points for b in blocks if b.start <= position < b.end), flip(position))
    for length in range(size):
        yield Damage('cut to %d' % length, sum(b.points for b in blocks if b.end > length), cut(length))


class Trials:
    def __init__(self, case, w, segment, points):
        self.case, self.w, self.segment, self.points = case, w, segment, points
        self.made = case.using(scratch_in_memory())
        self.template = [shutil.copytree(d, os.path.join(self.made, n)) for d, n in ((w.state, 'state'), (w.runtime, 'run'))]
        self.total, self.costs = Result(), collections.Counter()

    def run(self, damage, number):
        """What it cost; raises where it went wrong."""
        name, folder = 'trial-%d' % number, os.path.join(self.made, str(number))
        state, runtime = (shutil.copytree(t, os.path.join(folder, os.path.basename(t))) for t in self.template)
        damage.apply(os.path.join(state, self.segment))
        text = daemon.config('', 'mqtt://127.0.0.1:%d' % self.w.server.mqtt, self.w.server.create_device(name),
                             'protocol = "%s";' % self.w.mqtt, self.w.telemetry)
        conf = daemon.write(os.path.join(folder, 'conf'), text)
        log = os.path.join(folder, 'log')
        with open(log, 'wb') as f:
            process = subprocess.Popen([daemon.BIN, '--config', conf, *daemon.options(folder), '--runtime-dir', runtime],
                                       stdin=subprocess.DEVNULL, stderr=f)
        try:
            lost = self._arrives(damage, name, process)
            process.terminate()
            self.case.equal(process.wait(10), 0, 'exit code')
            found = ledger(os.path.join(runtime, 'ring'))
            self.case.equal(waiting(found), 0, 'points that wait at the end')
            with open(log, errors='replace') as f:
                self.case.equal(re.findall(daemon.REPORTS, f.read(), re.M), [], 'what the sanitizer says')
        except Failed as e:
            with open(log, errors='replace') as f:
                raise Failed('%s: %s\nring: %s\ngap records: %s\n%s' % (damage.name, e, ledger(os.path.join(runtime, 'ring')),
                                                                       self.w.server.count(name)['gaps'], f.read())) from None
        finally:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        return lost

    def _arrives(self, damage, name, process):
        """Waits until what came and what is told as lost are what was made; the latter."""
        end = time.monotonic() + SECONDS * daemon.SLOW
        while True:
            count = self.w.server.count(name)
            lost = sum(int(g['value']['dropped']) for g in count['gaps'])
            if count['stored'] + lost >= self.points or time.monotonic() > end or process.poll() is not None:
                break
            time.sleep(.05)
        self.case.check(process.poll() is None, 'the daemon ended with %s', process.returncode)
        self.case.equal(count['stored'] + lost, self.points, 'points stored (%d) and told as lost (%d)' % (count['stored'], lost))
        self.case.check(lost <= damage.allowed, '%d points lost, %d stood there', lost, damage.allowed)
        self.case.equal(count['reordered'], 0, 'inversions')
        self.total.add(Result(self.points, count))
        return lost


def damage(case, o):
    w = World(case, o.mqtt, batch_interval=.1, store_after=1)
    segment, blocks, points = make_template(case, w)
    size = os.path.getsize(os.path.join(w.state, segment))
    case.note('a segment of %d bytes, %d points in blocks: %s', size, points, blocks)
    todo = list(damages(size, blocks))
    if o.short:
        todo = todo[o.seed % (len(todo) // SHORT_TRIALS)::len(todo) // SHORT_TRIALS]
    trials = Trials(case, w, segment, points)
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        futures = {pool.submit(trials.run, d, n): d for n, d in enumerate(todo)}
        for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
            try:
                trials.costs[futures[future].name.split()[0], future.result()] += 1
            except Failed as e:
                wrong.append(str(e))
                case.note('FAILED: %s', e)
            if number % 100 == 0:
                case.note('%d of %d trials, %d failed', number, len(todo), len(wrong))
    case.result = trials.total
    for (kind, cost), times in sorted(trials.costs.items()):
        case.note('%s: %d times %d points lost', 'a byte inverted' if kind == 'byte' else 'cut', times, cost)
    case.check(not wrong, '%d of %d trials failed', len(wrong), len(todo))
    case.note('held: %d starts of %d, never more lost than the blocks that were hit, and every loss told exactly', len(todo),
              len(todo))
