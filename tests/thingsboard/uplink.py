# SPDX-License-Identifier: Apache-2.0
"""What a PUBLISH of a device means and how it is answered (THINGSBOARD.md 1.4, 3, 4, 6)."""
import re
import time

import attributes
import gson
import provision
import topics
import values
from gson import TooDeep
from values import BadPayload, Uncaught

GAP = 0.02    # seconds the real server takes, at least, for an answer it must look up
REPLY_SHOWN = 16384      # bytes of an RPC reply in the log of events


def publish(session, packet):
    """Routes a PUBLISH and turns the adaptor's errors into what the wire shows."""
    core = session.core
    core.counters['publishes'] += 1
    if session.provisioning:
        return provision.publish(session, packet)
    found = topics.route(packet.topic, session.device.profile)
    if found is None:
        core.published(session, packet, 'unknown topic')
        return session.ack(packet, 0x90)
    feature, session_flavour, tail = found
    try:
        if session_flavour == topics.V2P:
            raise BadPayload('protobuf on a JSON profile')
        _FEATURES[feature](session, packet, session_flavour, tail)
    except BadPayload as e:
        _bad_payload(session, packet, e)
    except Uncaught as e:
        core.published(session, packet, 'error: %s' % e)
        session.end(0x8B, 'uncaught: %s' % e)
    except (TooDeep, RecursionError):
        # the real 4.2.1 acknowledges and then stores nothing at all any more (3.1); here only this message is lost
        core.published(session, packet, 'too deep')
        session.ack(packet)


def _bad_payload(session, packet, error):
    session.core.published(session, packet, 'bad payload: %s' % error)
    if session.version == 5:
        if packet.qos:
            session.ack(packet, 0x99)
        else:
            session.end(0x99, 'bad payload at QoS 0')
    elif session.device.profile.ack_on_validation:
        session.ack(packet)
    else:
        session.end(None, 'bad payload')


def admitted(session, packet, points):
    """Rate limits, told and hidden, and the fault that closes before PUBACK. False: the session is over."""
    core, faults = session.core, session.core.faults
    if faults.over_hidden_limit(session.device.name, points) or not core.limits.allow(session.device.name, points):
        core.published(session, packet, 'rate limit', points)
        session.rate_limited()
        return False
    if faults.close_before_puback and packet.qos and not faults.close_stores and faults.spend('close_before_puback'):
        core.published(session, packet, 'closed before PUBACK (fault), not stored', points)
        session.hang_up('closed before PUBACK (fault)', faults.close_how)
        return False
    return True


def accepted(session, packet):
    """The PUBACK of a stored message, or the close instead of it."""
    faults = session.core.faults
    if faults.close_before_puback and packet.qos and faults.spend('close_before_puback'):
        session.hang_up('closed before PUBACK (fault)', faults.close_how)
    else:
        session.ack(packet)


def _telemetry(session, packet, flavour, tail):
    entries = values.telemetry(packet.payload)
    points = sum(len(items) for _, items in entries)
    if not admitted(session, packet, points):
        return
    core, now_ms = session.core, int(time.time() * 1000)
    core.telemetry(session, packet, entries, points, now_ms)
    if entries:     # `[]` is accepted and never acknowledged (telemetry_empty_array)
        accepted(session, packet)


def number_of(tail, error):
    """A Java int at the end of a topic."""
    if not re.match(r'[+-]?\d+\Z', tail) or not -2 ** 31 <= int(tail) < 2 ** 31:
        raise error('not an int: %r' % tail)
    return int(tail)


def compact(value):
    """JSON as the server sends it."""
    return values.to_json(value).encode('utf-8', 'replace')


def _rpc_reply(session, packet, flavour, tail):
    ident = number_of(tail, BadPayload)
    if not admitted(session, packet, 0):
        return
    session.core.published(session, packet, 'RPC reply')
    session.ack(packet)
    session.lane.put(0, _reply_arrived, session, ident, packet.payload)


def _reply_arrived(session, ident, payload):
    known = session.device.rpc.replied(ident, payload)
    session.core.log('rpc reply', session, id=ident, stale=not known, size=len(payload),
                     payload=payload[:REPLY_SHOWN].decode('utf-8', 'replace'))


def _client_rpc(session, packet, flavour, tail):
    ident = number_of(tail, Uncaught)
    body = values.parse_object(packet.payload)
    method = body.get('method')
    if method is None:
        raise Uncaught('client RPC without method')
    session.flavour['client_rpc'] = flavour
    if method == 'getSessionLimits' and flavour == topics.V1:      # answered by the transport, free of charge (6, 9.2)
        return _session_limits(session, packet, ident)
    if not admitted(session, packet, 0):
        return
    session.core.published(session, packet, 'client RPC')
    session.core.log('client rpc', session, id=ident, method=str(method)[:REPLY_SHOWN],
                     params=compact(values.nested(body.get('params'))).decode()[:REPLY_SHOWN])
    session.ack(packet)
    session.client_rpcs.add(ident)
    session.loop.call_later(session.core.options.client_rpc_timeout, _client_rpc_over, session, ident)


def _client_rpc_over(session, ident):
    """The timer is of the id: that of an earlier request ends a later one with the same id, too (6)."""
    if ident in session.client_rpcs:
        session.client_rpcs.discard(ident)
        session.downlink('client_rpc', b'{"error":"timeout"}', ident)


def _session_limits(session, packet, ident):
    core, fault = session.core, session.core.faults.session_limits
    core.published(session, packet, 'getSessionLimits')
    session.ack(packet)
    if fault == 'silent':
        return
    answer = fault or dict(maxPayloadSize=65536, maxInflightMessages=100, rateLimits=core.limits.session_limits())
    session.downlink('client_rpc', compact(answer), ident)


def _claim(session, packet, flavour, tail):
    body = values.parse_object(packet.payload) if packet.payload else {}
    if 'secretKey' in body and (body['secretKey'] is None or type(body['secretKey']) is dict):
        raise Uncaught('secretKey')
    duration = body.get('durationMs', gson.Num('86400000'))
    if type(duration) not in (gson.Num, str) or not re.match(r'-?\d+(\.\d+)?\Z', duration):
        raise Uncaught('durationMs')
    if not admitted(session, packet, 0):
        return
    session.core.published(session, packet, 'claim')
    session.device.claim_by(str(body.get('secretKey', '')), float(duration))
    session.ack(packet)


def _ota(session, packet, flavour, tail):
    """Nothing assigned, ever: NOT_FOUND on v2/fw/error and close (8)."""
    session.core.published(session, packet, 'OTA request')
    session.downlink('ota_error', b'NOT_FOUND', topic='v2/fw/error')
    session.end(0x83, 'no OTA package')


def _gateway(session, packet, flavour, tail):
    """A device that is no gateway gets no answer of any kind (gateway_topic_plain_device)."""
    session.core.published(session, packet, 'gateway topic ignored')


def _unknown(session, packet, flavour, tail):
    session.core.published(session, packet, 'unknown topic')
    session.ack(packet, 0x90)


_FEATURES = dict(telemetry=_telemetry, attributes=attributes.publish, attribute_request=attributes.request,
                 rpc_reply=_rpc_reply, client_rpc=_client_rpc, claim=_claim, ota=_ota, gateway=_gateway,
                 provision=_unknown)
