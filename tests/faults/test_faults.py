#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short forms of the programs of tests/faults/run, side by side. Words choose programs."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'integration'))
import tap  # noqa: E402

# The longest first.
PROGRAMS = ['backfill', 'poison', 'quota', 'kill9', 'power-cut', 'takeover', 'disk-full', 'damage', 'offline-bytes',
            'online-bytes', 'black-hole-reset', 'black-hole-kill9', 'power-cut-no-fsync']


def short(case, name):
    """%s holds what it promises"""
    done = subprocess.run([sys.executable, os.path.join(HERE, 'run'), name, '--short'], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    case.note('%s', done.stdout.replace('\n# ', '\n'))
    if done.returncode == 77:
        raise tap.Skipped(done.stdout.strip().split('\n')[-1].lstrip('# '))
    case.check(done.returncode == 0, 'exit code %d; tests/faults/run %s --short tries again', done.returncode, name)


if __name__ == '__main__':
    tap.main([(short, name) for name in PROGRAMS], parallel=4)
