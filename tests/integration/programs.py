# SPDX-License-Identifier: Apache-2.0
"""What `run` of a folder with programs does: names them, runs them one after the other, tells how each ended. A program is a
function of a module beside `run`, called with (case, options): what it does not find as it should be it raises."""
import argparse
import importlib
import os
import random
import signal
import sys
from collections import namedtuple

# The function is called as the program, with _ for -. short: what is other in the form that scripts/check runs.
Entry = namedtuple('Entry', 'name module seconds rate mqtt short text')


def arguments(doc):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', metavar='NAME')
    p.add_argument('--list', action='store_true', help='name the programs')
    p.add_argument('--seconds', type=float, help='how long the fault lasts (each program has its own)')
    p.add_argument('--rate', type=float, help='points a second')
    p.add_argument('--mqtt', choices=('5', '3.1.1'))
    p.add_argument('--short', action='store_true', help='a form of some seconds, for scripts/check')
    p.add_argument('--seed', type=int, help='of what is left to chance')
    return p.parse_args()


def options_of(entry, given):
    """What the command line says, else what the program is meant for."""
    found = dict(seconds=entry.seconds, rate=entry.rate, mqtt=entry.mqtt)
    if given.short:
        found.update(entry.short)
    found.update((name, getattr(given, name)) for name in found if getattr(given, name) is not None)
    return argparse.Namespace(**found, short=given.short, seed=random.randrange(10 ** 6) if given.seed is None else given.seed,
                              protocols=[given.mqtt] if given.mqtt else ['5', '3.1.1'])


def run(entry, given):
    """The exit code."""
    print('# %s: %s' % (entry.name, entry.text), flush=True)
    o = options_of(entry, given)
    shown = [('seconds', o.seconds), ('rate', o.rate), ('mqtt', o.mqtt), ('seed', o.seed)]
    print('# ' + ' '.join('%s=%s' % (n, v) for n, v in shown if v), flush=True)
    function = getattr(importlib.import_module(entry.module), entry.name.replace('-', '_'))
    program = importlib.import_module('world').Program(lambda case: function(case, o))
    outcome = program.run()
    if program.result:
        print(program.result, flush=True)
    if outcome:
        print('#' + outcome.split('SKIP', 1)[1], flush=True)
    return 0 if outcome == '' else 1 if outcome is None else 77


def main(doc, programs, elsewhere=None):
    """The exit code. elsewhere: programs that are not run here, and where they are."""
    elsewhere = elsewhere or {}
    given = arguments(doc)
    if given.list:
        for e in programs:
            print('%-20s %s' % (e.name, e.text))
        for name, text in elsewhere.items():
            print('%-20s %s' % (name, text))
        return 0
    known = {e.name: e for e in programs}
    for name in given.names:
        if name not in known:
            sys.exit('run: no program %s%s; --list names them' % (name, ': ' + elsewhere[name] if name in elsewhere else ''))
    if not given.names:
        sys.exit('usage: run NAME... ; --list names the programs')
    build = os.environ.setdefault('TBAGENT_BUILDDIR', os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    if not os.access(os.environ.get('TBAGENT_BIN', os.path.join(build, 'tbagent')), os.X_OK):
        sys.exit('run: %s/tbagent is not built; TBAGENT_BUILDDIR says where it is' % build)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    codes = [run(known[name], given) for name in given.names]
    return 1 if 1 in codes else max(codes)

