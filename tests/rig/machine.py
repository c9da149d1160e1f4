# SPDX-License-Identifier: Apache-2.0
"""For the tests of guest/, which run as root in a machine of their own: the service as systemd has it, its configuration,
where things are."""
import contextlib
import glob
import os
import shutil
import subprocess
import sys
import time

RIG = '/rig'
SLOW = float(os.environ.get('TBAGENT_SLOW', 1))     # multiplies every time that is waited for
KEEP = RIG + '/keep'            # what the next phase finds again, and the disk, if there is one
DISK = '/disk'
STATE = '/var/lib/tbagent'
RUNTIME = '/run/tbagent'
CONFIG = '/etc/tbagent.conf.d/rig.conf'
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, 'integration'), os.path.join(TESTS, 'thingsboard')]
from tap import Failed  # noqa: E402


def run(*command, **more):
    """What the command prints; raises when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise Failed('%s: exit status %d: %s' % (' '.join(command), done.returncode, done.stdout.strip()))
    return done.stdout


def succeeds(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def wait_for(condition, seconds, what):
    """The first true value of condition(); raises when there is none in time."""
    end = time.monotonic() + seconds * SLOW
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed('waited %g s for %s' % (seconds * SLOW, what))
        time.sleep(max(.1, 2 * (time.monotonic() - began)))     # who looks must not take the processor from what it looks at


def service(what):
    """A property of the unit: MainPID, StatusText, ..."""
    return run('systemctl', 'show', '-p', what, '--value', 'tbagent').strip()


def journal(*more):
    return run('journalctl', '-u', 'tbagent', '-b', '--no-pager', '-o', 'cat', *more).splitlines()


class Journal:
    """For those who look again and again: journalctl takes an emulated processor a while, so it is asked where a file has
    changed since. A line may be there a quarter of a second late."""
    seen, lines = None, []

    @classmethod
    def now_and_then(cls):
        seen = []
        for f in glob.glob('/run/log/journal/*/*.journal') + glob.glob('/var/log/journal/*/*.journal'):
            with contextlib.suppress(FileNotFoundError):        # it was just put aside for a new one
                seen.append(os.stat(f).st_mtime_ns)
        if seen != cls.seen or not seen:
            cls.seen, cls.lines = seen, journal()
        return cls.lines


def configure(text, token='token'):
    """Writes the configuration and the token; the service takes them when it starts."""
    for path, content in ((CONFIG, text), ('/etc/tbagent.token', token + '\n')):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), 'w', encoding='utf8') as f:
            f.write(content)
        shutil.chown(path, 'root', 'tbagent')


def add_plugin(name):
    """Makes a plugin of tests/plugins one of the installed ones."""
    folder, = glob.glob('/usr/lib/*/tbagent/plugins')
    shutil.copy('%s/plugins/%s.so' % (RIG, name), folder)


def state_on_disk():
    """Puts the service's state folder on the disk that survives a power cut, and forgets what it did since it was installed.
    It has to be stopped."""
    for name in os.listdir(RUNTIME):
        path = os.path.join(RUNTIME, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    folder = os.path.join(DISK, 'state')
    os.makedirs(folder, exist_ok=True)
    run('mount', '--bind', folder, STATE)


def cut_power(within):
    """Has the machine killed at a random moment of the next so many seconds."""
    with open(RIG + '/out/cut.part', 'w') as f:
        f.write(str(within))
    os.rename(RIG + '/out/cut.part', RIG + '/out/cut')
