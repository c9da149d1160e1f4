# SPDX-License-Identifier: Apache-2.0
"""What every fault program has: a stand-in server, a network that may fail, the daemon with folders of its own, and
the counting of DESIGN.md 12.

made: points of rows that got a number, as the ring's ledger has it (`tbagent --ring`). The ring outlives the daemon, so that
is exact also after a `kill -9`; where the ring itself goes (a power cut) it is read before. stored: distinct (key, ms) at the
server. lost = made - stored - what the gap records at the server say - rejected. disk_bytes: what reached the block device
where there is one of its own (tests/faults/ext4.py), else what /proc/PID/io says of the daemon."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), 'integration')]
import daemon  # noqa: E402
import tap  # noqa: E402
from proxy import Proxy  # noqa: E402
from tap import Failed, Skipped  # noqa: E402, F401

DEVICE = 'd'
LOGS_KEPT = 3       # daemons whose log is shown after a failure


class Program(tap.Case):
    """A case that tells what it sees at once."""

    def __init__(self, function, arguments=()):
        super().__init__(function, arguments)
        self.began = time.monotonic()
        self.result = None

    def note(self, text, *arguments):
        for line in (text % arguments if arguments else text).splitlines():
            print('# %6.1f s  %s' % (time.monotonic() - self.began, line), flush=True)


class Result:
    """The last line of a program."""

    def __init__(self, made=0, count=None, rejected=0, disk_bytes=0):
        """count: as the stand-in has it."""
        count = count or dict(stored=0, duplicated=0, reordered_young=0, reordered_old=0, unordered=0, gaps=[])
        self.made, self.rejected, self.disk_bytes = made, rejected, disk_bytes
        self.stored, self.duplicated = count['stored'], count['duplicated']
        self.dropped = sum(int(g['value']['dropped']) for g in count['gaps'])
        self.reordered, self.reordered_old, self.unordered = (count[n] for n in ('reordered_young', 'reordered_old', 'unordered'))

    @property
    def lost(self):
        return self.made - self.stored - self.dropped - self.rejected

    def add(self, other):
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self):
        return ' '.join('%s=%d' % (name, getattr(self, name)) for name in (
            'made', 'stored', 'lost', 'duplicated', 'reordered', 'disk_bytes', 'reordered_old', 'unordered', 'dropped',
            'rejected'))


def load(rate, name='load'):
    """An instance that makes so many points a second: rows of up to 8 keys, ten times a second."""
    per_call, every = (max(1, round(rate / 10)), 100) if rate >= 10 else (1, round(1000 / rate))
    return '  %s = { plugin = "bench"; prefix = "%s_"; every = "%dms"; keys_per_call = %d; };' % (name, name, every, per_call)


def inspected(option, path):
    """What `tbagent --ring FILE` or `--segments DIR` prints: the sums of its first line, and the other lines. Its exit code
    is no matter: it also tells of what is damaged, or changes while it is read."""
    found = subprocess.run([daemon.BIN, option, path], capture_output=True, text=True, timeout=60)
    lines = found.stdout.splitlines()
    if not lines:
        raise Failed('tbagent %s %s: %s' % (option, path, found.stderr.strip() or found.returncode))
    return {name: int(value) for name, value in (word.split('=') for word in lines[0].split())}, lines[1:]


def ledger(path):
    """The sums of a ring: made, acked, dropped, rejected, gap (told at the server) ..., all in points."""
    return inspected('--ring', path)[0]


def waiting(found):
    """Points that are neither at the server nor gone, and those whose loss is not told there yet."""
    return found['made'] - found['acked'] - found['dropped'] - found['rejected'] + max(0, found['dropped'] - found['gap'])


class World:
    """A server with the device `d`, the link to it, and one daemon at a time."""

    def __init__(self, case, mqtt='5', batch_interval=1.0, store_after=5.0, telemetry='', disk=None):
        self.case, self.mqtt, self.disk = case, mqtt, disk
        self.batch_interval, self.store_after = batch_interval, store_after
        times = 'batch_interval = "%dms"; store_after = "%dms"; ' % (batch_interval * 1000, store_after * 1000)
        self.telemetry = times + telemetry
        self.server, _, self.token = daemon.standin(case, '--young', str(store_after + 2))
        self.link = case.using(Proxy(self.server.mqtt))
        self.state = os.path.join(disk.path, 'state') if disk else tempfile.mkdtemp(prefix='state.', dir=case.folder)
        os.makedirs(self.state, exist_ok=True)
        self.runtime = case.using(scratch_in_memory())
        self.daemon, self.daemons, self.number, self.disk_bytes = None, [], 0, 0
        self.disk_before = disk.written_bytes() if disk else 0
        case.using(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for d in self.daemons:
            d.__exit__(*error)

    # -- the daemon ---------------------------------------------------------------------------------------------
    def start(self, instances='', env=None):
        """The daemon with these instances on the same folders as before."""
        self.number += 1
        text = daemon.config(instances, 'mqtt://127.0.0.1:%d' % self.link.port, self.token, 'protocol = "%s";' % self.mqtt,
                             self.telemetry)
        if len(self.daemons) == LOGS_KEPT:
            self.daemons.pop(0).__exit__(None)
        self.daemon = daemon.Daemon(self.case, text, name='tbagent-%d' % self.number, env=env, more_options=(
            '--state-dir', self.state, '--runtime-dir', self.runtime))
        self.daemons.append(self.daemon)
        return self.daemon

    def _count_bytes(self):
        with contextlib.suppress(OSError), open('/proc/%d/io' % self.daemon.pid) as f:
            self.disk_bytes += int(re.search(r'^write_bytes: (\d+)', f.read(), re.M).group(1))

    def kill(self):
        """kill -9; when it is gone. Until then it must have been well."""
        self._count_bytes()
        self.case.check(self.daemon.process.poll() is None, 'the daemon ended by itself with %s', self.daemon.process.returncode)
        self.daemon.process.send_signal(signal.SIGKILL)
        self.daemon.process.wait()
        self.case.equal(self.daemon.matching(daemon.REPORTS), [], 'what the sanitizer says')

    def stop(self):
        self._count_bytes()
        return self.daemon.stop()

    @property
    def ring_path(self):
        return os.path.join(self.runtime, 'ring')

    def ledger(self):
        return ledger(self.ring_path)

    def waiting(self):
        return waiting(self.ledger())

    # -- the server ---------------------------------------------------------------------------------------------
    def count(self, prefix=''):
        return self.server.count(DEVICE, prefix)

    def stored(self):
        return self.count()['stored']

    def arrives(self, more=1, seconds=30):
        """Waits until the server got so many further points."""
        have = self.stored()
        daemon.wait_for(lambda: self.stored() >= have + more, seconds, '%d further points at the server' % more)

    def pause(self, seconds, what, until=None):
        """Lets time pass (until: ends it early), with a word every ten seconds."""
        end, told = time.monotonic() + seconds, time.monotonic() + 10
        while time.monotonic() < end and not (until and until()):
            time.sleep(max(0, min(.3, end - time.monotonic())))
            if time.monotonic() >= told:
                told += 10
                self.case.note('%s: %.0f s left, %d points made, %d stored', what, end - time.monotonic(), self.ledger()['made'],
                               self.stored())

    def drain(self, seconds=120):
        """After a stop: what still waits is sent by a daemon that samples nothing. Then nothing must wait."""
        if self.waiting():
            self.case.note('%d points wait, sending them', self.waiting())
            self.start()
            self.pause(seconds, 'sending', until=lambda: not self.waiting())
            self.stop()
        self.case.equal(self.waiting(), 0, 'points that still wait')

    def result(self, made=None):
        """Counts once all is sent. made: where it was read before."""
        made = self.ledger()['made'] if made is None else made
        daemon.wait_for(lambda: self.server.stats()['store_queue'] == 0, 20, 'the server to store what it has')
        count, rejected = self.count(), self.ledger()['rejected']
        for gap in count['gaps']:
            self.case.note('gap record: %s', gap['value'])
        disk_bytes = self.disk.written_bytes() - self.disk_before if self.disk else self.disk_bytes
        self.case.result = Result(made, count, rejected, disk_bytes)
        return self.case.result

    def finish(self, seconds=120):
        """Stops the daemon, lets the rest arrive, counts."""
        self.stop()
        self.drain(seconds)
        return self.result()


@contextlib.contextmanager
def scratch_in_memory():
    """A folder on tmpfs, as /run is."""
    if not os.path.isdir('/dev/shm'):
        raise Skipped('needs /dev/shm')
    folder = tempfile.mkdtemp(prefix='tbagent-run.', dir='/dev/shm')
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_order(case, result):
    """New rows may overtake those that waited, but each of both come in order."""
    case.equal(result.reordered_old, 0, 'inversions among rows that waited')
    case.equal(result.unordered, 0, 'rows out of the order of both lanes')


def none_lost(case, result):
    """What most programs promise."""
    case.equal(result.lost, 0, 'points lost')
    case.equal((result.dropped, result.rejected), (0, 0), 'points dropped and rejected')
    in_order(case, result)
    case.note('held: 0 of %d points lost, each lane in order', result.made)
