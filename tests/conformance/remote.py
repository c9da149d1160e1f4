# SPDX-License-Identifier: Apache-2.0
"""Cases 32 to 36 and 38: requests of the server, and of plugins to the server."""
import base64
import concurrent.futures
import json
import time

import wire
from sharing import same_memory
from world import DEVICE, RestError, case

PLAIN = [None, 'text', '', 'null', [1, [2, [3]]], {'a': {'b': None}}, 0, -1.5, True, False, 1e300]


def in_background(w, *arguments, **more):
    """A request whose caller waits: its future."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    w.case.stack.callback(pool.shutdown)
    return pool.submit(w.rpc, *arguments, **more)


def code(reply):
    """Of an error."""
    return (reply.get('error') or {}).get('code') if isinstance(reply, dict) else None


# ---- asked twice

@case(32, seconds=6)
def asked_again_while_it_runs(w):
    """a request that comes again with the next SUBSCRIBE, while its method runs: run once, answered once"""
    daemon = w.start(DEVICE % '')
    w.equal(w.rpc('dev.later', 0), 1, 'first run')
    mark, line = w.wire.mark(), daemon.mark()
    reply = in_background(w, 'dev.later', 4000, timeout=15)
    w.stored('runs', 2)
    w.wire.cut()
    daemon.connected(20, line)
    w.equal(reply.result(), 2, 'reply')
    w.equal(len(w.wire.downlinks(wire.RPC_REQUEST, mark)), 2, 'times that the server sent it')
    w.equal(len({p.topic for p in w.wire.downlinks(wire.RPC_REQUEST, mark)}), 1, 'ids')
    w.equal(w.rpc('dev.later', 0), 3, 'next run')


@case(32, seconds=6)
def reply_that_got_lost(w):
    """a reply that the server never got: asked again, it is answered from memory"""
    daemon = w.start(DEVICE % '')
    w.ready()
    line = daemon.mark()
    w.wire.lose = lambda packet: packet.is_publish(wire.RPC_RESPONSE)
    reply = in_background(w, 'dev.later', 0, timeout=15)
    w.until(lambda: w.wire.lost, 'the reply that gets lost')
    w.wire.lose = None
    w.wire.cut()
    daemon.connected(20, line)
    w.equal(reply.result(), 1, 'reply')
    w.equal(w.rpc('dev.later', 0), 2, 'next run')


@case(32, seconds=6)
def asked_again_after_a_restart(w):
    """a request that ran when the daemon was killed does not run again: its caller is told"""
    daemon = w.start(DEVICE % '')
    w.ready()
    reply = in_background(w, 'dev.later', 60000, timeout=15)
    w.stored('runs', 1)
    daemon.process.kill()
    daemon.process.wait()
    w.start(DEVICE % '')
    w.equal(code(reply.result()), 'interrupted', 'reply')
    w.equal(w.rpc('dev.later', 0), 1, 'the next request, which is the first of this process')


@case(32, standin=['--settle', '0.02'])
def ids_that_restart(w):
    """a server whose ids begin again: the same id with another request is a new one; sent twice it still runs once"""
    w.start(DEVICE % '')
    w.until(lambda: w.rpc('dev.later', 0) == 1, 'first run')
    w.server.control('restart-rpc-ids', dict(device=w.name))
    w.equal(w.rpc('dev.later', 1), 2, 'request with the same id and other params')
    w.server.control('faults', {'rpc_duplicate': 1})
    w.equal(w.rpc('dev.later', 300), 3, 'request that was sent twice')
    w.equal(w.rpc('dev.later', 2), 4, 'next run')
    ids = [p.topic.rsplit('/', 1)[1] for p in w.wire.downlinks(wire.RPC_REQUEST)]
    w.check(ids.count('0') == 2 and len(ids) - len(set(ids)) == 2, 'ids %s', ids)


# ---- params, and methods that are not there

@case(33)
def any_params(w):
    """from id 0 on, params of every kind reach the method and come back; what is none of ours is answered with an error"""
    w.start(DEVICE % '')
    for params in PLAIN:
        reply = w.rpc('dev.text' if isinstance(params, str) else 'dev.echo', params)
        w.equal(reply, params, 'params that were sent back')
    w.check(w.wire.downlinks(wire.RPC_REQUEST + '0'), 'no request with id 0')
    w.equal(w.rpc('dev.echo', '{"pin": 7}'), dict(pin=7), 'params that are text with JSON')
    w.equal([code(w.rpc(m)) for m in ('nobody.knows', 'dev.nothing', ' ', 'a.b.c.d')], ['unknown_method'] * 4, 'unknown methods')
    w.check(code(w.rpc('x' * 2000)), 'no error for a name of 2000 characters')
    w.equal(w.rpc('dev.echo', [1] * 1000), [1] * 1000, 'a long array')


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@case(33)
def deep_params(w):
    """params nested deeper than 32 levels are refused with an error, less deep ones are taken"""
    daemon = w.start(DEVICE % '')
    w.equal(w.rpc('dev.echo', nested(20)), nested(20), '20 levels')
    w.equal([code(w.rpc('dev.echo', nested(n))) for n in (40, 200)], ['bad_request'] * 2, '40 and 200 levels')
    w.equal(w.rpc('agent.ping'), 'pong', 'after it')
    w.equal(len(daemon.matching(r'^dev: running')), 1, 'starts of the instance')


RAW = [b'', b'null', b'[]', b'"x"', b'{}', b'{"method":1}', b'{"method":null}', b'{"method":"dev.echo","params":1e400}',
       b'{"method":"dev.echo","params":-1e999}', b'{"method":"dev.echo","params":NaN}', b'{"method":"dev.echo","params":',
       b'{"method":"dev.echo","params":"\xff\xfe"}', b'{"method":"dev.echo","method":"dev.later"}', b'\0' * 100,
       b'{"method":"dev.echo","params":' + b'[' * 30000, b'{"method":"dev.echo","params":' + b'1' * 400 + b'}']


@case(33, standin=['--settle', '0.02'])
def raw_requests(w):
    """requests that no server should send: each is answered with an error in valid JSON, and nothing dies of it"""
    daemon = w.start(DEVICE % '')
    w.ready()
    since = w.server.now()
    for n, payload in enumerate(RAW):
        w.server.control('downlink', dict(device=w.name, topic=wire.RPC_REQUEST + str(1000 + n),
                                          payload_b64=base64.b64encode(payload).decode()))
    for topic in ('x', '-1', '99999999999', ''):
        w.server.control('downlink', dict(device=w.name, topic=wire.RPC_REQUEST + topic, payload='{"method":"dev.later"}'))
    w.until(lambda: len(w.server.replies(w.name, since)) >= len(RAW), 'the replies')
    w.equal(w.rpc('dev.later', 0), 1, 'first run')
    replies = dict(w.server.replies(w.name, since))
    w.equal([code(json.loads(replies[1000 + n])) for n in range(len(RAW))], ['bad_request'] * len(RAW), 'replies')
    w.equal(len(daemon.matching(r'^dev: running')), 1, 'starts of the instance')


# ---- slow methods

def acknowledged_after(w, since):
    """Seconds from the request to the agent's PUBACK."""
    request = w.until(lambda: w.wire.downlinks(wire.RPC_REQUEST, since), 'the request')[0]
    acks = w.until(lambda: [p for p in w.wire.seen(wire.PUBACK, True, since) if p.ident == request.ident], 'the PUBACK')
    return acks[0].time - request.time


