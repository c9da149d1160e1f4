# SPDX-License-Identifier: Apache-2.0
"""Boots one machine for each test, watches it, and prints what came of it as one TAP stream.

    vm.py --save SUITE:IMAGE:DEBS:MODULES FOLDER
    vm.py SUITE:IMAGE:DEBS:MODULES:SAVED... -- [TEST...]     (run calls it so; nothing saved: the suite could not be prepared)

The suites run side by side: a machine waits a good part of its time.

A machine (qemu.py) is an emulated PC. Booting it and installing the package takes longer than most tests: that is done once, and
the machine saved (--save). Tests go on from there, each in a copy; those that want a disk or a clock of their own boot the saved
disk. A test's own disk is the only thing that its next phase finds again. Whatever happens inside has a bound in time: a machine
that is over it is killed, and the last that its console said is shown."""
import collections
import concurrent.futures
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(TESTS, 'faults'))
import ext4  # noqa: E402
from qemu import Qemu  # noqa: E402

SLOW = float(os.environ.get('TBAGENT_SLOW', 1))
BOOT_SECONDS = 180 * SLOW   # also for the installation; idle it takes a tenth
END_SECONDS = 30 * SLOW
Machine = collections.namedtuple('Machine', 'suite image debs modules saved', defaults=[''])
folders = set()             # in use


class Settings:
    """What the line `# rig: name=value...` in a test's first lines says."""

    def __init__(self, name):
        self.values = {'suites': 'bookworm,trixie', 'timeout': '120', 'disk': '', 'phases': '1', 'clock': 'rtc'}
        with open(os.path.join(HERE, 'guest', name), encoding='utf8') as f:
            for line in f.readlines()[:10]:
                if line.startswith('# rig:'):
                    given = dict(word.split('=', 1) for word in line[6:].split())
                    unknown = set(given) - set(self.values)
                    if unknown:
                        raise ValueError('%s: unknown setting %s' % (name, ', '.join(sorted(unknown))))
                    self.values.update(given)
        self.suites = self.values['suites'].split(',')
        self.timeout = int(self.values['timeout']) * SLOW
        self.disk = self.values['disk']
        self.phases = int(self.values['phases'])
        self.clock = self.values['clock']
        self.own_boot = bool(self.disk) or self.clock != 'rtc'


def read(path):
    try:
        with open(path, encoding='utf8', errors='replace') as f:
            return f.read()
    except OSError:
        return ''


@contextlib.contextmanager
def new_folder():
    with tempfile.TemporaryDirectory(prefix='tbagent-rig.', dir='/var/tmp') as folder:
        folders.add(folder)
        yield folder
        folders.remove(folder)


def save(machine, target):
    """Boots a machine, has the package installed in it and saves it, as disk and state in the folder `target`."""
    began = time.monotonic()
    disk, state = os.path.join(target, 'disk'), os.path.join(target, 'state')
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', os.path.join(machine.image, 'disk.img'), disk],
                   check=True)
    with new_folder() as folder:
        share = make_share(machine, folder, '', seconds=0)
        qemu = Qemu(machine.image, folder, share, disk, keep=True)
        try:
            while not read(os.path.join(share, 'out', 'ready')):
                if qemu.ended() or time.monotonic() > began + BOOT_SECONDS:
                    sys.exit('%s: the machine does not come so far:\n%s' % (machine.suite, '\n'.join(
                        read(os.path.join(share, 'out', 'install')).splitlines()[-5:] + read(qemu.console).splitlines()[-10:])))
                time.sleep(.05)
            qemu.save(state, began + BOOT_SECONDS)
        finally:
            complaints = qemu.end().strip()
        booted, installed, ready = (float(read(os.path.join(share, 'out', name))) for name in ('booted', 'installed', 'ready'))
    print('%s == %s: booted in %.0f s, the package installed in %.0f s, Python compiled in %.0f s, saved in %.0f s, %.0f MB' % (
        time.strftime('%T'), machine.suite, booted, installed - booted, ready - installed, time.monotonic() - began - ready,
        os.path.getsize(state) / 1e6), file=sys.stderr)
    if complaints:
        print(complaints, file=sys.stderr)


def make_share(machine, folder, name, **job):
    """The folder that the guest has as /rig."""
    share = os.path.join(folder, 'share')
    if not os.path.isdir(share):
        shutil.copytree(TESTS, os.path.join(share, 'tests'), ignore=shutil.ignore_patterns('fuzz', 'unit', '__pycache__'))
        os.mkdir(os.path.join(share, 'keep'))
        shutil.copytree(machine.debs, share, dirs_exist_ok=True, ignore=shutil.ignore_patterns('*-dev_*', '*-dbgsym_*'))
        shutil.copytree(machine.modules, os.path.join(share, 'modules'))
    shutil.rmtree(os.path.join(share, 'out'), ignore_errors=True)
    os.makedirs(os.path.join(share, 'out'))
    with open(os.path.join(share, 'job'), 'w') as f:
        f.write('name=%s\nphase=%s\nseconds=%d\ndisk=%s\nexport TBAGENT_SLOW=%g\n' % (
            name, job.get('phase', ''), job['seconds'], job.get('disk', ''), SLOW))
    return share


