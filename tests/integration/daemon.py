# SPDX-License-Identifier: Apache-2.0
"""The real daemon as a test sees it: its configuration, its log line by line, its counts when it stops.

Where things are comes from the environment that `make check` sets; a test started by hand needs only
TBAGENT_BUILDDIR. TBAGENT_WRAP goes before the daemon's command and TBAGENT_HOST_WRAP before a plugin host's
(valgrind --quiet); TBAGENT_SLOW multiplies every time that is waited for."""
import collections
import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'thingsboard'))
from standin import Standin  # noqa: E402
from tap import Failed, Skipped  # noqa: E402

BUILD = os.environ.get('TBAGENT_BUILDDIR', TOP)
BIN = os.environ.get('TBAGENT_BIN', os.path.join(BUILD, 'tbagent'))
HOST = os.environ.get('TBAGENT_HOST', os.path.join(BUILD, 'tbagent-plugin-host'))
TEST_PLUGINS = os.environ.get('TBAGENT_PLUGINS', os.path.join(BUILD, 'tests', 'plugins', '.libs'))
PLUGIN_TREE = os.environ.get('TBAGENT_PLUGIN_TREE', os.path.join(BUILD, 'plugins'))
PRELOAD = os.path.join(BUILD, 'tests', 'preload', '.libs')
WRAP = shlex.split(os.environ.get('TBAGENT_WRAP', ''))
HOST_WRAP = os.environ.get('TBAGENT_HOST_WRAP')

STOPPED = re.compile(r'stopped: (\d+) values made, (\d+) acknowledged, (\d+) waiting, (\d+) dropped; longest turn ([\d.]+) ms')
REPORTS = r'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|^==\d+== '
Counts = collections.namedtuple('Counts', 'made acknowledged waiting dropped turn')
TURN_MAX = 50   # ms
NO_BUS = {'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent/bus'}     # no test meets the bus of its machine


def _sanitizer():
    with open(BIN, 'rb') as f:
        data = f.read()
    return next((s for s in ('asan', 'tsan') if ('__%s_init' % s).encode() in data), None)


SANITIZER = _sanitizer()
SLOW = float(os.environ.get('TBAGENT_SLOW', 3 if SANITIZER else 1))


def plugin_dirs():
    tree = [os.path.join(PLUGIN_TREE, name, '.libs') for name in sorted(os.listdir(PLUGIN_TREE))]
    return ':'.join([d for d in tree if os.path.isdir(d)] + [TEST_PLUGINS])


def options(folder):
    """What every call of tbagent needs to find its parts in the build tree."""
    return ['--plugin-dir', plugin_dirs(), '--host', host(folder), '--state-dir', os.path.join(folder, 'state'),
            '--runtime-dir', os.path.join(folder, 'run')]


def host(folder):
    """The plugin host, or a script that runs it within what TBAGENT_HOST_WRAP says, without a memory limit."""
    if not HOST_WRAP:
        return HOST
    text = '#!/bin/sh\nTBAGENT_SANITIZED=1 exec %s %s "$@"\n' % (HOST_WRAP, shlex.quote(HOST))
    return write(os.path.join(folder, 'host'), text, 0o755)


