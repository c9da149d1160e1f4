# SPDX-License-Identifier: Apache-2.0
"""Requests of the server: each is answered once with JSON and run once at most, whatever happens meanwhile."""
import collections
import json
import os
import random
import threading
import time

import daemon
from common import DEVICE, World

OUTSTANDING = 8
QUICK_MS = 10
AFTER_CONNECT = 3.0      # seconds that are told apart
INSTANCES = '''  q = { plugin = "api"; prefix = "q"; every = "1h"; log = "%(log)s"; };
  s = { plugin = "api"; prefix = "s"; every = "1h"; log = "%(log)s"; };
  c = { plugin = "api"; prefix = "c"; every = "1h"; log = "%(log)s"; };
  t = { plugin = "api"; prefix = "t"; every = "1h"; log = "%(log)s"; };'''


class Callers:
    """So many requests at a time, by the server's REST call. kinds: method -> weight."""

    def __init__(self, w, total, chance, think):
        self.w, self.total, self.chance, self.think = w, total, chance, think
        self.lock, self.done, self.answers = threading.Lock(), 0, []
        self.pause = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(OUTSTANDING)]
        self.busy = 0

    def _next(self):
        with self.lock:
            if self.done >= self.total:
                return None
            self.done += 1
            method = self.chance.choices(('q.quick', 's.slow', 'c.crash', 'nobody.knows'), (92, 3, 1, 4))[0]
            return self.done, method

    def _run(self):
        while True:
            while self.pause.is_set():
                time.sleep(.01)
            with self.lock:
                self.busy += 1
            try:
                job = self._next()
                if job is None:
                    return
                self._call(*job)
                time.sleep(self.chance.uniform(0, self.think))
            finally:
                with self.lock:
                    self.busy -= 1

    def _call(self, number, method):
        try:
            answer = self.w.server.rpc(DEVICE, method, {'n': number}, timeout=40)
        except Exception as e:      # whatever it is, the program tells of it
            answer = e
        with self.lock:
            self.answers.append((number, method, answer))

    def quiet(self):
        """Waits until nothing is under way."""
        self.pause.set()
        daemon.wait_for(lambda: self.busy == 0, 60, 'the requests under way')

    def start(self):
        for t in self.threads:
            t.start()

    def finished(self):
        return not any(t.is_alive() for t in self.threads)


def kind_of(answer):
    if isinstance(answer, Exception):
        return 'no answer: %s' % answer
    if isinstance(answer, dict) and set(answer) == {'error'}:
        return answer['error']['code']
    return 'answered'


def expect_answers(case, callers):
    kinds = collections.Counter((method, kind_of(answer)) for _, method, answer in callers.answers)
    for (method, kind), n in sorted(kinds.items()):
        case.note('%-14s %-14s %d', method, kind, n)
    allowed = {'q.quick': {'answered', 'interrupted', 'not_ready'}, 's.slow': {'answered', 'interrupted', 'busy', 'not_ready'},
               'c.crash': {'crashed', 'interrupted', 'not_ready'}, 'nobody.knows': {'unknown_method', 'interrupted', 'not_ready'}}
    odd = [k for k in kinds if k[1] not in allowed[k[0]]]
    case.equal(odd, [], 'answers that should not be')
    case.equal(len(callers.answers), callers.total, 'requests answered')
    for number, method, answer in callers.answers:
        if kind_of(answer) == 'answered':
            case.equal(answer, {'n': number}, 'the answer to %s' % method)


def expect_once(case, w, log):
    with open(log) as f:
        lines = collections.Counter(line for line in f if not line.startswith('toggle'))
    twice = [line for line, n in lines.items() if n > 1]
    case.equal(twice, [], 'requests that were run twice')
    case.note('%d requests were run, none of them twice', len(lines))


