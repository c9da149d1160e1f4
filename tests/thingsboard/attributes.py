# SPDX-License-Identifier: Apache-2.0
"""Attributes between device and server: requests, answers, updates of shared ones (THINGSBOARD.md 0.9, 4).

The core looks at what a session sends in order. A SUBSCRIBE takes it `--settle` seconds: updates until then are lost, and
a request behind it is answered only then."""
import uplink
import values
from values import BadPayload

TOLD = 0.01      # from a write to its update


def publish(session, packet, flavour, tail):
    items = values.attributes(packet.payload)
    if not uplink.admitted(session, packet, len(items)):
        return
    core = session.core
    core.published(session, packet, 'attributes', len(items))
    core.log('attributes', session, keys=list(items)[:1000])
    core.writer.client_attributes(session.device, items)
    uplink.accepted(session, packet)


def request(session, packet, flavour, tail):
    ident = uplink.number_of(tail, BadPayload)
    body = values.parse_object(packet.payload)
    asked = {scope: _key_list(body[name]) for scope, name in (('client', 'clientKeys'), ('shared', 'sharedKeys'))
             if name in body}
    if not uplink.admitted(session, packet, 0):
        return
    session.core.published(session, packet, 'attribute request')
    session.flavour['attribute_request'] = flavour
    session.ack(packet)
    if ident < 0 or any('' in keys for keys in asked.values()):
        return      # an exception in the core: no answer ever (attributes_roundtrip)
    if not session.core.faults.answer_lost():
        session.lane.put(0, session.loop.call_later, uplink.GAP, _answer, session, ident, asked)


def _key_list(value):
    """`"a,b"`, or an array of one such string (4)."""
    if type(value) is list:
        if len(value) != 1:
            raise BadPayload('list of keys')
        value = value[0]
    if not isinstance(value, (str, bool)):
        raise BadPayload('list of keys')
    return _java_split(str(value))


def _java_split(text):
    """String.split(","): trailing empty parts fall away, but "" stays one empty part."""
    parts = text.split(',')
    while len(parts) > 1 and parts[-1] == '':
        parts.pop()
    return parts


def _answer(session, ident, asked):
    device, answer = session.device, {}
    for scope, stored in (('client', device.client), ('shared', device.shared)):
        if not asked:
            found = stored
        else:
            found = {k: stored[k] for k in asked.get(scope, ()) if k in stored}
        if found:
            answer[scope] = found
    session.downlink('attribute_request', uplink.compact(answer), ident)


def save(device, scope, items):
    """A write by REST. The device hears of shared ones, also of an unchanged value (shared_updates)."""
    cast = {k: values.cast_once(v) for k, v in items.items()}
    stored = device.shared if scope == 'SHARED_SCOPE' else device.server
    stored.update({k: values.without_nul(v) for k, v in cast.items()})
    if scope == 'SHARED_SCOPE':
        _tell(device, cast)


def delete(device, scope, keys):
    stored = dict(SHARED_SCOPE=device.shared, CLIENT_SCOPE=device.client).get(scope, device.server)
    for key in keys:
        stored.pop(key, None)
    if scope == 'SHARED_SCOPE':
        _tell(device, dict(deleted=keys))


def _tell(device, update):
    session = device.session
    if session is not None and session.knows('attributes'):
        session.loop.call_later(TOLD, session.downlink, 'attributes', uplink.compact(update))

