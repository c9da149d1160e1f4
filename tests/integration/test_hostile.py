#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What plugins do to each other: nothing. TBAGENT_SECONDS is how long they try (20)."""
import os
import re
import time

import tap
from daemon import SANITIZER, SLOW, config, holes, longest_turn, standin, start, wait_for, waiting, write

SECONDS = float(os.environ.get('TBAGENT_SECONDS', 20))
PERIOD = 100    # ms
# The ring is the default one, which all instances share.
TELEMETRY = 'batch_interval = "200ms"; backlog_rate = 0;'
GOOD = '  %s = { plugin = "counter"; every = "100ms"; key = "%s"; };'
FLOOD = '  flood = { plugin = "flood"; intake = "1M"; };\n'
HOSTILE = {
    'crash': ('every = "100ms";', r'crashed' if SANITIZER is None else r'exit code'),
    'hang': ('every = "100ms"; timeout = "1s";', r'hung in a call'),
    'flood': ('every = "1s";', None),
    'leak-memory': ('every = "1s"; memory_max = "24M";', r'memory'),
    'leak-fd': ('every = "50ms";', r''),
    'lies': ('every = "500ms";', r'bad frame'),
    'open-fails': ('', r'open failed'),
    'no-symbol': ('', r''),
    'wrong-abi': ('', r''),
}


def instances(names):
    """Each hostile plugin with a key of its own for what they all call `alive`."""
    return '\n'.join('  %s = { plugin = "%s"; %s };' % (n.replace('-', '_'), n, HOSTILE[n][0]) for n in names)


def series(server, key):
    return server.series('d', [key], limit=100000).get(key, [])


def check_samples(case, server, key, seconds):
    """Every number is there, in order, a period apart, for the whole time."""
    rows = series(server, key)
    values = [v for _, v in rows]
    steps = [b - a for (a, _), (b, _) in zip(rows[1:], rows[2:])]      # the first sample is not on the clock's grid
    missing = holes(values)
    case.note('%s: %d samples in %.1f s, %d missing, %d to %d ms apart', key, len(rows), (rows[-1][0] - rows[0][0]) / 1000,
              len(missing), min(steps), max(steps))
    case.equal(missing, [], 'missing numbers of %s' % key)
    case.equal(values, sorted(values), 'order of %s' % key)
    case.equal(values[0], 0, 'first number of %s' % key)
    case.check(len(rows) >= seconds * 1000 / PERIOD * .9, 'only %d samples of %s in %g s', len(rows), key, seconds)


def arrived(server, number):
    """The count, once so many values are there; some come twice, because the flood repeats times."""
    count = server.count('d')
    return count if count['stored'] + count['duplicated'] >= number else None


def beside(case):
    """beside instances that crash, hang, flood, leak and lie, another keeps every sample"""
    server, url, token = standin(case)
    names = [n for n in HOSTILE if not (SANITIZER and n == 'leak-memory')]
    text = [GOOD % ('good', 'count'), instances(names)]
    daemon = start(case, config('\n'.join(text), url, token, telemetry=TELEMETRY), reports=None)
    daemon.connected()
    wait_for(lambda: series(server, 'count'), 10, 'the first sample')
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > SECONDS, SECONDS + 10, 'the time to pass')
    wait_for(lambda: series(server, 'count')[-1][1] >= SECONDS * 1000 / PERIOD * .9, 10, 'the last samples')
    counts = daemon.stop()
    count = server.wait(lambda: arrived(server, counts.acknowledged), 10) or server.count('d')
    case.note('%d values made, %d stored, %d twice, %d dropped, %d gap records', counts.made, count['stored'],
              count['duplicated'], counts.dropped, len(count['gaps']))
    check_samples(case, server, 'count', SECONDS)
    case.equal((counts.acknowledged + counts.waiting, counts.dropped), (counts.made, 0), 'values that came through, and dropped')
    case.check(count['stored'] + count['duplicated'] >= counts.acknowledged, 'stored %d', count['stored'])
    case.equal([g for g in count['gaps'] if g['value'].get('instance') in ('good', '')], [], 'gaps of the good instance')
    misbehaved(case, daemon, names)
    # not held to a bound: who starts a process waits for its exec(), which takes what a busy machine takes
    case.note('longest turn of the loop %.1f ms', counts.turn)


def misbehaved(case, daemon, names):
    """Each of them did what it is for, and none of them filled the log."""
    for name in names:
        lines = daemon.matching(r'^%s: ' % name.replace('-', '_'))
        case.check(lines, '%s: nothing was told', name)
        case.note('%s: %d lines, like: %s', name, len(lines), lines[-1])
        wanted = HOSTILE[name][1]
        case.check(wanted is None or any(re.search(wanted, line) for line in lines), '%s: not /%s/ but %s', name, wanted, lines)
    case.note('%d lines of log', len(daemon.lines))
    case.check(len(daemon.lines) < 40 * len(names) + 10 * SECONDS, '%d lines of log', len(daemon.lines))


def fewer(case, bound):
    """A condition: so few values wait. How long that takes is the machine's matter; that for 20 s they get no fewer is not."""
    least = [float('inf'), 0]

    def reached():
        left, now = waiting(case), time.monotonic()
        if left < least[0]:
            least[:] = left, now
        case.check(now - least[1] < 20 * SLOW, '%d values wait, and got no fewer for 20 s', left)
        return left < bound
    return reached


def afterwards(case):
    """after one has made up more keys than the daemon remembers, another still gets its own"""
    server, url, token = standin(case)
    text = config(FLOOD + GOOD % ('good', 'count'), url, token, telemetry=TELEMETRY)
    daemon = start(case, text)
    daemon.connected()
    wait_for(lambda: server.device_stats('d')['points'] > 150000, 60, '150000 values of the flood')
    daemon.case.note('%d keys made up', server.device_stats('d')['points'] // 2)
    write(daemon.conf, text.replace('plugins = {', 'plugins = {\n' + GOOD % ('later', 'later')))
    daemon.hang_up()
    daemon.wait_for_line(r'^later: running')
    wait_for(lambda: len(series(server, 'later')) > 20, 30, 'samples of the instance that came later')
    write(daemon.conf, text.replace('plugins = {', 'plugins = {\n' + GOOD % ('later', 'later')).replace(FLOOD, ''))
    daemon.hang_up()
    wait_for(fewer(case, 20), 600, 'the end of what the flood left')
    counts = daemon.stop()
    check_samples(case, server, 'count', 2)
    check_samples(case, server, 'later', 2)
    longest_turn(case, counts)


if __name__ == '__main__':
    tap.main([beside, afterwards])