class Latency:
    """Of quick requests, from the events of the server: downlink to reply."""

    def __init__(self, w):
        self.w, self.seen, self.waiting, self.connects = w, 0, {}, []
        self.quick, self.after = [], []

    def take(self):
        for e in self.w.server.events(self.seen):
            self.seen = e['seq']
            if e['event'] == 'connect':
                self.connects.append(e['t'])
                self.waiting.clear()
            elif e['event'] == 'downlink' and '/rpc/request/' in e['topic']:
                self.waiting.setdefault(int(e['topic'].rsplit('/', 1)[1]), e['t'])
            elif e['event'] == 'rpc reply' and e['id'] in self.waiting:
                self._reply(e, self.waiting.pop(e['id']))

    def _reply(self, e, since):
        if not e['payload'].startswith('{"n"'):
            return
        took = (e['t'] - since) * 1000
        if took >= 900:     # the slow method
            return
        new = any(0 <= since - c < AFTER_CONNECT for c in self.connects[-3:])
        (self.after if new else self.quick).append(took)


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))] if values else 0


def toggle(w):
    return w.server.rpc(DEVICE, 't.toggle', None)


def restart_ids(case, w, callers):
    """The server's ids start again at 0: the same body under the same id is another request."""
    callers.quiet()
    w.server.restart_rpc_ids(DEVICE)
    callers.first_ids.append(toggle(w))
    callers.pause.clear()


def disturb(case, w, callers, o, reconnects):
    """Cuts the link, kills the daemon once, restarts the ids once, at moments spread over the run."""
    chance = callers.chance
    moments = ['cut'] * reconnects
    moments.insert(len(moments) // 3, 'ids')
    moments.insert(2 * len(moments) // 3, 'kill')
    latency, memory = Latency(w), []
    for i, what in enumerate(moments):
        target = callers.total * (i + 1) // (len(moments) + 1)
        daemon.wait_for(lambda: callers.done >= target or callers.finished(), 300, 'request %d' % target)
        latency.take()
        memory.append(w.memory())
        if what == 'ids':
            restart_ids(case, w, callers)
        elif what == 'kill':
            w.kill()
            w.start(INSTANCES % {'log': w.log}).connected(30)
        else:
            w.cut()
        time.sleep(chance.uniform(0, .05))
    daemon.wait_for(callers.finished, 300, 'the last requests')
    latency.take()
    memory.append(w.memory())
    return latency, memory


def rpc(case, o):
    total, reconnects = (10000, 20) if not o.short else (1200, 4)
    w = World(case, o.mqtt)
    w.log = os.path.join(case.folder, 'log')
    w.start(INSTANCES % {'log': w.log}).connected()
    daemon.wait_for(lambda: kind_of(w.server.rpc(DEVICE, 'agent.ping')) == 'answered', 10, 'the device to answer')
    w.server.restart_rpc_ids(DEVICE)
    callers = Callers(w, total, random.Random(o.seed), .02 if o.short else .2)
    callers.first_ids = [toggle(w)]
    callers.start()
    latency, memory = disturb(case, w, callers, o, reconnects)
    expect_answers(case, callers)
    expect_once(case, w, w.log)
    case.equal(callers.first_ids, [1, 2], 'what toggle answered under id 0, before and after the ids began anew')
    for name, values in (('quick ones', latency.quick), ('in the 3 s after a connect', latency.after)):
        case.note('%s: %d, p50 %.1f ms, p99 %.1f ms, max %.1f ms', name, len(values), percentile(values, 50), percentile(values, 99),
                  max(values or [0]))
    if daemon.SLOW == 1 and not o.short:
        case.check(percentile(latency.quick, 99) < QUICK_MS, 'p99 of quick requests is not below %d ms', QUICK_MS)
    case.note('memory of the daemon: %s', ' '.join('%.2f' % (m / 1e6) for m in memory))
    before_kill = memory[:2 * len(memory) // 3]
    if daemon.SLOW == 1:
        case.check(before_kill[-1] - before_kill[len(before_kill) // 3] < 1e6, 'memory grows')
    json.dumps([a for _, _, a in callers.answers])      # each of them is JSON
    w.daemon.stop()
