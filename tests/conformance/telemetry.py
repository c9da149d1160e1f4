# SPDX-License-Identifier: Apache-2.0
"""Cases 7 to 14, 16, 17, 39 and 40: what values and keys become, seen at the server and on the wire."""
import json
import os
import time

import wire
from world import COUNTER, DEVICE, Skipped, case

from daemon import TOP

# printed last: what came before it has been sent when it is there
LAST = '{"last": 1}'


def prints(w, *lines, **more):
    """Starts the daemon with an instance that prints these lines; when all that it sends of them is at the server."""
    daemon = w.start(w.exec(*lines, LAST), **more)
    w.stored('last')
    w.until(lambda: w.has_stored(*w.wire.publishes(wire.TELEMETRY)), 'all that was sent')
    return daemon


def kinds(values):
    return {type(v).__name__ for v in values}


def none_of(w, *keys):
    """Neither sent nor stored."""
    for key in keys:
        w.equal((w.sent(key), w.values(key)), ([], []), 'values of %s' % key)


@case(7)
def not_finite(w):
    """values that are not finite are left out and told, the others of their row arrive"""
    daemon = prints(w, '{"a": NaN, "b": 1.5}', '{"a": Infinity, "c": 2}', '{"a": -Infinity, "d": true}')
    none_of(w, 'a')
    w.equal([w.values(k) for k in 'bcd'], [[1.5], [2], [True]], 'the others')
    daemon.wait_for_line(r'value of "a" is refused: not finite')


@case(8)
def decimals(w):
    """0.1 + 0.2 is sent as 0.3, and every double with at most 15 decimals, so that it is stored as a double"""
    numbers = [0.1 + 0.2, 1 / 3, 3.141592653589793, 21.37, -1e-9, 1e6 / 7, 2 / 3 * 1e-5, 123456.789012345678]
    prints(w, *(json.dumps(dict(a=n)) for n in numbers))
    w.equal(w.sent('a')[0], '0.3', 'what is sent')
    stored = w.values('a')
    w.equal(kinds(stored), {'float'}, 'types')
    w.check(all(abs(s - n) <= 1e-15 + 1e-15 * abs(n) for s, n in zip(stored, numbers)), 'stored: %s', stored)


@case(9)
def very_large_and_very_small(w):
    """2^63 and more is left out and told, 1e-17 becomes 0.0, large doubles go as plain decimals; nothing becomes text"""
    daemon = prints(w, '{"large": 1e20, "tiny": 1e-17, "big": 1.5e15, "edge": 9223372036854775808, "whole": 9e18}')
    none_of(w, 'large', 'edge')
    daemon.wait_for_line(r'value of "large" is refused: .*2\^63')
    w.equal([str(w.sent(k)[0]) for k in ('tiny', 'big', 'whole')], ['0.0', '1500000000000000.0', '9000000000000000000.0'], 'sent')
    w.equal([w.values(k)[0] for k in ('tiny', 'big', 'whole')], [0, 1500000000000000, 9 * 10 ** 18], 'stored')
    w.equal(kinds(w.values('tiny')), {'float'}, 'type of 0.0')
    w.equal([k for k in w.server.keys(w.name) if 'str' in kinds(w.values(k))], [], 'keys with text')


@case(10)
def whole_doubles(w):
    """42.0 is sent with its dot and stored as a double, 42 as an integer: no column of both"""
    prints(w, '{"d": 42.0, "i": 42}', '{"d": 42.5, "i": 43}', '{"d": -0.0, "i": 0}')
    w.equal([str(x) for x in w.sent('d')], ['42.0', '42.5', '0.0'], 'what is sent')
    w.equal((kinds(w.values('d')), kinds(w.values('i'))), ({'float'}, {'int'}), 'types')


LONGS = [9007199254740993, -2 ** 63, 2 ** 63 - 1]


@case(11)
def long_out(w):
    """64-bit integers go out exactly: in telemetry, in client attributes, in JSON"""
    w.start(w.exec(*(json.dumps(dict(n=n, j=dict(n=n))) for n in LONGS), LAST) + DEVICE % '')
    w.stored('last')
    w.until(lambda: w.has_stored(*w.wire.publishes(wire.TELEMETRY)), 'all that was sent')
    w.equal((w.values('n'), [v['n'] for v in w.values('j')]), (LONGS, LONGS), 'stored')
    w.equal(w.rpc('dev.publish', dict(zip('abc', LONGS))), True, 'answer')
    w.until(lambda: w.attribute('c') is not None, 'client attributes')
    w.equal([w.attribute(k) for k in 'abc'], LONGS, 'client attributes')


