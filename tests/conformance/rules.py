# SPDX-License-Identifier: Apache-2.0
"""What holds for everything that the agent ever sends, whatever the case: looked at on the wire at the end of each of them.

Only the topics of the device API, at QoS 1, clean sessions, nothing between CONNECT and CONNACK; telemetry in strict JSON, each
entry with a time in milliseconds, at least one value, no null, keys that the server stores, plain decimals that it takes for
doubles; question ids that rise."""
import json
import re

import wire as w
from values import key_is_good      # of the stand-in: which keys a real server stores

EARLIEST = 978307200000             # 2001 in ms; seconds of today are far below
LARGEST = 65536                     # remaining length that a server takes by default
PLAIN = re.compile(r'-?\d+\.\d{1,15}')
TOPICS = re.compile('%s|%s|%s|(%s|%s|%s)\\d+' % (w.TELEMETRY, w.ATTRIBUTES, w.CLAIM, w.ASK, w.RPC_REQUEST, w.RPC_RESPONSE))
FILTERS = {(f, 1) for f in (w.ATTRIBUTES, w.ANSWER + '+', w.RPC_REQUEST + '+', w.RPC_RESPONSE + '+')}      # and their QoS


class Decimal(str):
    """A number with a fraction or an exponent as it was written."""


def _refuse(text):
    raise ValueError('%s is no JSON' % text)


def parse(payload):
    return json.loads(payload.decode('utf8'), parse_float=Decimal, parse_constant=_refuse)


def entries(payload):
    """[(ts, values)] of a telemetry payload; numbers with a fraction are texts of class Decimal."""
    found = parse(payload)
    return [(e['ts'], e['values']) for e in (found if isinstance(found, list) else [found])]


def _value(key, value):
    if value is None:
        return 'null for %r' % key
    if type(value) is Decimal and not PLAIN.fullmatch(value):
        return '%s for %r' % (value, key)
    if type(value) is int and not -2 ** 63 <= value < 2 ** 63:
        return '%d for %r' % (value, key)
    if not key_is_good(key) or len(key) > 255 or key in ('ts', 'values'):
        return 'key %r' % key
    return None


def _telemetry(payload):
    """What is wrong with it, or None."""
    try:
        found = entries(payload)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        return 'telemetry of the wrong form (%s): %r' % (e, payload[:200])
    for ts, values in found:
        wrong = [t for t in (_value(k, v) for k, v in values.items()) if t]
        if type(ts) is not int or ts < EARLIEST:
            wrong.append('time %r' % ts)
        if wrong or not values:
            return 'telemetry with %s: %r' % (', '.join(wrong) or 'no values', payload[:200])
    return None if found else 'empty telemetry'


def _publish(p):
    if not TOPICS.fullmatch(p.topic):
        return 'a PUBLISH to %s' % p.topic
    if p.qos != 1 or p.flags & 1:
        return 'a PUBLISH to %s with QoS %d and flags %x' % (p.topic, p.qos, p.flags)
    if p.remaining > LARGEST:
        return 'a PUBLISH of %d bytes' % p.remaining
    return _telemetry(p.payload) if p.topic == w.TELEMETRY else None


def _session(packets, version):
    """Of one connection."""
    sent = [p for p in packets if p.up]
    answered = next((i for i, p in enumerate(packets) if p.kind == w.CONNACK), len(packets))
    if not sent:
        return
    if sent[0].kind != w.CONNECT or not sent[0].is_clean or [p for p in packets[:answered] if p.up] != sent[:1]:
        yield 'a connection that begins with packets %s' % [p.kind for p in packets[:answered] if p.up]
    asked = [item for p in sent if p.kind == w.SUBSCRIBE for item in p.subscriptions(version).items()]
    whole = not any(p.topic == w.TELEMETRY for p in sent) or set(asked) == FILTERS
    if len(asked) != len(set(asked)) or not set(asked) <= FILTERS or not whole:
        yield 'SUBSCRIBE to %s' % asked
    for p in sent:
        if p.kind == w.PUBLISH and (wrong := _publish(p)):
            yield wrong
    ids = [int(p.topic.rsplit('/', 1)[1]) for p in sent if p.kind == w.PUBLISH and p.topic.startswith((w.ASK, w.RPC_REQUEST))]
    if ids != sorted(set(ids)) or min(ids, default=1) < 1:
        yield 'ids of questions %s' % ids


def broken(packets, version):
    """All that is wrong with what the agent sent on its device sessions."""
    found = []
    for number in sorted({p.connection for p in packets}):
        mine = [p for p in packets if p.connection == number]
        if not any(p.topic.startswith('/provision/') for p in mine):
            found += _session(mine, version)
    return found