@case(34, seconds=12)
def slow_method(w):
    """a method that takes 30 s: the request is acknowledged at once, its caller gets an answer after 8 s"""
    w.start(DEVICE % '')
    w.ready()
    mark = w.wire.mark()
    one = w.rpc('dev.later', 30000, persistent=True, expirationTime=int(time.time() * 1000) + 60000)['rpcId']
    w.check(acknowledged_after(w, mark) < 2, 'PUBACK after %.1f s', acknowledged_after(w, mark))
    w.until(lambda: w.server.rpc_state(one)['status'] == 'DELIVERED', 'the state DELIVERED', 5)
    w.equal(w.rpc('agent.ping'), 'pong', 'another request meanwhile')
    state = w.until(lambda: (s := w.server.rpc_state(one))['status'] == 'SUCCESSFUL' and s, 'a reply', 15)
    w.equal(code(state['response']), 'timeout', 'response')


@case(34, seconds=9)
def late_reply(w):
    """a reply after the caller's time is acknowledged by the server and does no harm"""
    w.start(DEVICE % '')
    w.ready()
    mark = w.wire.mark()
    try:
        w.check(False, 'reply %s', w.rpc('dev.later', 6500, timeout=5))
    except RestError as e:
        w.equal(e.status, 504, 'status')
    reply = w.until(lambda: w.wire.publishes(wire.RPC_RESPONSE, mark), 'the late reply')[0]
    w.until(lambda: any(p.ident == reply.ident for p in w.wire.seen(wire.PUBACK, False, mark)), 'its PUBACK')
    w.equal((w.rpc('agent.ping'), len(w.wire.seen(wire.CONNECT))), ('pong', 1), 'ping after it, and sessions')


