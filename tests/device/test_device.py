#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short forms of the programs of tests/device/run, side by side. Words choose programs."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'integration'))
import tap  # noqa: E402

# The longest first.
PROGRAMS = ['shared', 'rpc', 'provision', 'clone', 'setting', 'params', 'tls']


def short(case, name, mqtt):
    """%s (MQTT %s) holds what it promises"""
    done = subprocess.run([sys.executable, os.path.join(HERE, 'run'), name, '--short', '--mqtt', mqtt], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    case.note('%s', done.stdout.replace('\n# ', '\n'))
    if done.returncode == 77:
        raise tap.Skipped(done.stdout.strip().split('\n')[-1].lstrip('# '))
    case.check(done.returncode == 0, 'exit code %d; tests/device/run %s --short --mqtt %s tries again', done.returncode, name, mqtt)


if __name__ == '__main__':
    tap.main([(short, name, mqtt) for name in PROGRAMS for mqtt in (('5', '3.1.1') if name in ('rpc', 'provision') else ('5',))],
             parallel=4)
