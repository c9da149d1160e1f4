# SPDX-License-Identifier: Apache-2.0
"""Requests that are not as they should be: an answer each, never a crash."""
import json

import daemon
from common import DEVICE, World

TOPIC = 'v1/devices/me/rpc/request/%d'
GOOD = [None, True, False, 0, -1, 9007199254740993, -9223372036854775808, 1.5, 1e300, '', 'text', '5', '{"a":1}', '[1', [], {},
        [1, [2, [3]]], {'a': {'b': None}}, 'ünï 🌡', 'x' * 60000, {'k%d' % i: i for i in range(1000)}]
BAD = {
    'not JSON': b'{"method":"q.quick","params":',
    'empty': b'',
    'no object': b'[1,2]',
    'no method': b'{"params":1}',
    'method is a number': b'{"method":7,"params":1}',
    'empty method': b'{"method":"","params":1}',
    'method too long': b'{"method":"' + b'm' * 2000 + b'","params":1}',
    'NUL in the method': b'{"method":"q.quick\\u0000","params":1}',
    'raw NUL': b'{"method":"q.quick","params":"\x00"}',
    'not UTF-8': b'{"method":"q.quick","params":"\xff\xfe"}',
    'lone surrogate bytes': b'{"method":"q.quick","params":"\xed\xa0\x80"}',
    '1e400': b'{"method":"q.quick","params":1e400}',
    '-1e400 inside': b'{"method":"q.quick","params":[[-1e400]]}',
    'exponent of a thousand digits': b'{"method":"q.quick","params":1e' + b'9' * 1000 + b'}',
    'NaN': b'{"method":"q.quick","params":NaN}',
    'depth 33': b'{"method":"q.quick","params":' + b'[' * 33 + b']' * 33 + b'}',
    'depth 10 000': b'{"method":"q.quick","params":' + b'[' * 10000 + b']' * 10000 + b'}',
    'depth 30 000, objects': b'{"method":"q.quick","params":' + b'{"a":' * 10000 + b'1' + b'}' * 10000 + b'}',
    'method twice': b'{"method":"q.quick","method":"q.crash","params":1}',
    'a name twice in params': b'{"method":"q.quick","params":{"a":1,"b":{"c":1,"c":2}}}',
    'trailing text': b'{"method":"q.quick","params":1} x',
    '1 MB': b'{"method":"q.quick","params":"' + b'x' * (1024 * 1024) + b'"}',
    'larger than anything': b'{"method":"q.quick","params":"' + b'x' * (3 * 1024 * 1024) + b'"}',
    'unknown': b'{"method":"nobody.knows","params":1}',
    'expired': b'{"method":"q.quick","params":{"expires":1000}}',
    'deadline': b'{"method":"q.never","params":1}',
}


def replies(w, since):
    out = {}
    for ident, text in w.server.replies(DEVICE, since):
        out.setdefault(ident, []).append(text)
    return out


def bad(case, w):
    since = w.server.now()
    for i, (name, payload) in enumerate(BAD.items()):
        w.server.downlink(DEVICE, TOPIC % (1000 + i), payload)
    daemon.wait_for(lambda: len(replies(w, since)) >= len(BAD), 20, 'an answer to each')
    got = replies(w, since)
    for i, name in enumerate(BAD):
        answers = got[1000 + i]
        case.equal(len(answers), 1, 'answers to "%s"' % name)
        error = json.loads(answers[0])['error']
        case.check(error['code'] and error['message'], 'the error has no words')
        case.note('%-30s %-15s %s', name, error['code'], error['message'][:90])


def odd_ids(case, w):
    """What is no id, or the largest one, and a topic that nobody asked for."""
    since = w.server.now()
    for topic in ('-1', '4294967296', 'x', '', '1/2', '07'):
        w.server.downlink(DEVICE, 'v1/devices/me/rpc/request/' + topic, b'{"method":"q.quick","params":1}')
    w.server.downlink(DEVICE, TOPIC % 2147483647, b'{"method":"q.quick","params":1}')
    daemon.wait_for(lambda: 2147483647 in replies(w, since), 10, 'the answer to the largest id')
    case.check(set(replies(w, since)) <= {2147483647, 7}, 'an answer under an odd id: %s', sorted(replies(w, since)))


def odd_attributes(case, w):
    """Updates and answers that are no such: the mirror stays right."""
    w.server.share(DEVICE, {'site': 'cellar'})
    daemon.wait_for(lambda: 'cellar' in open(w.mirror).read(), 10, 'the mirror')
    for payload in (b'', b'null', b'[]', b'{', b'{"deleted":"site"}', b'{"deleted":[1]}', b'\xff', b'{"site":1e400}', b'{"":1}',
                    b'{"a":' + b'[' * 10000 + b']' * 10000 + b'}', b'{"big":"' + b'x' * (1024 * 1024) + b'"}', b'7'):
        w.server.downlink(DEVICE, 'v1/devices/me/attributes', payload)
        w.server.downlink(DEVICE, 'v1/devices/me/attributes/response/77', payload)
    w.server.share(DEVICE, {'after': 1})
    daemon.wait_for(lambda: 'after = 1' in open(w.mirror).read() and '"cellar"' in open(w.mirror).read(), 15,
                    'the mirror to be right again')


def params(case, o):
    w = World(case, o.mqtt)
    w.start('  q = { plugin = "api"; prefix = "q"; every = "1h"; };\n  s = { plugin = "api"; prefix = "s"; every = "1h"; };').connected()
    daemon.wait_for(lambda: w.server.rpc(DEVICE, 'agent.ping') == 'pong', 10, 'the device to answer')
    before = w.memory()
    for value in GOOD:
        want = json.loads(value) if value in ('5', '{"a":1}') else value
        case.equal(w.server.rpc(DEVICE, 'q.quick', value), want, 'the answer to %.40r' % (value,))
    case.equal(w.server.rpc(DEVICE, 'q.text', '{"a":1}'), '{"a":1}', 'what a method that wants text gets')
    bad(case, w)
    odd_ids(case, w)
    odd_attributes(case, w)
    case.equal(w.server.rpc(DEVICE, 's.quick', 'still there'), 'still there', 'an answer after all that')
    case.equal(w.daemon.process.poll(), None, 'the daemon')
    grown = w.memory() - before
    case.note('memory of the daemon grew by %.2f MB', grown / 1e6)
    if daemon.SLOW == 1:
        case.check(grown < 6e6, 'that is too much')
    w.daemon.stop()
