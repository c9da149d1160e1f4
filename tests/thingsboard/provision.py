# SPDX-License-Identifier: Apache-2.0
"""Provisioning over MQTT: a session of its own in which a device asks for credentials (THINGSBOARD.md 7.2, provisioning)."""
import core
import credentials
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
    faults = session.core.faults
    if answer['status'] == 'SUCCESS' and faults.provision_lost and faults.spend('provision_lost'):
        return session.hang_up('closed before the answer (fault)')
    session.ack(packet)
    session.downlink('provision', uplink.compact(answer), topic=RESPONSE)
    session.loop.call_later(CLOSE_AFTER, session.hang_up, 'provisioning is over')


def _request(body):
    for name in ('provisionDeviceKey', 'provisionDeviceSecret'):
        if not isinstance(body.get(name), str):
            raise Incomplete(name)
    for name in ('deviceName', 'token', 'hash', 'clientId', 'username', 'password'):
        if not isinstance(body.get(name, ''), str):
            raise Incomplete(name)
    if body.get('credentialsType', credentials.TOKEN) not in (credentials.TOKEN, credentials.BASIC, credentials.X509):
        raise Incomplete('credentialsType')
    return dict(body, deviceName=body.get('deviceName', ''))


def _provision(the_core, wanted):
    """The answer to a request; on success the device is there."""
    name = wanted['deviceName'].strip()
    if wanted['deviceName'] and not name:
        return _FAILURE
    profile = next((p for p in the_core.profiles.values() if p.opens_to(wanted)), None)
    if profile is None:
        return _NOT_FOUND
    device = the_core.device_named(name)
    if profile.body['provisionType'] == 'CHECK_PRE_PROVISIONED_DEVICES':
        found = device if device and device.profile is profile else None
    else:
        found = None if device else _created(the_core, profile, wanted, name or core.random_token())
    if found is None:
        return _FAILURE
    found.server['provisionState'] = 'provisioned'
    return _success(found)       # without a new device: the credentials it has, also for a retry


def _created(the_core, profile, wanted, name):
    try:
        chosen = _credentials(wanted)
    except credentials.Refused:
        return None
    if chosen.get('credentialsId') in the_core.lookup:
        return None
    more = dict(additionalInfo=dict(gateway=True)) if wanted.get('gateway') is True else {}
    device = the_core.create_device(dict(more, name=name, type=profile.body.get('name', 'default'),
                                         deviceProfileId=profile.body['id']))
    device.credentials.update(chosen)
    the_core.index_credentials()
    return device


def _credentials(wanted):
    """What the device chose itself; {} leaves the access token that the server makes."""
    kind = wanted.get('credentialsType', credentials.TOKEN)
    if kind == credentials.TOKEN and wanted.get('token'):
        return credentials.formatted(dict(credentialsType=kind, credentialsId=wanted['token']))
    if kind == credentials.X509 and wanted.get('hash'):
        return credentials.formatted(dict(credentialsType=kind, credentialsValue=wanted['hash']))
    if kind == credentials.BASIC:
        basic = dict(clientId=wanted.get('clientId') or '', userName=wanted.get('username') or '',
                     password=wanted.get('password') or '')
        if any(basic.values()):
            return credentials.formatted(dict(credentialsType=kind, credentialsValue=uplink.compact(basic).decode()))
    return {}


def _success(device):
    """The value is a token, a certificate without line ends, or an object."""
    c = device.credentials
    value = {credentials.BASIC: credentials.basic_of, credentials.X509: lambda c: c['credentialsValue']}.get(
        c['credentialsType'], lambda c: c['credentialsId'])(c)
    return dict(credentialsValue=value, credentialsType=c['credentialsType'], status='SUCCESS')
