# SPDX-License-Identifier: Apache-2.0
"""The server's memory: devices, credentials, profiles, sessions, counters and the event log."""
import argparse
import copy
import random
import string
import time
import uuid
from collections import deque

import credentials
import limits
import topics
from faults import Faults
from rpc import RpcQueue
from store import Series, Writer

EVENTS_KEPT = 50000
CLAIMS_KEPT = 100
COUNTERS = ('connects', 'sessions', 'disconnects', 'evictions', 'closes_rate_limit', 'publishes', 'points_received',
            'points_stored', 'acks', 'bytes_received')
OPTIONS = dict(settle=0.05, store_delay=0.03, connack_delay=0.01, rpc_ack_timeout=10.0, client_rpc_timeout=60.0, inactivity=600.0,
               young=7.0)


def entity_id(kind, ident=None):
    return dict(entityType=kind, id=ident or str(uuid.uuid4()))


def random_token():
    return ''.join(random.choices(string.ascii_letters + string.digits, k=20))


class Profile:
    """A device profile, as far as the transport looks at it."""

    def __init__(self, body):
        self.body = dict(body, id=body.get('id') or entity_id('DEVICE_PROFILE'))
        transport = (body.get('profileData') or {}).get('transportConfiguration') or {}
        self.ack_on_validation = bool(transport.get('sendAckOnValidationException'))
        self.secret = ((body.get('profileData') or {}).get('provisionConfiguration') or {}).get('provisionDeviceSecret')
        self.custom_topics = None
        if transport.get('type') == 'MQTT':
            wanted = dict(telemetry=transport.get('deviceTelemetryTopic') or topics.TELEMETRY,
                          attributes=transport.get('deviceAttributesTopic') or topics.ATTRIBUTES,
                          updates=transport.get('deviceAttributesSubscribeTopic') or topics.ATTRIBUTES)
            if wanted != dict(telemetry=topics.TELEMETRY, attributes=topics.ATTRIBUTES, updates=topics.ATTRIBUTES):
                self.custom_topics = wanted

    def opens_to(self, request):
        """Whether a provisioning request has this profile's key and secret."""
        return (self.body.get('provisionType', 'DISABLED') != 'DISABLED' and self.secret is not None
                and self.body.get('provisionDeviceKey') == request['provisionDeviceKey']
                and self.secret == request['provisionDeviceSecret'])


class Device:
    def __init__(self, body, profile):
        self.body = dict(body)
        self.profile = profile
        self.credentials = dict(id=dict(id=str(uuid.uuid4())), deviceId=body['id'], credentialsType=credentials.TOKEN,
                                credentialsId=random_token(), credentialsValue=None)
        self.session = None
        self.series = Series()
        self.client, self.shared, self.server = {}, {}, {}
        self.rpc = RpcQueue(self)
        self.claim = None            # (secret, until)
        self.claims = deque(maxlen=CLAIMS_KEPT)
        self.bytes_received = self.messages = self.points = self.connects = 0
        self.first_arrival = self.last_arrival = None

    @property
    def name(self):
        return self.body['name']

    @property
    def id(self):
        return self.body['id']['id']

    def claim_by(self, secret, ms):
        """The first claim stays until it expires; none for a device that belongs to a customer (7.1)."""
        self.claims.append(dict(t=round(time.time(), 4), secret=secret, duration_ms=ms))
        if not self.body.get('customerId') and (self.claim is None or self.claim[1] < time.monotonic()):
            self.claim = (secret, time.monotonic() + ms / 1000)

    def describe(self):
        s = self.session
        return dict(name=self.name, connected=s is not None, client_id=s.client_id if s else None,
                    protocol={3: '3.1', 4: '3.1.1', 5: '5'}[s.version] if s else None,
                    tls=s.tls if s else None, subscriptions=dict(s.subscribed) if s else {}, claims=list(self.claims),
                    connects=self.connects, messages=self.messages,
                    points=self.points, bytes_received=self.bytes_received, first_arrival=self.first_arrival,
                    last_arrival=self.last_arrival, stored=self.series.stored, duplicated=self.series.duplicated,
                    reordered=self.series.reordered)