# ---- replies

@case(35)
def always_json(w):
    """whatever a plugin gives as its answer, the caller gets valid JSON: the answer or an error"""
    w.start(DEVICE % '')
    codes = [code(w.rpc('dev.reply', n)) for n in range(7)]
    w.note('%s', codes)
    w.equal(codes, ['bad_reply'] * 6 + ['too_large'], 'codes')
    w.check(code(w.rpc('dev.reply', 99)), 'no error for a method that fails')
    for p in w.wire.publishes(wire.RPC_RESPONSE):
        json.loads(p.payload.decode('utf8'))


@case(35)
def one_way(w):
    """a request that wants no reply is run once"""
    w.start(DEVICE % '')
    w.ready()
    w.rpc('dev.later', 0, oneway=True)
    w.stored('runs', 1)
    w.equal(w.rpc('dev.later', 0), 2, 'next run')


# ---- requests of plugins

@case(36, seconds=5)
def call_without_answer(w):
    """a plugin's request to a server that says nothing: ended by its own time, each under an id of its own"""
    w.start(DEVICE % 'answer_within = "1s"')
    w.ready()
    for n in range(5):
        w.equal(w.rpc('dev.call', 'method%d' % n), True, 'reply')
    w.until(lambda: len(w.values('failed')) == 5, 'what came of them')
    w.equal(set(w.values('failed')), {'timeout'}, 'what came of them')
    calls = [p for p in w.wire.publishes(wire.RPC_REQUEST) if b'getSessionLimits' not in p.payload]
    ids = [int(p.topic.rsplit('/', 1)[1]) for p in w.wire.publishes(wire.RPC_REQUEST)]
    w.note('ids %s', ids)
    w.equal((len(calls), len(ids)), (5, len(set(ids))), 'requests, and different ids')
    w.equal(json.loads(calls[0].payload), dict(method='method0', params={'from': 'device'}), 'the request')


@case(36, standin=['--settle', '0.02', '--client-rpc-timeout', '1'], seconds=5)
def call_that_the_server_ends(w):
    """{"error":"timeout"} from the server is a timeout for the plugin; an answer that comes late is nobody's"""
    w.start(DEVICE % 'answer_within = "60s"' + '  hasty = { plugin = "device"; answer_within = "200ms"; };\n')
    w.ready()
    w.rpc('dev.call', 'slow')
    w.until(lambda: w.values('failed') == ['timeout'], 'what came of it')
    w.equal(w.wire.downlinks(wire.RPC_RESPONSE)[-1].payload, b'{"error":"timeout"}', 'the answer')
    answers = len(w.wire.downlinks(wire.RPC_RESPONSE))
    w.rpc('hasty.call', 'slow')
    w.until(lambda: len(w.wire.downlinks(wire.RPC_RESPONSE)) > answers, 'the late answer')
    w.equal(w.rpc('agent.ping'), 'pong', 'after it')


@case(36, standin=['--settle', '0.02'])
def call_that_is_answered(w):
    """an answer of the rule chain reaches the plugin that asked, of several each its own"""
    w.start(DEVICE % 'answer_within = "20s"')
    w.ready()
    for n in range(3):
        w.rpc('dev.call', 'm%d' % n)
    ids = {json.loads(p.payload)['method']: p.topic.rsplit('/', 1)[1] for p in w.wire.publishes(wire.RPC_REQUEST)}
    for n in (2, 0, 1):
        w.server.control('downlink', dict(device=w.name, topic=wire.RPC_RESPONSE + ids['m%d' % n], payload='{"n":%d}' % n))
    w.until(lambda: len(w.values('answer')) == 3, 'the answers')
    w.equal(w.values('answer'), [dict(n=2), dict(n=0), dict(n=1)], 'answers')


@case(38)
def large_params(w):
    """params above 64 KiB are answered too_large, those below arrive; the memory stays small"""
    daemon = w.start(DEVICE % '')
    w.equal(w.rpc('dev.echo', 'x' * 60000), 'x' * 60000, 'params of 60 kB')
    before = w.memory()
    for size in (70000, 200000, 200000):
        w.equal(code(w.rpc('dev.echo', 'x' * size)), 'too_large', 'reply to %d bytes' % size)
    w.equal(w.rpc('agent.ping'), 'pong', 'after it')
    same_memory(w, before, 200000)
    w.equal(len(daemon.matching(r'^connected to')), 1, 'sessions')