class Run:
    """One phase of a test in one machine. Afterwards: output, status (None: it did not end), notes."""

    def __init__(self, machine, name, settings, phase, folder):
        self.settings, self.notes = settings, []
        share = make_share(machine, folder, name, phase=phase if settings.phases > 1 else '', seconds=settings.timeout,
                           disk=settings.disk)
        self.out = os.path.join(share, 'out')
        began = time.monotonic()
        qemu = Qemu(machine.image, folder, share, os.path.join(machine.saved, 'disk'), clock=settings.clock,
                    disk=os.path.join(folder, 'disk') if settings.disk else None,
                    state=None if settings.own_boot else os.path.join(machine.saved, 'state'))
        try:
            self._watch(qemu, began)
        finally:
            complaints = qemu.end()
        self.output = self._file('output')
        status = self._file('status')
        self.status = int(status) if status else None
        self.notes.append('%.1f s; started after %.1f s' % (time.monotonic() - began, self.started - began))
        if self.status is None and not self.was_cut:
            self.notes += complaints.splitlines()[-5:]
            self.notes += ['console: ' + line for line in read(qemu.console).splitlines()[-25:]]
        self.notes += ['journal: ' + line for line in self._file('journal').splitlines()[-40:]]

    def _file(self, name):
        return read(os.path.join(self.out, name)).strip()

    def _watch(self, qemu, began):
        """Until the machine is off, asks to have its power cut, or is late."""
        self.was_cut = False
        end = began + BOOT_SECONDS
        self.started = 0
        while not qemu.ended():
            if not self.started and self._file('started'):
                self.started = time.monotonic()
                end = self.started + self.settings.timeout + END_SECONDS
            if not self.started and not self.settings.own_boot:
                qemu.tell_time()
            within = self._file('cut')
            if within:
                self._cut(qemu, float(within))
                return
            if time.monotonic() > end:
                self.notes.append('killed: %s' % ('it does not end' if self.started else 'it does not boot'))
                return
            time.sleep(.05)

    def _cut(self, qemu, within):
        moment = random.uniform(0, within)
        try:
            qemu.process.wait(moment)
            self.notes.append('it ended before its power was cut')
        except subprocess.TimeoutExpired:
            qemu.process.kill()
            self.was_cut = True
            self.notes.append('power cut %.2f s after the sign' % moment)


class Tap:
    """Numbers what all the tests say. Whoever says more than a line at a time holds the lock."""

    def __init__(self):
        self.lock = threading.RLock()
        self.passed = self.failed = 0

    def result(self, good, text):
        with self.lock:
            self.passed, self.failed = self.passed + good, self.failed + (not good)
            print('%s %d - %s' % ('ok' if good else 'not ok', self.passed + self.failed, text), flush=True)

    def comment(self, text):
        print('# ' + text, flush=True)

    def phase(self, title, run):
        """Takes over what a phase printed, TAP or plain, and judges its end. True: it went well."""
        seen, before, plan = 0, self.failed, None       # the lock is held
        for line in run.output.splitlines():
            found = re.match(r'(not )?ok\b[ \d]*(?:- )?(.*)', line)
            if found:
                seen += 1
                self.result(not found.group(1), '%s: %s' % (title, found.group(2)))
            elif line.startswith('1..'):
                plan = line[3:]
            elif line:
                self.comment(re.sub('^# ?', '', line))
        for note in run.notes:
            self.comment(note)
        if run.was_cut:
            self.result(True, title + ': power cut')
        elif run.status is None:
            self.result(False, title + ': did not end')
        elif run.status == 124:
            self.result(False, '%s: took more than %d s' % (title, run.settings.timeout))
        elif plan is not None and plan != str(seen):
            self.result(False, '%s: %d results of %s' % (title, seen, plan))
        elif seen == 0 or (run.status != 0 and self.failed == before):
            self.result(run.status == 0 and plan is None, '%s: exit status %d' % (title, run.status))
        return self.failed == before


def one_test(tap, machine, name, settings):
    with new_folder() as folder:
        if settings.disk:
            ext4.make(os.path.join(folder, 'disk'), settings.disk)
        for phase in range(1, settings.phases + 1):
            title = '%s: %s' % (machine.suite, name) + (', phase %d' % phase if settings.phases > 1 else '')
            print('%s == %s' % (time.strftime('%T'), title), file=sys.stderr, flush=True)
            run = Run(machine, name, settings, phase, folder)
            with tap.lock:
                if not tap.phase(title, run):
                    break


def one_suite(tap, machine, names):
    if not machine.saved:
        tap.result(False, '%s: the machine could not be prepared' % machine.suite)
        return
    for name in names:
        settings = Settings(name)
        if machine.suite in settings.suites:
            one_test(tap, machine, name, settings)


def give_up(*_):
    """The machines end with this process."""
    for folder in list(folders):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main(arguments):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, give_up)
    if arguments[0] == '--save':
        save(Machine(*arguments[1].split(':')), arguments[2])
        return
    middle = arguments.index('--')
    machines = [Machine(*a.split(':')) for a in arguments[:middle]]
    names = arguments[middle + 1:] or sorted(os.listdir(os.path.join(HERE, 'guest')))
    tap = Tap()
    print('TAP version 13')
    with concurrent.futures.ThreadPoolExecutor(len(machines)) as pool:
        for suite in [pool.submit(one_suite, tap, machine, names) for machine in machines]:
            suite.result()
    print('1..%d' % (tap.passed + tap.failed))
    print('%d passed, %d failed' % (tap.passed, tap.failed))
    sys.exit(1 if tap.failed else 0)


if __name__ == '__main__':
    main(sys.argv[1:])