def write(path, text, mode=0o600):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), 'w', encoding='utf8') as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def config(instances, url=None, token='token', server='', telemetry='batch_interval = "200ms";', more=''):
    """The text of a configuration; without a URL it has no server."""
    text = 'server = { url = "%s"; token = "%s"; %s };\n' % (url, token, server) if url else ''
    return '%sclock = "system";\ntelemetry = { %s };\n%s\nplugins = {\n%s\n};\n' % (text, telemetry, more, instances)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_for(condition, seconds, what):
    """The first true value of condition(); raises when there is none in time."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed('waited %g s for %s' % (seconds * SLOW, what))
        time.sleep(.03)


def preload(name):
    """LD_PRELOAD with a library of tests/preload; the address sanitizer insists on being first."""
    library = os.path.join(PRELOAD, name + '.so')
    if not os.path.exists(library):
        raise Skipped('%s is not built' % library)
    if SANITIZER == 'tsan':
        raise Skipped('a thread sanitizer build takes no LD_PRELOAD')
    if SANITIZER is None:
        return library
    needed = subprocess.run(['ldd', BIN], capture_output=True, text=True).stdout
    found = re.search(r'\S+libasan\S+(?= \()', needed)
    if not found:
        raise Skipped('the sanitizer of this compiler takes no LD_PRELOAD')
    return found.group() + ' ' + library


def children(pid):
    """Processes that pid started, and theirs."""
    out = []
    with contextlib.suppress(OSError):
        for task in os.listdir('/proc/%d/task' % pid):
            with open('/proc/%d/task/%s/children' % (pid, task)) as f:
                for child in map(int, f.read().split()):
                    out += [child] + children(child)
    return out


def is_alive(pid):
    with contextlib.suppress(OSError), open('/proc/%d/stat' % pid) as f:
        return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    return False


class Daemon:
    """Starts tbagent; a context manager that leaves nothing running and, after a failure, shows the log."""

    def __init__(self, case, text, name='tbagent', more_options=(), env=None, conf=None, reports=REPORTS,
                 manager=None):
        self.case, self.reports = case, reports      # reports: lines of a sanitizer or valgrind that are a failure
        self.folder = case.folder
        self.conf = conf or os.path.join(case.folder, name + '.conf')
        if text is not None:
            write(self.conf, text)
        self.lines, self.seen = [], []
        self.news = threading.Condition()
        # manager: what systemd does for it (manager.py)
        before, given, fds = manager.before_start() if manager else ((), {}, ())
        self.process = subprocess.Popen(
            [*before, *WRAP, BIN, '--config', self.conf, *options(case.folder), *more_options], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env={**os.environ, **NO_BUS, **given, **(env or {})}, cwd=case.folder, pass_fds=fds)
        self.pid = self.process.pid
        self.started = time.time()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for raw in self.process.stderr:
            line = raw.decode('utf8', 'replace').rstrip('\n')
            with self.news:
                self.lines.append(re.sub(r'^tbagent: ', '', line))
                self.seen.append(time.monotonic())
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(5)
        self.process.stderr.close()
        if kind is not None and kind is not Skipped:
            self.case.note('the log of %s, which ended with %d:', self.conf, self.process.returncode)
            for line in self.lines[-60:]:
                self.case.note('%s', '    ' + line)

    # -- the log -------------------------------------------------------------------------------------------------
    def mark(self):
        """Where the log is now: an `after` for the calls below."""
        with self.news:
            return len(self.lines)

    def matching(self, pattern, after=0):
        with self.news:
            return [line for line in self.lines[after:] if re.search(pattern, line)]

    def wait_for_line(self, pattern, seconds=10, after=0):
        """The first such line; raises when none comes in time or the daemon ends before."""
        end = time.monotonic() + seconds * SLOW
        with self.news:
            while True:
                found = next((line for line in self.lines[after:] if re.search(pattern, line)), None)
                if found is not None:
                    return found
                left = end - time.monotonic()
                if left <= 0 or not self.reader.is_alive():
                    raise Failed('no line /%s/ %s' % (pattern, 'in %g s' % (seconds * SLOW) if left <= 0 else 'before the end'))
                self.news.wait(min(left, .5))

    def connected(self, seconds=10, after=0):
        return self.wait_for_line(r'^connected to ', seconds, after)

    # -- the end -------------------------------------------------------------------------------------------------
    def wait(self, seconds=10):
        """The exit code, when it ends by itself."""
        try:
            code = self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed('still runs after %g s' % (seconds * SLOW)) from None
        self.reader.join(5)
        reports = self.reports and self.matching(self.reports)
        if reports:
            raise Failed(reports[0])
        return code

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def counts(self):
        """What the last line says."""
        found = [STOPPED.search(line) for line in self.lines]
        found = [f for f in found if f]
        if not found:
            raise Failed('the daemon did not say what it made')
        return Counts(*map(int, found[-1].groups()[:4]), float(found[-1].group(5)))

    def stop(self, within=2):
        """SIGTERM; it must end with 0 in time and leave no process. Returns what it counted."""
        others = children(self.pid)
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.wait(15)
        took = time.monotonic() - began
        if code != 0:
            raise Failed('ended with %d' % code)
        if took > within * SLOW:
            raise Failed('took %.1f s to stop' % took)
        wait_for(lambda: not any(map(is_alive, others)), 3, 'the end of processes %s' % others)
        return self.counts()


def sums(option, path):
    """The first line of tbagent --ring FILE or --segments DIR."""
    done = subprocess.run([BIN, option, path], capture_output=True, text=True, timeout=60)
    if done.returncode != 0 or not done.stdout:
        raise Failed('tbagent %s: %d %s' % (option, done.returncode, done.stderr))
    return {k: int(v) for k, v in re.findall(r'(\w+)=(\d+)', done.stdout.splitlines()[0])}


def ring(case):
    return sums('--ring', os.path.join(case.folder, 'run', 'ring'))


def waiting(case):
    """Values that are neither at the server nor dropped."""
    found = ring(case)
    return found['made'] - found['acked'] - found['dropped'] - found['rejected']


def longest_turn(case, counts):
    """Notes the figure and holds it to the promise where nothing but the daemon itself slows it down."""
    case.note('longest turn of the loop %.1f ms', counts.turn)
    if SLOW == 1:
        case.check(counts.turn < TURN_MAX, 'the loop was busy for %.1f ms at once', counts.turn)


def standin(case, *arguments):
    """A stand-in server with the device `d`: (server, url, token)."""
    server = case.using(Standin('--settle', '0.02', '--store-delay', '0.02', *arguments))
    return server, 'mqtt://127.0.0.1:%d' % server.mqtt, server.create_device('d')


def start(case, text, **more):
    return case.using(Daemon(case, text, **more))


def settled(case, server, counts, device='d', in_order=True):
    """After a stop: nothing waits, and the server has just what was made. Returns the server's count. Not in order: rows
    went to the disk meanwhile, and what is new overtakes them."""
    case.equal((counts.acknowledged, counts.waiting, counts.dropped), (counts.made, 0, 0),
               'acknowledged, waiting, dropped of %d made' % counts.made)
    server.wait(lambda: server.count(device)['stored'] >= counts.made, 3)   # it stores after the PUBACK
    count = server.count(device)
    case.note('%d values made, %d stored, %d lost, %d twice', counts.made, count['stored'], counts.made - count['stored'],
              count['duplicated'])
    case.equal(count['stored'], counts.made, 'values stored')
    if in_order:
        case.equal(count['reordered'], 0, 'values out of order')
    case.equal(count['gaps'], [], 'gap records')
    return count


def holes(values):
    """Of a counter's values: how many are missing between the first and the last."""
    return sorted(set(range(min(values), max(values) + 1)) - set(values)) if values else []
