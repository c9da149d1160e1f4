# SPDX-License-Identifier: Apache-2.0
"""The part of ThingsBoard's REST API that tests, demo and recorder use; the same calls work on a real server."""
import asyncio
import json
import time

import gson
import rpc
import uplink
import values
from core import Profile
from http_server import Answer

USERS = {'tenant@thingsboard.org': 'tenant', 'sysadmin@thingsboard.org': 'sysadmin',
         'customer@thingsboard.org': 'customer'}
MIN_RPC_TIMEOUT = 5.0       # server.rest.server_side_rpc.min_timeout


class Rest:
    """Routes by method and first parts of the path."""

    def __init__(self, core):
        self.core = core
        self.tokens = {}

    async def handle(self, request):
        path = request.path[1:]
        if path[:2] == ['auth', 'login']:
            return self.login(self._json(request))
        if request.headers.get('x-authorization', '').removeprefix('Bearer ') not in self.tokens:
            raise Answer(401, 'Authentication failed', 10)
        for method, start, handler in self.ROUTES:
            if method == request.method and path[:len(start)] == start:
                out = handler(self, request, path[len(start):])
                return await out if asyncio.iscoroutine(out) else out
        raise Answer(404, 'Not found: %s /%s' % (request.method, '/'.join(request.path)), 32)

    @staticmethod
    def _json(request):
        try:
            return json.loads(request.body or b'null')
        except ValueError:
            raise Answer(400, 'Malformed JSON', 31) from None

    def login(self, body):
        user = (body or {}).get('username')
        if USERS.get(user) is None or USERS[user] != body.get('password'):
            raise Answer(401, 'Invalid username or password', 10)
        token = 'standin.%d.%s' % (len(self.tokens), user)
        self.tokens[token] = user
        return 200, dict(token=token, refreshToken=token)

    # -- devices ------------------------------------------------------------------------------------------------
    def _device(self, ident):
        device = self.core.devices.get(ident)
        if device is None:
            raise Answer(404, 'Device with id [%s] is not found' % ident, 32)
        return device

    def get_device(self, request, rest):
        device = self._device(rest[0])
        return 200, device.credentials_shown() if rest[1:] == ['credentials'] else device.body

    def save_device(self, request, rest):
        body = self._json(request)
        if body.get('id'):
            device = self._device(body['id']['id'])
            device.body.update(body)
            profile = self.core.profiles.get((body.get('deviceProfileId') or {}).get('id'))
            device.profile = profile or device.profile
            return 200, device.body
        if not body.get('name'):
            raise Answer(400, 'Device name should be specified!', 31)
        if self.core.device_named(body['name']):
            raise Answer(400, 'Device with such name already exists!', 31)
        return 200, self.core.create_device(body, request.query.get('accessToken')).body

    def delete_device(self, request, rest):
        self.core.delete_device(self._device(rest[0]))
        return 200, None

    def tenant_devices(self, request, rest):
        """By name, or a page of all."""
        if 'deviceName' in request.query:
            device = self.core.device_named(request.query['deviceName'])
            if device is None:
                raise Answer(404, 'Requested item wasn\'t found!', 32)
            return 200, device.body
        size, page = int(request.query.get('pageSize', 10)), int(request.query.get('page', 0))
        found = [d.body for d in self.core.devices.values()
                 if request.query.get('textSearch', '').lower() in d.name.lower()]
        pages = -(-len(found) // size)
        return 200, dict(data=found[page * size:(page + 1) * size], totalPages=pages, totalElements=len(found),
                         hasNext=page + 1 < pages)

    def save_credentials(self, request, rest):
        body = self._json(request)
        device = self._device(body['deviceId']['id'])
        kind = body.get('credentialsType')
        if kind == 'MQTT_BASIC':
            body['basic'] = json.loads(body['credentialsValue'])
            if not body['basic'].get('clientId') and not body['basic'].get('userName'):
                raise Answer(400, 'Both mqtt client id and user name are empty!', 31)
            body['credentialsId'] = 'basic:%s|%s' % (body['basic'].get('clientId'), body['basic'].get('userName'))
        elif kind != 'ACCESS_TOKEN' or not body.get('credentialsId'):
            raise Answer(400, 'Device credentials are not supported here', 31)
        self.core.set_credentials(device, body)
        return 200, device.credentials_shown()

    # -- telemetry and attributes -------------------------------------------------------------------------------
    def get_telemetry(self, request, rest):
        """/api/plugins/telemetry/DEVICE/{id}/..."""
        device = self._device(rest[0])
        if rest[1:] == ['keys', 'timeseries']:
            return 200, self.core.writer.keys.sort(device.series.rows)
        if rest[1:] == ['values', 'timeseries']:
            return 200, self._timeseries(device, request.query)
        if rest[1:3] == ['values', 'attributes']:
            return 200, self._attributes(device, rest[3:], request.query)
        raise Answer(404, 'Not found', 32)

    def _timeseries(self, device, query):
        strict = query.get('useStrictDataTypes') == 'true'
        names = query.get('keys', '')
        names = names.split(',') if names else list(device.series.rows)
        out = {}
        for key in names:
            if 'startTs' in query:
                rows = device.series.range(key, int(query['startTs']), int(query['endTs']),
                                           int(query.get('limit', 100)), query.get('orderBy') != 'ASC')
            else:
                rows = [device.series.latest.get(key, (int(time.time() * 1000), None))]
            if rows:
                out[key] = [dict(ts=t, value=v if strict else _as_text(v)) for t, v in rows]
        return out

    def _attributes(self, device, scope, query):
        scopes = dict(CLIENT_SCOPE=device.client, SHARED_SCOPE=device.shared, SERVER_SCOPE=device.server)
        chosen = [scopes[scope[0]]] if scope else scopes.values()
        wanted = query['keys'].split(',') if query.get('keys') else None
        now = int(time.time() * 1000)
        return [dict(lastUpdateTs=now, key=k, value=v) for found in chosen for k, v in found.items()
                if wanted is None or k in wanted]

    def save_attributes(self, request, rest):
        """Cast like uploads; the device hears of every write, also of an unchanged value (shared_updates)."""
        device, scope = self._device(rest[0]), rest[-1]
        try:
            items = gson.parse(gson.decode(request.body))
        except ValueError:
            items = None
        if type(items) is not dict:
            raise Answer(400, 'Request is not a JSON object', 31)
        if None in items.values():
            raise Answer(500, 'Null value', 2)
        cast = {k: values.cast(v) for k, v in items.items()}
        if scope == 'SHARED_SCOPE':
            device.shared.update(cast)
            self._tell(device, cast)
        else:
            device.server.update(cast)
        return 200, None

    def delete_attributes(self, request, rest):
        device, scope, keys = self._device(rest[0]), rest[-1], request.query.get('keys', '').split(',')
        stored = dict(SHARED_SCOPE=device.shared, CLIENT_SCOPE=device.client).get(scope, device.server)
        for key in keys:
            stored.pop(key, None)
        if scope == 'SHARED_SCOPE':
            self._tell(device, dict(deleted=keys))
        return 200, None

    @staticmethod
    def _tell(device, update):
        session = device.session
        if session is not None and session.knows('attributes'):
            session.loop.call_later(0.01, session.downlink, 'attributes', uplink.compact(update))

    # -- RPC ----------------------------------------------------------------------------------------------------
    async def send_rpc(self, request, rest):
        """200 with the reply, 406 if it is no JSON, 504 without one (rpc_server)."""
        oneway, device, body = rest[0] == 'oneway', self._device(rest[1]), self._json(request)
        timeout = max(MIN_RPC_TIMEOUT, (body.get('timeout') or 10000) / 1000)
        sent = device.rpc.submit(body['method'], body.get('params'), oneway, timeout, bool(body.get('persistent')))
        if body.get('persistent'):
            return 200, dict(rpcId=sent.uuid)
        response = await sent.done
        if sent.status == 'EXPIRED':
            return 504, None
        return (406, None) if response is rpc.NO_JSON else (200, response)

    def get_rpc(self, request, rest):
        for device in self.core.devices.values():
            found = device.rpc.by_uuid.get(rest[0])
            if found:
                answer = dict(error='not JSON') if found.response is rpc.NO_JSON else found.response
                return 200, dict(id=dict(entityType='RPC', id=found.uuid), status=found.status, response=answer)
        raise Answer(404, 'RPC is not found', 32)

    def claim(self, request, rest):
        device, secret = self.core.device_named(rest[0]), (self._json(request) or {}).get('secretKey', '')
        claim = device and device.claim
        if not claim:
            return 404, dict(response='FAILURE')
        device.claim = None      # a wrong secret spoils it too (7.1)
        if claim[0] != (secret or '') or claim[1] < time.monotonic():
            return 400, 'FAILURE'
        return 200, dict(response='SUCCESS', device=device.body)

    # -- profiles -----------------------------------------------------------------------------------------------
    def save_device_profile(self, request, rest):
        profile = Profile(self._json(request))
        self.core.profiles[profile.body['id']['id']] = profile
        for device in self.core.devices.values():
            if device.profile.body['id'] == profile.body['id']:
                device.profile = profile
        return 200, profile.body

    def default_device_profile(self, request, rest):
        return 200, dict(id=self.core.default_profile.body['id'], name='default', type='DEFAULT')

    def tenant_profile_info(self, request, rest):
        return 200, dict(id=self.core.tenant_profile['id'], name=self.core.tenant_profile['name'])

    def get_tenant_profile(self, request, rest):
        return 200, self.core.tenant_profile

    def save_tenant_profile(self, request, rest):
        body = self._json(request)
        if body.get('id') != self.core.tenant_profile['id']:
            raise Answer(404, 'Tenant profile is not found', 32)
        self.core.save_tenant_profile(body)
        return 200, self.core.tenant_profile

    TELEMETRY = ['plugins', 'telemetry', 'DEVICE']
    ROUTES = [('POST', ['device', 'credentials'], save_credentials), ('POST', ['device'], save_device),
              ('GET', ['device'], get_device), ('DELETE', ['device'], delete_device),
              ('GET', ['tenant', 'devices'], tenant_devices), ('GET', TELEMETRY, get_telemetry),
              ('POST', TELEMETRY, save_attributes), ('DELETE', TELEMETRY, delete_attributes),
              ('GET', ['rpc', 'persistent'], get_rpc), ('POST', ['rpc'], send_rpc),
              ('POST', ['customer', 'device'], claim), ('POST', ['deviceProfile'], save_device_profile),
              ('GET', ['deviceProfileInfo', 'default'], default_device_profile),
              ('GET', ['tenantProfileInfo', 'default'], tenant_profile_info),
              ('GET', ['tenantProfile'], get_tenant_profile), ('POST', ['tenantProfile'], save_tenant_profile)]


def _as_text(value):
    """Without useStrictDataTypes the server gives every value as text."""
    if value is None or type(value) is str:
        return value
    if type(value) is float:
        return values.java_double(value)
    return json.dumps(value, ensure_ascii=False, separators=(',', ':'))
