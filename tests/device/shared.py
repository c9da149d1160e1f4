# SPDX-License-Identifier: Apache-2.0
"""The mirror of the shared attributes, whatever the names, the values, the link and the daemon do."""
import os
import random
import re
import subprocess
import time

import daemon
from common import DEVICE, READ_CONF, World, dumped, same

KEYS = ['a.b', 'a', 'a.b.c', '_a', '1a', 'true', 'True.x', 'FALSE', 'named', 'named.x', 'температура', 'two words', ' lead', 'k' * 250,
        'quote"d', 'back\\slash', 'x..y', '.dot', 'dot.', 'deep.' * 20 + 'end', '日本語', 'emoji 🌡', 'a-b', 'a_b', 'site', 'level',
        'boiler.every', 'boiler.room.deadband', 'L', 'e5', '#no', 'semi;colon', 'equals=', '@include', '{x}', 'tab\tin']
VALUES = [True, False, 0, -1, 2147483647, 2147483648, -2147483648, -2147483649, 9223372036854775807, -9223372036854775808,
          9007199254740993, 1.5, -0.25, 1e300, 5e-324, 123456789.25, 'text', 'with "quotes"', 'two\nlines', 'tab\tand\\slash',
          '@include "x"', '# no comment', '', ' ', '007x', 'ünï', '🌡' * 10, 'x' * 5000, '\x01\x1f\x7f', {'a': [1, 2, {'b': 'c"\n'}]},
          [], {}, [[[[1]]]], {'deep': {'er': {'est': 9007199254740993}}}]


class Watcher:
    """Another program that reads the mirror all the while."""

    def __init__(self, path):
        self.process = subprocess.Popen([READ_CONF, '--watch', path], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        out = self.process.stdout.read()
        self.process.wait()
        return {k: int(v) for k, v in re.findall(r'(\w+)=(-?\d+)', out)}


def one_update(w, chance):
    if chance.random() < .1:
        w.server.unshare(DEVICE, chance.sample(KEYS, chance.randint(1, 3)))
    else:
        w.server.share(DEVICE, {k: chance.choice(VALUES) for k in chance.sample(KEYS, chance.choice((1, 1, 1, 2, 5)))})


def is_mirrored(w):
    return os.path.exists(w.mirror) and same(dumped(w.mirror), w.server.attributes(DEVICE, 'SHARED_SCOPE'))


def difference(w):
    have, want = dumped(w.mirror), w.server.attributes(DEVICE, 'SHARED_SCOPE')
    return {k: (have.get(k), want.get(k)) for k in set(have) | set(want) if not same(have.get(k), want.get(k))}


def settles(w):
    try:
        daemon.wait_for(lambda: is_mirrored(w), 30, 'the mirror')
    except daemon.Failed:
        raise daemon.Failed('mirror and server differ: %r' % difference(w)) from None


def expect_quiet(case, w):
    """What changes nothing writes nothing: the same values again, and a new connection."""
    before = os.stat(w.mirror)
    have = w.server.attributes(DEVICE, 'SHARED_SCOPE')
    w.server.share(DEVICE, dict(list(have.items())[:5]))
    w.cut()
    daemon.wait_for(lambda: w.status()['shared_attributes']['synced'], 20, 'the attributes to be in step')
    time.sleep(1.2)     # a write would come by then
    after = os.stat(w.mirror)
    case.check((before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns), 'the mirror was written without need')
    case.equal(oct(after.st_mode & 0o777), '0o640', 'mode of the mirror')


def shared(case, o):
    updates, cuts, kills = (1000, 20, 2) if not o.short else (250, 6, 1)
    chance = random.Random(o.seed)
    w = World(case, o.mqtt)
    w.server.fault(downlink_reorder=4)
    w.start().connected()
    at = sorted(chance.sample(range(1, updates), cuts + kills))
    kill_at = set(chance.sample(at, kills))
    with case.using(Watcher(w.mirror)) as watcher:
        for i in range(updates):
            one_update(w, chance)
            if i in kill_at:
                w.kill()
                w.start()
            elif i in at:
                w.cut()
            if i % 10 == 0:
                time.sleep(chance.uniform(0, .4))
        settles(w)
        case.note('%d updates, %d cuts, %d kills: the mirror of %d attributes is as the server has them', updates, cuts, kills,
                  len(dumped(w.mirror)))
        expect_quiet(case, w)
        seen = watcher.stop()
    case.note('a reader: %s', ' '.join('%s=%d' % item for item in seen.items()))
    case.equal(seen['failures'], 0, 'reads of the mirror that failed')
    case.check(seen['versions'] > 3 and seen['reads'] > 50, 'the reader saw too little')
    case.check(seen['closest_ms'] >= 950, 'written more than once a second')
    offline(case, w)
    w.daemon.stop()


def offline(case, w):
    """A start without a network has what the server said last."""
    w.daemon.stop()
    before = dumped(w.mirror)
    w.link.refuse()
    d = w.start('  boiler = { plugin = "ok"; every = "1s"; };')
    d.wait_for_line('boiler: running')
    case.check(same(dumped(w.mirror), before), 'the mirror is another one after a start without a network')
    w.link.accept()
    d.connected(30)
    settles(w)
