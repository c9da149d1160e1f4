# SPDX-License-Identifier: Apache-2.0
"""Provisioning over MQTT: a session of its own in which a device asks for credentials (THINGSBOARD.md 7.2, provisioning)."""
import core
import uplink
import values

REQUEST, RESPONSE = '/provision/request', '/provision/response'
CLOSE_AFTER = 60.0       # the server closes the session so long after its answer
_NOT_FOUND = dict(errorMsg='Provision data was not found!', status='NOT_FOUND')
_FAILURE = dict(errorMsg='Failed to provision device!', status='FAILURE')


class Incomplete(Exception):
    """A required member is missing or of no use: PUBACK 0x83 and close."""


def publish(session, packet):
    session.core.published(session, packet, 'provisioning')
    if packet.topic != REQUEST:
        session.ack(packet, 0x90)
        return session.end(0x90, 'not a provisioning topic')
    try:
        wanted = _request(values.parse_object(packet.payload))
    except values.BadPayload as e:
        if session.version != 5 or not packet.qos:
            return session.end(0x99, 'bad payload: %s' % e)
        return session.ack(packet, 0x99)
    except Incomplete as e:
        session.ack(packet, 0x83)
        return session.end(0x83, 'provisioning request: %s' % e)
    answer = _provision(session.core, wanted)
    session.loop.call_later(uplink.GAP, _answer, session, packet, answer)


def _answer(session, packet, answer):
    session.ack(packet)
    session.downlink('provision', uplink.compact(answer), topic=RESPONSE)
    session.loop.call_later(CLOSE_AFTER, session.hang_up, 'provisioning is over')


def _request(body):
    for name in ('provisionDeviceKey', 'provisionDeviceSecret'):
        if not isinstance(body.get(name), str):
            raise Incomplete(name)
    if body.get('deviceName', '') is None:
        raise Incomplete('deviceName')
    if body.get('credentialsType', 'ACCESS_TOKEN') not in ('ACCESS_TOKEN', 'MQTT_BASIC', 'X509_CERTIFICATE'):
        raise Incomplete('credentialsType')
    return dict(body, deviceName=str(body.get('deviceName', '')).strip() or core.random_token())


def _provision(the_core, wanted):
    """The answer to a request; on success the device is there."""
    profile = next((p for p in the_core.profiles.values() if p.opens_to(wanted)), None)
    if profile is None:
        return _NOT_FOUND
    device = the_core.device_named(wanted['deviceName'])
    if profile.body['provisionType'] == 'CHECK_PRE_PROVISIONED_DEVICES':
        return _success(device) if device else _FAILURE      # a retry gets the same credentials
    credentials = _credentials(wanted)
    if device or credentials is None or _taken(the_core, credentials):
        return _FAILURE
    more = dict(additionalInfo=dict(gateway=True)) if wanted.get('gateway') is True else {}
    device = the_core.create_device(dict(more, name=wanted['deviceName'], type=profile.body.get('name', 'default'),
                                         deviceProfileId=profile.body['id']))
    device.credentials.update(credentials)
    the_core.index_credentials()
    return _success(device)


def _credentials(wanted):
    """What the device chose itself; {} leaves the access token the server makes; None: impossible."""
    kind = wanted.get('credentialsType', 'ACCESS_TOKEN')
    if kind == 'ACCESS_TOKEN' and wanted.get('token'):
        return dict(credentialsType=kind, credentialsId=wanted['token'])
    if kind == 'MQTT_BASIC':
        basic = dict(clientId=wanted.get('clientId') or '', userName=wanted.get('username') or '',
                     password=wanted.get('password') or '')
        if basic['clientId'] and basic['password'] and not basic['userName']:
            return None
        if any(basic.values()):
            return dict(credentialsType=kind, credentialsId='basic:%s|%s' % (basic['clientId'], basic['userName']),
                        credentialsValue=uplink.compact(basic).decode(), basic=basic)
    return {}


def _taken(the_core, credentials):
    key = core.basic_key(credentials['basic']) if 'basic' in credentials else (None, credentials.get('credentialsId'))
    return key in the_core.lookup


def _success(device):
    c = device.credentials
    return dict(credentialsValue=c.get('basic') or c['credentialsId'], credentialsType=c['credentialsType'],
                status='SUCCESS')