@case(11)
def long_in(w):
    """64-bit integers come in exactly: into the mirror of shared attributes, to a plugin, and as params of RPC and back"""
    w.start(DEVICE % 'watch = "b"')
    w.server.share(w.name, dict(zip('abc', LONGS)))
    w.until(lambda: [w.mirror().get(k) for k in 'abc'] == LONGS, 'the mirror')
    w.stored('seen_b', LONGS[1])
    w.equal(w.rpc('dev.echo', LONGS), LONGS, 'params that were sent back')
    w.equal(w.rpc('dev.echo', dict(deep=[dict(n=LONGS[0])])), dict(deep=[dict(n=LONGS[0])]), 'params that were sent back')


@case(12)
def beyond_int64(w):
    """integers beyond 64 bits with a sign are left out and told: they would be stored as text"""
    daemon = prints(w, '{"u": 18446744073709551615, "b": 1}', '{"v": -9223372036854775809, "x": 123456789012345678901234567890}')
    none_of(w, 'u', 'v', 'x')
    w.equal(w.values('b'), [1], 'the other value')
    daemon.wait_for_line(r'value of "u" is refused')


@case(13)
def text_like_numbers(w):
    """text that looks like a number is stored as one, which the manual tells with the way round it; other text stays"""
    prints(w, '{"a": "007", "b": "1.10", "c": "v1.10", "d": {"serial": "007", "version": "1.10"}, "e": "1.2.3"}')
    w.equal([w.values(k)[0] for k in 'abcde'], [7, 1.1, 'v1.10', dict(serial='007', version='1.10'), '1.2.3'], 'stored')
    with open(os.path.join(TOP, 'man', 'tbagent-plugin-exec.7.scd'), encoding='utf8') as f:
        w.check('looks like a number' in f.read(), 'the manual page of exec does not tell it')


@case(13)
def own_version(w):
    """the agent's own version, and what is written in the configuration, arrive as the text they are"""
    w.start(more='attributes = { client = { firmware = "v1.10"; site = "roof"; count = 7; ratio = 0.5; }; };')
    w.until(lambda: w.attribute('site'), 'client attributes')
    w.equal([w.attribute(k) for k in ('firmware', 'site', 'count', 'ratio')], ['v1.10', 'roof', 7, 0.5], 'client attributes')
    w.check(isinstance(w.attribute('tbagent_version'), str), 'tbagent_version %r', w.attribute('tbagent_version'))


@case(14)
def null(w):
    """a value that could not be read is left out, not sent as null; that it could not is told once"""
    prints(w, '{"a": 1}', '{"a": null, "b": 2}', '{"a": null}', '{"c": null, "j": {"x": null}}')
    w.equal((w.values('a'), w.values('b'), w.values('c')), ([1], [2], []), 'stored')
    w.equal(w.values('a_ok'), [False], 'a_ok')
    w.check(not any(b'"a":null' in p.payload for p in w.wire.publishes(wire.TELEMETRY)), 'null was sent')


@case(14)
def null_attribute(w):
    """no client attribute is sent as null"""
    w.start(DEVICE % '')
    w.rpc('dev.publish', dict(gone=None, here=1))
    w.until(lambda: w.attribute('here') == 1, 'the other attribute')
    w.check(not any(b'null' in p.payload for p in w.wire.publishes(wire.ATTRIBUTES)), 'null was sent')


def has_ts_in_ms(w, since):
    """What was sent has the time of now."""
    now = time.time() * 1000
    times = [ts for ts, _ in w.entries()]
    w.check(all(since - 2000 <= ts <= now + 2000 for ts in times), 'times: %s', times)


@case(16)
def milliseconds(w):
    """times are milliseconds; a command that gives seconds is told so and its values are left out"""
    since, mine = time.time() * 1000, int(time.time() * 1000) - 1000
    daemon = prints(w, '{"ts": 1700000000, "values": {"a": 1}}', '{"c": 3}',
                    *('{"ts": %d, "values": {"b": %d}}' % (mine + 10 * i, i) for i in range(9)))
    daemon.wait_for_line(r'a ts that is not in milliseconds')
    none_of(w, 'a')
    found = w.server.series(w.name, ['b'])['b']
    off = [ts - mine - 10 * i for i, (ts, _) in enumerate(found)]
    w.note('off by %s ms', off)
    w.check(len(found) == 9 and sorted(off)[4] in (-1, 0, 1), 'values with times of their own: %s', found)
    has_ts_in_ms(w, since)


@case(16, seconds=6)
def clock_not_set(w):
    """where nothing has set the clock rows wait, and when that takes too long they go marked as estimates"""
    daemon = w.start(COUNTER, clock='auto', telemetry='wait_for_clock = "4s";')
    if daemon.matching(r'^the time is trusted'):
        raise Skipped('the clock of this machine is set')
    began = w.wire.seen(wire.CONNECT)[0].time
    daemon.wait_for_line(r'nothing has synchronized the clock in 4 s')
    w.stored('counter_time', 'estimated')
    first = w.wire.publishes(wire.TELEMETRY)[0].time - began
    w.note('first message after %.1f s', first)
    w.check(first > 3, 'the first message went after %.1f s', first)
    w.counted_on()


