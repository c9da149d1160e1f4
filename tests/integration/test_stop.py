#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An orderly stop takes less than two seconds and loses nothing, whatever hangs; a reload never waits."""
import os
import re
import subprocess
import time

import tap
from daemon import BIN, config, free_port, holes, longest_turn, preload, ring, settled, standin, start, sums, wait_for, write

COUNTER = '  counter = { plugin = "counter"; every = "20ms"; };'
NOBODY = 'mqtt://127.0.0.1:%d'


def segments(case):
    return sums('--segments', os.path.join(case.folder, 'state'))


def made(case, n):
    """Waits until so many values have a number."""
    path = os.path.join(case.folder, 'run', 'ring')
    wait_for(lambda: os.path.exists(path) and ring(case)['made'] >= n, 30, '%d values' % n)


def arrives(case, n):
    """Started again with a server that is there, all of them arrive."""
    server, url, token = standin(case)
    daemon = start(case, config(COUNTER, url, token))
    daemon.connected()
    wait_for(lambda: server.count('d')['stored'] >= n, 30, 'the values of before')
    counts = daemon.stop()
    settled(case, server, counts, in_order=False)
    first = [v for _, v in server.series('d', ['count'])['count']][:n]
    case.equal(holes(first), [], 'numbers that are missing')


def offline(case):
    """without a connection what waits is on the disk after the stop, and arrives after the next start"""
    daemon = start(case, config(COUNTER, NOBODY % free_port(), 't'))
    made(case, 50)
    counts = daemon.stop()
    case.equal((counts.waiting, counts.dropped), (counts.made, 0), 'values waiting and dropped of %d made' % counts.made)
    found = segments(case)
    case.equal((found['waiting_points'], ring(case)['rows']), (counts.made, 0), 'values on the disk, rows in the ring')
    case.note('%d values in %d bytes on the disk', found['points'], found['bytes'])
    arrives(case, counts.made)


def tree(folder):
    return {os.path.join(d, f): os.stat(os.path.join(d, f)).st_mtime_ns for d, _, names in os.walk(folder) for f in names}


def idle(case):
    """online and with nothing to send it writes nothing"""
    server, url, token = standin(case)
    daemon = start(case, config(COUNTER, url, token, telemetry='batch_interval = "100ms"; store_after = "1min";'))
    daemon.connected()
    wait_for(lambda: server.count('d')['stored'] >= 50, 30, 'values')
    mirror = os.path.join(case.folder, 'state', 'shared.conf')
    wait_for(lambda: os.path.exists(mirror), 10, 'the first mirror of the shared attributes')
    before = tree(os.path.join(case.folder, 'state'))
    counts = daemon.stop()
    settled(case, server, counts)
    case.equal(tree(os.path.join(case.folder, 'state')), before, 'files of the state directory')


def disk_hangs(case):
    """with a disk that hangs it ends in time, says so, and what waits is in the ring at the next start"""
    flag = os.path.join(case.folder, 'hang')
    daemon = start(case, config(COUNTER, NOBODY % free_port(), 't'),
                   env={'LD_PRELOAD': preload('disk-hang'), 'TBAGENT_DISK_HANG': flag})
    made(case, 50)
    write(flag, '')
    counts = daemon.stop()
    line = daemon.matching(r'the disk has not answered in time')
    case.equal(len(line), 1, 'lines about the disk')
    case.note('%s', line[0])
    case.equal((counts.waiting, counts.dropped), (counts.made, 0), 'values waiting and dropped of %d made' % counts.made)
    case.check(ring(case)['points'] + ring(case)['stored_points'] >= counts.made, 'the ring says %s', ring(case))
    arrives(case, counts.made)


def lookup_hangs(case):
    """while a lookup hangs it ends in time all the same, and what waits is on the disk"""
    daemon = start(case, config(COUNTER, 'mqtt://localhost:%d' % free_port(), 't'),
                   env={'LD_PRELOAD': preload('getaddrinfo-hang'), 'TBAGENT_DNS_SECONDS': '-1'})
    made(case, 50)
    counts = daemon.stop()
    case.equal((segments(case)['waiting_points'], counts.waiting), (counts.made, counts.made), 'values on the disk, waiting')
    arrives(case, counts.made)


def reload(case):
    """a reload with another server in the middle of a lookup: nothing waits for that, not even the loop"""
    server, url, token = standin(case)
    text = config(COUNTER, 'mqtt://localhost:%d' % free_port(), token)
    daemon = start(case, text, env={'LD_PRELOAD': preload('getaddrinfo-hang'), 'TBAGENT_DNS_SECONDS': '4'})
    made(case, 20)
    began = time.monotonic()
    write(daemon.conf, config(COUNTER, url, token))
    daemon.hang_up()
    daemon.wait_for_line(r'^configuration read again')
    case.note('read again after %.3f s', time.monotonic() - began)
    daemon.connected(20)
    case.note('connected after %.1f s', time.monotonic() - began)
    wait_for(lambda: server.count('d')['stored'] >= 100, 30, 'values')
    counts = daemon.stop()
    settled(case, server, counts, in_order=False)
    case.equal(holes([v for _, v in server.series('d', ['count'])['count']]), [], 'numbers that are missing')
    longest_turn(case, counts)


