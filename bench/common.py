# SPDX-License-Identifier: Apache-2.0
"""Shared by the benchmarks: a broker, the daemon of a build tree, and what /proc says of processes."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_until(condition, seconds, what, step=.05):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError('waited %g s for %s' % (seconds, what))
        time.sleep(step)


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), .5):
        return True
    return False


@contextlib.contextmanager
def running(command, **kw):
    """A process that is ended orderly at the end of the block."""
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, **kw)
    try:
        yield p
    finally:
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


@contextlib.contextmanager
def scratch(parent=None):
    d = tempfile.mkdtemp(prefix='tbagent-bench.', dir=parent)
    os.chmod(d, 0o755)
    try:
        yield d
    finally:
        shutil.rmtree(d, ignore_errors=True)


def make_certificate(folder):
    """Signs itself; FOLDER/cert.pem and FOLDER/key.pem, which mosquitto's user may read."""
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
                    'subjectAltName=IP:127.0.0.1', '-keyout', folder + '/key.pem', '-out', folder + '/cert.pem'],
                   check=True, stderr=subprocess.DEVNULL)
    os.chmod(folder + '/key.pem', 0o644)


@contextlib.contextmanager
def mosquitto(folder, tls=False):
    port = free_port()
    conf = os.path.join(folder, 'mosquitto.conf')
    with open(conf, 'w') as f:
        f.write('listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nsys_interval 1\n' % port)
        if tls:
            make_certificate(folder)
            f.write('certfile %s/cert.pem\nkeyfile %s/key.pem\n' % (folder, folder))
    with running(['/usr/sbin/mosquitto', '-c', conf], stderr=subprocess.DEVNULL):
        wait_until(lambda: answers(port), 10, 'mosquitto')
        yield port


def plugin_dirs(build):
    return ':'.join(os.path.join(build, d, '.libs') for d in ('plugins/system', 'plugins/exec', 'plugins/onewire', 'plugins/i2c', 'tests/plugins'))


@contextlib.contextmanager
def tbagent(build, folder, port, instances, more='', wrap=(), tls=False):
    """The daemon with these instances; yields the process, whose log is FOLDER/tbagent.log."""
    conf = os.path.join(folder, 'tbagent.conf')
    state = tempfile.mkdtemp(dir=folder)
    with open(os.open(conf, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as f:
        f.write('server = { url = "%s://127.0.0.1:%d"; token = "bench"; %s };\nclock = "system";\n%s\nplugins = {\n%s};\n' % (
            'mqtts' if tls else 'mqtt', port, 'ca = "%s/cert.pem";' % folder if tls else '', more, instances))
    with contextlib.ExitStack() as stack:
        runtime = stack.enter_context(scratch('/dev/shm'))     # a tmpfs, as /run is
        command = [*wrap, os.path.join(build, 'tbagent'), '--config', conf, '--state-dir', state, '--runtime-dir', runtime,
                   '--plugin-dir', plugin_dirs(build), '--host', os.path.join(build, 'tbagent-plugin-host')]
        log = stack.enter_context(open(os.path.join(folder, 'tbagent.log'), 'w'))
        yield stack.enter_context(running(command, stderr=log, stdout=log))


def made(folder):
    with open(os.path.join(folder, 'tbagent.log')) as f:
        found = re.search(r'stopped: (\d+) values made, (\d+) acknowledged', f.read())
    return tuple(map(int, found.groups())) if found else (0, 0)


def children(pid):
    out = [pid]
    for task in os.listdir('/proc/%d/task' % pid):
        with contextlib.suppress(OSError), open('/proc/%d/task/%s/children' % (pid, task)) as f:
            for c in f.read().split():
                out += children(int(c))
    return out


def name_of(pid):
    with open('/proc/%d/comm' % pid) as f:
        return f.read().strip()


def cpu_ns(pids):
    """Time on a CPU, user and system, of all threads that live."""
    total = 0
    for pid in pids:
        for task in os.listdir('/proc/%d/task' % pid):
            with contextlib.suppress(OSError), open('/proc/%d/task/%s/schedstat' % (pid, task)) as f:
                total += int(f.read().split()[0])
    return total


def bytes_sent(port):
    """TCP payload bytes that clients have sent to the broker."""
    out = subprocess.run(['ss', '-Htin', 'dport', '=', ':%d' % port], capture_output=True, text=True).stdout
    return sum(map(int, re.findall(r'bytes_sent:(\d+)', out)))
