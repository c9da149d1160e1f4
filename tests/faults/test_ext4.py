#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is a cut of tests/faults/ext4.py one? It has to lose what was not synced, or no test that survives it means a thing."""
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'integration')]
import ext4  # noqa: E402
import tap  # noqa: E402

ROUNDS = 20
BYTES = b'x' * 5000


def write(folder, name, synced):
    f = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(f, BYTES)
    if synced:
        os.fsync(f)
        d = os.open(folder, os.O_RDONLY)
        os.fsync(d)
        os.close(d)
    os.close(f)


def kept(disk, name):
    try:
        with open(os.path.join(disk.path, name), 'rb') as f:
            return f.read() == BYTES
    except OSError:
        return False


def loses(case):
    """a cut keeps what was synced and nothing else"""
    survived = {True: 0, False: 0}
    with ext4.LoopExt4('16M') as disk:
        for number in range(ROUNDS):
            for synced in survived:
                name = '%d-%s' % (number, synced)
                write(disk.path, name, synced)
                disk.cut()
                disk.remount()
                survived[synced] += kept(disk, name)
    case.note('%d of %d synced files kept, %d of %d others', survived[True], ROUNDS, survived[False], ROUNDS)
    case.equal(survived, {True: ROUNDS, False: 0}, 'files kept')


def fails(case):
    """after a cut every write fails until the next mount"""
    with ext4.LoopExt4('16M') as disk:
        disk.cut()
        try:
            write(disk.path, 'late', True)
            case.check(False, 'a write went through')
        except OSError as e:
            case.note('%s', e)
        disk.remount()
        write(disk.path, 'later', True)
        case.check(kept(disk, 'later'), 'not there after the mount')


def counts(case):
    """the block device's own count is told"""
    with ext4.LoopExt4('16M', commit=60) as disk:
        before = disk.written_bytes()
        write(disk.path, 'a', True)
        more = disk.written_bytes() - before
        case.note('%d bytes on the device for a file of %d', more, len(BYTES))
        case.check(len(BYTES) <= more < 100000, '%d bytes', more)


def cleans(case):
    """a killed program leaves no mount, no loop device and no file"""
    code = 'import sys; sys.path.insert(0, %r); import ext4; d = ext4.LoopExt4("16M"); print(d.top, d.device, flush=True); ' \
        'sys.stdin.read()' % HERE
    p = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    top, device = p.stdout.readline().split()
    case.check(os.path.ismount(os.path.join(top, 'disk')), 'not mounted')
    p.kill()
    p.wait()
    p.stdin.close()
    p.stdout.close()
    end = time.monotonic() + 20
    while os.path.exists(top) and time.monotonic() < end:
        time.sleep(.05)
    case.check(not os.path.exists(top), '%s is left', top)
    left = subprocess.run(['losetup', '--list', '--noheadings', '--output', 'BACK-FILE'], capture_output=True, text=True).stdout
    case.check(top not in left, '%s still has it', device)


why = ext4.available()
if why:
    print('1..0 # SKIP %s' % why)
else:
    tap.main([loses, fails, counts, cleans])