def no_server_any_more(case):
    """a reload that takes the server away and one that gives it back: what was made meanwhile is not sent twice"""
    server, url, token = standin(case)
    daemon = start(case, config(COUNTER, url, token))
    daemon.connected()
    wait_for(lambda: server.count('d')['stored'] >= 20, 30, 'values')
    write(daemon.conf, config(COUNTER))
    mark = daemon.mark()
    daemon.hang_up()
    daemon.wait_for_line(r'^configuration read again', after=mark)
    wait_for(lambda: server.device_stats('d')['connected'] == 0, 10, 'the end of the connection')
    mark = daemon.mark()
    write(daemon.conf, config(COUNTER, url, token))
    daemon.hang_up()
    daemon.connected(after=mark)
    have = server.count('d')['stored']
    wait_for(lambda: server.count('d')['stored'] >= have + 20, 30, 'values')
    counts = daemon.stop()
    settled(case, server, counts)


def no_folders(case):
    """with neither a runtime nor a state directory it works from memory, and says so"""
    server, url, token = standin(case)
    daemon = start(case, config(COUNTER.replace('20ms"', '20ms"; keep = true'), url, token),
                   more_options=('--runtime-dir', '/proc/nowhere', '--state-dir', '/proc/nowhere'))
    daemon.connected()
    wait_for(lambda: server.count('d')['stored'] >= 50, 30, 'values')
    counts = daemon.stop()
    settled(case, server, counts)
    for pattern in (r'cannot be made: nothing will survive a reboot', r'ring cannot be used .*: rows wait in memory',
                    r'^counter: cannot keep its state in'):
        lines = daemon.matching(pattern)
        case.equal(len(lines), 1, 'lines like %s' % pattern)
        case.note('%s', lines[0])
    case.check(len(daemon.lines) < 20, 'the log: %s', daemon.lines)


ROW = re.compile(r'(\d+) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\d{13}) - (i|-) 1 (\{"\S+":\S+\})')
BLOCK = re.compile(r'  at=(\d+) bytes=(\d+) first=\d+ last=\d+ rows=\d+ points=(\d+) raw=\d+ frame=\d+ boot=[0-9a-f]{8} '
                   r'offset_ms=\d+ from=\S+Z to=\S+Z (ok|damaged)')


def flip(path, at):
    with open(path, 'r+b') as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x55]))


def printed(option, path):
    done = subprocess.run([BIN, option, path], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines(), done.stderr


def looked_at(case):
    """tbagent --ring and --segments print what waits, also of a daemon that runs, and end with 1 where it is damaged"""
    path = os.path.join(case.folder, 'run', 'ring')
    daemon = start(case, config(COUNTER, NOBODY % free_port(), 't', telemetry='batch_interval = "200ms"; store_after = "1h";'))
    made(case, 30)
    code, lines, errors = printed('--ring', path)
    case.equal((code, errors), (0, ''), 'exit code and complaints')
    rows = [ROW.fullmatch(line) for line in lines[1:]]
    case.check(len(rows) >= 30 and all(rows), 'rows %s', lines[:4])
    numbers = [int(r.group(1)) for r in rows]
    case.equal(numbers, list(range(numbers[0], numbers[0] + len(rows))), 'numbers of rows')
    case.equal([int(r.group(5)[9:-1]) for r in rows if 'count"' in r.group(5)], list(range(len(rows) - 1)), 'the counter')
    case.check(all(abs(int(r.group(3)) / 1000 - time.time()) < 60 for r in rows), 'times of rows')
    daemon.process.kill()
    daemon.process.wait()
    with open(path, 'rb') as f:
        flip(path, f.read().index(b'{"count":7}') + 4)
    code, lines, errors = printed('--ring', path)
    case.equal((code, len([1 for line in lines if 'count":7}' in line])), (1, 0), 'exit code, the damaged row')
    case.check(errors and 'lost_rows=1 ' in lines[0], 'says %s %s', lines[0], errors)
    case.note('%s', errors.replace(case.folder, ''))
    again = start(case, None, conf=daemon.conf)
    again.wait_for_line(r'^counter: running')
    again.stop()
    state = os.path.join(case.folder, 'state')
    code, lines, errors = printed('--segments', state)
    case.equal((code, errors), (0, ''), 'exit code and complaints')
    block = BLOCK.fullmatch(lines[2])
    case.check(block and re.match(r'[0-9a-f]{16}\.seg bytes=\d+ acked=0$', lines[1]), 'says %s', lines)
    case.note('%s', '\n'.join(lines))
    file = os.path.join(state, 'spool', lines[1].split()[0])
    flip(file, int(block.group(1)) + int(block.group(2)) // 2)
    code, lines, errors = printed('--segments', state)
    case.equal((code, BLOCK.fullmatch(lines[2]).group(4)), (1, 'damaged'), 'exit code, block')
    case.check('damaged=1 damaged_points=%s ' % block.group(3) in lines[0], 'says %s', lines[0])
    case.equal(printed('--segments', os.path.join(case.folder, 'nowhere'))[0], 1, 'exit code without a folder')
    case.equal(printed('--ring', file)[0], 1, 'exit code of what is no ring')


if __name__ == '__main__':
    tap.main([offline, idle, disk_hangs, lookup_hangs, reload, no_server_any_more, no_folders, looked_at], parallel=3)
