# SPDX-License-Identifier: Apache-2.0
"""Runs cases side by side and prints TAP: one line a case, and as comments what it saw.

    def things_work(case):
        '''what is shown'''
        case.note('%d rows', 7)
        case.check(7 == 7, 'why not')

    tap.main([things_work, ...], parallel=4)"""
import concurrent.futures
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback


class Failed(Exception):
    """A check that did not hold."""


class Skipped(Exception):
    """The case cannot be shown here; the text says why."""


class Case:
    """What a case has for itself: a scratch folder, notes, and things to close at its end."""

    def __init__(self, function, arguments=()):
        self.function, self.arguments = function, arguments
        self.name = (function.__doc__ or function.__name__).strip().split('\n')[0] % tuple(arguments)
        self.notes = []
        self.stack = contextlib.ExitStack()
        self.folder = None

    def note(self, text, *arguments):
        self.notes += (text % arguments if arguments else text).splitlines()

    def check(self, condition, text, *arguments):
        if not condition:
            raise Failed(text % arguments if arguments else text)

    def equal(self, seen, wanted, what):
        self.check(seen == wanted, '%s: %r instead of %r', what, seen, wanted)

    def using(self, manager):
        return self.stack.enter_context(manager)

    def _scratch(self):
        self.folder = tempfile.mkdtemp(prefix='tbagent-test.')
        os.chmod(self.folder, 0o755)
        if not os.environ.get('TBAGENT_KEEP'):
            self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        if os.access('/dev/shm', os.W_OK):      # folder/run is in memory, as /run is: a mapped file on a disk stalls its writer
            memory = tempfile.mkdtemp(prefix='tbagent-run.', dir='/dev/shm')
            os.symlink(memory, os.path.join(self.folder, 'run'))
            self.stack.callback(shutil.rmtree, memory, ignore_errors=True)

    def run(self):
        """The TAP line, without number, and whether it failed."""
        began = time.monotonic()
        result = ''
        try:
            with self.stack:
                self._scratch()
                self.function(self, *self.arguments)
        except Skipped as e:
            result = ' # SKIP %s' % e
        except Failed as e:
            result = None
            self.note('failed: %s', e)
        except Exception:
            result = None
            self.note(traceback.format_exc())
        self.note('%.1f s', time.monotonic() - began)
        return result


def chosen(cases, words):
    """Those whose name holds one of the words; all without words."""
    return [c for c in cases if not words or any(w in c.name for w in words)]


def main(functions, parallel=1):
    """functions: functions, or tuples of one and its arguments. Words on the command line choose cases."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cases = chosen([Case(f[0], f[1:]) if isinstance(f, tuple) else Case(f) for f in functions], sys.argv[1:])
    failures = 0
    print('1..%d' % len(cases), flush=True)
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        results = [pool.submit(c.run) for c in cases]
        for number, (case, future) in enumerate(zip(cases, results), 1):
            result = future.result()
            failures += result is None
            for line in case.notes:
                print('# ' + line)
            print('%s %d - %s%s' % ('not ok' if result is None else 'ok', number, case.name, result or ''), flush=True)
    sys.exit(1 if failures else 0)