class Core:
    def __init__(self, options=None):
        self.options = options or argparse.Namespace(**OPTIONS)
        self.devices = {}            # id -> Device
        self.lookup = {}             # credentials id -> Device
        self.default_profile = Profile(dict(name='default', type='DEFAULT', transportType='DEFAULT', default=True,
                                            provisionType='DISABLED', profileData=dict(
                                                configuration=dict(type='DEFAULT'),
                                                transportConfiguration=dict(type='DEFAULT'))))
        self.profiles = {self.default_profile.body['id']['id']: self.default_profile}
        self.tenant_profile = dict(id=entity_id('TENANT_PROFILE'), createdTime=int(time.time() * 1000), name='Default',
                                   description='Default tenant profile', isolatedTbRuleEngine=False, default=True,
                                   profileData=dict(configuration=dict(type='DEFAULT')))
        self.limits = limits.RateLimits(self.tenant_profile['profileData']['configuration'])
        self.faults = Faults()
        self.writer = Writer(self.options.store_delay, self._stored, self.options.young)
        self.sessions = set()
        self.session_count = 0
        self.black_hole = None       # None, '' (all) or the name of a device
        self.listener = None         # set by serve: start() and stop() the MQTT port
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.events = deque(maxlen=EVENTS_KEPT)
        self.sequence = 0
        self.started = time.time()

    # -- devices and credentials --------------------------------------------------------------------------------
    def device_named(self, name):
        return next((d for d in self.devices.values() if d.name == name), None)

    def create_device(self, body, token=None):
        profile = self.profiles.get((body.get('deviceProfileId') or {}).get('id'), self.default_profile)
        body = dict(body, id=entity_id('DEVICE'), createdTime=int(time.time() * 1000),
                    deviceProfileId=profile.body['id'])
        device = Device(body, profile)
        if token:
            device.credentials['credentialsId'] = token
        self.devices[device.id] = device
        self.index_credentials()
        return device

    def delete_device(self, device):
        del self.devices[device.id]
        self.index_credentials()
        if device.session:
            device.session.end(0x98, 'device deleted')

    def set_credentials(self, device, wanted):
        """New credentials close the live session (token_rotated); Refused: they stay as they were."""
        new = credentials.formatted(wanted)
        if self.lookup.get(new['credentialsId'], device) is not device:
            raise credentials.Refused('Specified credentials are already registered!')
        device.credentials.update(new)
        self.index_credentials()
        if device.session:
            device.session.end(0x98, 'credentials changed')

    def index_credentials(self):
        self.lookup = {d.credentials['credentialsId']: d for d in self.devices.values()}

    def save_device_profile(self, profile):
        """A changed one is in force at once, also for live sessions (1.2)."""
        self.profiles[profile.body['id']['id']] = profile
        for device in self.devices.values():
            if device.profile.body['id'] == profile.body['id']:
                device.profile = profile

    # -- sessions -----------------------------------------------------------------------------------------------
    def session_opened(self, session):
        self.sessions.add(session)
        self.session_count += 1
        self.counters['connects'] += 1
        return self.session_count

    def session_up(self, session, packet):
        """One session for each device: the older one is told 0x8E (second_session)."""
        device = session.device
        self.counters['sessions'] += 1
        self.log('connect', session, client_id=session.client_id, version=session.version, clean=packet.clean,
                 keepalive=packet.keepalive, tls=session.tls, certificate=session.certificate is not None)
        if device is None:
            return
        old, device.session = device.session, session
        device.connects += 1
        if old is not None and old is not session:
            self.counters['evictions'] += 1
            old.end(0x8E, 'evicted by a newer session')
        if self.black_hole and self.black_hole == device.name:
            session.freeze()

    def session_ended(self, session, reason, code):
        self.counters['disconnects'] += 1
        self.log('disconnect', session, reason=reason, code=code)
        if session.device is not None and session.device.session is session:
            session.device.session = None

    def session_gone(self, session):
        self.sessions.discard(session)

    def close_idle(self):
        """No keep-alive is enforced, only ten minutes without a packet end a session (2.3)."""
        limit = time.monotonic() - self.options.inactivity
        for session in list(self.sessions):
            if session.device and session.active < limit:
                session.end(0xA0, 'inactivity')

    def set_black_hole(self, who):
        self.black_hole = who
        for session in sorted(self.sessions, key=lambda s: s.number):
            name = session.device.name if session.device else None
            if who is not None and who in ('', name):
                session.freeze()
            else:
                session.thaw()

    # -- counters and events ------------------------------------------------------------------------------------
    def log(self, event, session=None, **details):
        self.sequence += 1
        entry = dict(seq=self.sequence, t=round(time.time(), 4), event=event)
        if session is not None:
            entry.update(connection=session.number, device=session.device.name if session.device else None)
        entry.update(details)
        self.events.append(entry)

    def events_since(self, since, limit):
        found = []
        for entry in reversed(self.events):
            if entry['seq'] <= since:
                break
            found.append(entry)
        return found[::-1][:limit]

    def bytes_received(self, session, count):
        self.counters['bytes_received'] += count
        if session.device:
            session.device.bytes_received += count

    def published(self, session, packet, what, points=0, **details):
        self.log('publish', session, topic=packet.topic, qos=packet.qos, id=packet.id, size=packet.size, what=what,
                 points=points, **details)

    def telemetry(self, session, packet, entries, points, now_ms):
        times = [now_ms if ts is None else ts for ts, _ in entries]
        self.published(session, packet, 'telemetry', points, first_ts=min(times, default=None),
                       last_ts=max(times, default=None))
        device = session.device
        self.counters['points_received'] += points
        device.points += points
        device.messages += 1
        device.last_arrival = time.time()
        device.first_arrival = device.first_arrival or device.last_arrival
        self.writer.telemetry(device, entries, now_ms)

    def acknowledged(self, session, ident, code):
        self.counters['acks'] += 1
        self.log('puback', session, id=ident, code=code)

    def _stored(self, device, rows):
        self.counters['points_stored'] += rows

    def stats(self):
        return dict(self.counters, open_connections=len(self.sessions), events=self.sequence,
                    uptime=round(time.time() - self.started, 3), store_queue=len(self.writer.lane.queue),
                    devices=[d.describe() for d in self.devices.values()])

    def reset_data(self):
        """Forgets telemetry, counters and events; devices and sessions stay."""
        for device in self.devices.values():
            device.series = Series()
            device.bytes_received = device.messages = device.points = device.connects = 0
            device.first_arrival = device.last_arrival = None
            device.claims.clear()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.events.clear()

    def save_tenant_profile(self, body):
        self.tenant_profile = copy.deepcopy(body)
        self.limits.configuration = self.tenant_profile['profileData']['configuration']
        self.limits.reset()