@case(17)
def time_that_is_none(w):
    """a time that is text, null or an object never goes out; nor is ts or values taken as a key"""
    bad = ['"2024-01-01"', '"1700000000000"', 'null', '{}', 'true', '[]', '1e400', '-5', '99999999999999999999']
    since = time.time() * 1000
    daemon = prints(w, *('{"ts": %s, "values": {"a": 1}}' % b for b in bad), '{"ts": 1, "b": 1}', '{"values": {"x": 1}, "c": 2}')
    none_of(w, 'a', 'ts', 'values')
    w.equal((w.values('b'), w.values('c')), ([1], [2]), 'other keys of the lines')
    daemon.wait_for_line(r'a ts that is no number')
    has_ts_in_ms(w, since)


TEXTS = {'температура': 'тепло', 'emoji': 'a\U0001F600b', 'quote': 'say "x" \\ / \t\n', 'high': '￿', 'ligature': 'ﬃ'}


@case(39)
def utf8_out(w):
    """keys and text of any script go out as they are, escapes or not; invalid bytes become U+FFFD"""
    raw = json.dumps(TEXTS, ensure_ascii=False)
    prints(w, raw, json.dumps({'e_' + k: v for k, v in TEXTS.items()}), b'{"bad": "x\xff\xfey\xc3"}', b'{"cut": "\xe2\x82"}')
    for key, value in TEXTS.items():
        w.equal((w.values(key), w.values('e_' + key)), ([value], [value]), key)
    w.equal(w.values('bad')[0].replace('�', ''), 'xy', 'text with invalid bytes')
    w.check(w.values('bad')[0].startswith('x�') and w.values('cut')[0].strip('�') == '', 'repaired: %r', w.values('bad'))


@case(39)
def utf8_in(w):
    """text of any script comes in as it is: to the mirror, to a plugin, as params and their answer, as client attribute"""
    w.start(DEVICE % 'watch = "emoji"')
    w.server.share(w.name, TEXTS)
    w.until(lambda: all(w.mirror().get(k) == v for k, v in TEXTS.items()), 'the mirror %s' % w.mirror)
    w.stored('seen_emoji', TEXTS['emoji'])
    w.equal(w.rpc('dev.echo', TEXTS), TEXTS, 'params that were sent back')
    w.equal(w.rpc('dev.text', 'a\u0000ü'), 'a\u0000ü', 'a text that was sent back')
    w.rpc('dev.publish', TEXTS)
    w.until(lambda: all(w.attribute(k) == v for k, v in TEXTS.items()), 'client attributes')


BAD_KEYS = ['k' * 256, ' ', '', '\t', '<b>', 'a<b', '{{x}}', 'ts', 'values', 'ü' * 256, 'a\x01b']


@case(40)
def bad_keys(w):
    """keys that would lose the whole message at the server are refused and told, other keys of the row arrive"""
    daemon = prints(w, *(json.dumps({key: 1, 'good%d' % i: i}, ensure_ascii=i % 2 == 0) for i, key in enumerate(BAD_KEYS)),
                    json.dumps({'k' * 255: 1, 'ü' * 255: 2, 'a > b & c/d{e}': 3}))
    w.equal([w.values('good%d' % i) for i in range(len(BAD_KEYS))], [[i] for i in range(len(BAD_KEYS))], 'other keys')
    w.equal([w.values(k) for k in ('k' * 255, 'ü' * 255, 'a > b & c/d{e}')], [[1], [2], [3]], 'keys that are fine')
    there = set(w.server.keys(w.name))
    w.equal(there & set(BAD_KEYS), set(), 'bad keys at the server')
    daemon.wait_for_line(r'value of "k+" is refused')


@case(40)
def key_with_nul(w):
    """a key with U+0000, which would lose the message, is not sent; the other key of the row arrives"""
    prints(w, r'{"a\u0000b": 1, "good": 2}')
    w.equal(w.values('good'), [2], 'the other key')
    w.check(not any(b'\\u0000' in p.payload or b'\0' in p.payload for p in w.wire.publishes(wire.TELEMETRY)), 'U+0000 was sent')


@case(40)
def bad_attribute_keys(w):
    """nor does such a key go out as a client attribute: the others arrive"""
    w.start(DEVICE % '')
    w.rpc('dev.publish', {'a<b': 1, 'here': 2})
    w.until(lambda: w.attribute('here') == 2, 'the other attribute')
    w.check(not any(b'a<b' in p.payload for p in w.wire.publishes(wire.ATTRIBUTES)), 'a<b was sent')
