# SPDX-License-Identifier: Apache-2.0
"""Boots one machine for each test, watches it, and prints what came of it as one TAP stream.

    vm.py SUITE:IMAGE:DEBS:MODULES... -- [TEST...]     (run calls it so; an empty image: the suite could not be prepared)

The suites run side by side: a machine waits a good part of its time, and its boot keeps one processor busy.

A machine is an emulated PC (never KVM: what passes for one need not run a Debian kernel) with a private copy of the image's
disk in memory, a 9p folder `rig` through which tests go in and results come out, no network, and where a test wants one a
second disk, which is the only thing that a next phase finds again. Whatever happens inside has a bound in time: a machine
that is over it is killed, and the last that its console said is shown."""
import collections
import concurrent.futures
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

SLOW = float(os.environ.get('TBAGENT_SLOW', 1))
BOOT_SECONDS = 180 * SLOW   # also for the installation; idle it takes a tenth
END_SECONDS = 30 * SLOW
Machine = collections.namedtuple('Machine', 'suite image debs modules')
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


def read(path):
    try:
        with open(path, encoding='utf8', errors='replace') as f:
            return f.read()
    except OSError:
        return ''


class Run:
    """One phase of a test in one machine. Afterwards: output, status (None: it did not end), notes."""

    def __init__(self, machine, name, settings, phase, folder):
        self.folder, self.settings = folder, settings
        self.share = os.path.join(folder, 'share')
        self.out = os.path.join(self.share, 'out')
        self.console = os.path.join(folder, 'console')
        self.notes = []
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        with open(os.path.join(self.share, 'job'), 'w') as f:
            f.write('name=%s\nphase=%s\nseconds=%d\ndisk=%s\nexport TBAGENT_SLOW=%g\n' % (
                name, phase if settings.phases > 1 else '', settings.timeout, settings.disk, SLOW))
        began = time.monotonic()
        qemu = subprocess.Popen(self._command(machine.image), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)
        try:
            self._watch(qemu, began)
        finally:
            qemu.kill()
            complaints = qemu.communicate()[1]
        self.output = read(os.path.join(self.out, 'output'))
        status = read(os.path.join(self.out, 'status')).strip()
        self.status = int(status) if status else None
        self.notes.append('%.1f s; booted after %s s, package installed after %s s' % (
            time.monotonic() - began, self._file('booted') or '?', self._file('installed') or '?'))
        if self.status is None and not self.was_cut:
            self.notes += complaints.splitlines()[-5:] + self._file('install').splitlines()[-10:]
            self.notes += ['console: ' + line for line in read(self.console).splitlines()[-25:]]
        self.notes += ['journal: ' + line for line in self._file('journal').splitlines()[-40:]]

    def _file(self, name):
        return read(os.path.join(self.out, name)).strip()

    def _command(self, image):
        append = 'console=ttyS0 quiet panic=-1 systemd.show_status=0 mitigations=off'
        command = [
            'setpriv', '--pdeathsig', 'KILL', 'qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2',
            '-m', '1024', '-M', 'q35', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
            '-kernel', os.path.join(image, 'vmlinuz'), '-initrd', os.path.join(image, 'initrd.gz'), '-serial', 'file:' + self.console,
            '-drive', 'file=%s,format=raw,if=virtio,snapshot=on,cache=unsafe' % os.path.join(image, 'disk.img'),
            '-fsdev', 'local,id=rig,path=%s,security_model=none' % self.share, '-device', 'virtio-9p-pci,fsdev=rig,mount_tag=rig']
        if self.settings.disk:
            command += ['-drive', 'file=%s,format=raw,if=virtio' % os.path.join(self.folder, 'disk')]
        if self.settings.clock == 'none':     # as on a Raspberry Pi: it starts in the past, and there is nothing to read
            append += ' initcall_blacklist=cmos_init'
            command += ['-rtc', 'base=2020-01-01']
        return command + ['-append', append]

    def _watch(self, qemu, began):
        """Until the machine is off, asks to have its power cut, or is late."""
        self.was_cut = False
        end = began + BOOT_SECONDS
        started = False
        while qemu.poll() is None:
            if not started and self._file('installed'):
                started, end = True, time.monotonic() + self.settings.timeout + END_SECONDS
            within = self._file('cut')
            if within:
                self._cut(qemu, float(within))
                return
            if time.monotonic() > end:
                self.notes.append('killed: %s' % ('it does not end' if started else 'it does not boot'))
                return
            time.sleep(.05)

    def _cut(self, qemu, within):
        moment = random.uniform(0, within)
        try:
            qemu.wait(moment)
            self.notes.append('it ended before its power was cut')
        except subprocess.TimeoutExpired:
            qemu.kill()
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


def one_test(tap, machine, name):
    settings = Settings(name)
    if machine.suite not in settings.suites:
        tap.comment('%s is not for %s' % (name, machine.suite))
        return
    with tempfile.TemporaryDirectory(prefix='tbagent-rig.', dir='/var/tmp') as folder:
        folders.add(folder)
        share = os.path.join(folder, 'share')
        shutil.copytree(TESTS, os.path.join(share, 'tests'), ignore=shutil.ignore_patterns('fuzz', 'unit', '__pycache__'))
        os.mkdir(os.path.join(share, 'keep'))
        shutil.copytree(machine.debs, share, dirs_exist_ok=True, ignore=shutil.ignore_patterns('*-dev_*', '*-dbgsym_*'))
        shutil.copytree(machine.modules, os.path.join(share, 'modules'))
        if settings.disk:
            ext4.make(os.path.join(folder, 'disk'), settings.disk)
        for phase in range(1, settings.phases + 1):
            title = '%s: %s' % (machine.suite, name) + (', phase %d' % phase if settings.phases > 1 else '')
            print('%s == %s' % (time.strftime('%T'), title), file=sys.stderr, flush=True)
            run = Run(machine, name, settings, phase, folder)
            with tap.lock:
                if not tap.phase(title, run):
                    break
        folders.remove(folder)


def one_suite(tap, machine, names):
    if not machine.image:
        tap.result(False, '%s: the machine could not be prepared' % machine.suite)
        return
    for name in names:
        one_test(tap, machine, name)


def give_up(*_):
    """The machines end with this process."""
    for folder in list(folders):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main(arguments):
    middle = arguments.index('--')
    machines = [Machine(*a.split(':')) for a in arguments[:middle]]
    names = arguments[middle + 1:] or sorted(os.listdir(os.path.join(HERE, 'guest')))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, give_up)
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
