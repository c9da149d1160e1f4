# SPDX-License-Identifier: Apache-2.0
"""Links and servers that fail, and a daemon that is killed: nothing is lost."""
import random
import threading
import time

from world import World, load, none_lost

from mqtt_client import Client

KILLS_PER_SECOND = 100 / 600


def black_hole(case, o, end):
    """Behind the hole end(world) lets the network, or a new daemon, find its way."""
    w = World(case, o.mqtt)
    w.start(load(o.rate)).connected()
    w.arrives(o.rate)
    w.link.black_hole()
    w.pause(o.seconds, 'black hole')
    end(w)
    w.arrives(o.rate * w.batch_interval * 3, 60)
    none_lost(case, w.finish())


def black_hole_reset(case, o):
    def end(w):
        mark = w.daemon.mark()
        w.link.reset()
        w.daemon.connected(60, mark)

    black_hole(case, o, end)


def black_hole_kill9(case, o):
    def end(w):
        w.kill()
        w.link.reset()
        w.start(load(o.rate)).connected(60)

    black_hole(case, o, end)


def kill9(case, o):
    w = World(case, o.mqtt, store_after=1)
    chance = random.Random(o.seed)
    kills = round(o.seconds * KILLS_PER_SECOND) if not o.short else 8
    for number in range(kills):
        down = number % 3 == 1
        w.link.refuse() if down else w.link.accept()
        w.start(load(o.rate))
        time.sleep(chance.uniform(0, 2 * o.seconds / kills))
        w.kill()
        if number % 10 == 9 or o.short:
            found = w.ledger()
            case.note('%d of %d kills: %d points made, %d acknowledged, %d stored', number + 1, kills, found['made'],
                      found['acked'], w.stored())
    w.link.accept()
    w.start(load(o.rate)).connected(60)
    w.arrives(o.rate * w.batch_interval * 2)
    result = w.finish()
    case.note('%d kills', kills)
    none_lost(case, result)


def quota(case, o):
    w = World(case, o.mqtt)
    d = w.start(load(o.rate))
    d.connected()
    w.arrives()
    w.server.control('faults', {'close_before_puback': -1, 'close_stores': False})
    before = w.server.stats()
    w.pause(o.seconds, 'quota')
    after = w.server.stats()
    case.note('%d messages in vain on %d connections', *(after[n] - before[n] for n in ('publishes', 'connects')))
    case.check(after['disconnects'] > before['disconnects'], 'the server never closed')
    w.server.control('faults/clear')
    w.arrives(1, 330)   # by then it waits five minutes between tries
    result = w.finish(o.seconds + 330)
    none_lost(case, result)


class Thief:
    """Another program with the same credentials that connects anew as soon as it is put out."""

    def __init__(self, port, token, mqtt):
        self.arguments, self.token = (port, 5 if mqtt == '5' else 4), token
        self.sessions, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.over.is_set():
            try:
                with Client(*self.arguments) as c:
                    c.connect(self.token, client_id='thief')
                    self.sessions += 1
                    while not self.over.is_set() and c.read(.2) == 'nothing':
                        pass
            except OSError:
                pass
            self.over.wait(.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(5)


def takeover(case, o):
    w = World(case, o.mqtt)
    w.start(load(o.rate)).connected()
    w.arrives()
    before = w.server.stats()['evictions']
    with Thief(w.server.mqtt, w.token, o.mqtt) as thief:
        w.pause(o.seconds, 'takeover')
        evictions = w.server.stats()['evictions'] - before
    case.note('%d sessions of the other program, %d evictions', thief.sessions, evictions)
    case.check(evictions > 1, 'nobody was put out')
    w.arrives(1, 330)   # by then it waits five minutes between tries
    result = w.finish(o.seconds + 330)
    none_lost(case, result)
