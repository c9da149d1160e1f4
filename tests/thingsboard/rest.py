# SPDX-License-Identifier: Apache-2.0
"""The part of ThingsBoard's REST API that tests, demo and recorder use; the same calls work on a real server."""
import asyncio
import json
import time

import attributes
import credentials
import gson
import rpc
import values
from core import Profile, entity_id
from http_server import Answer

USERS = {'tenant@thingsboard.org': 'tenant', 'sysadmin@thingsboard.org': 'sysadmin',
         'customer@thingsboard.org': 'customer'}
MIN_RPC_TIMEOUT = 5.0       # server.rest.server_side_rpc.min_timeout


class Rest:
    """Routes by method and first parts of the path."""

    def __init__(self, core):
        self.core = core
        self.tokens = {}            # login token -> user
        self.customer = entity_id('CUSTOMER')

    async def handle(self, request):
        path = request.path[1:]
        if path[:2] == ['auth', 'login']:
            return self.login(self._json(request))
        if self._user(request) is None:
            raise Answer(401, 'Authentication failed', 10)
        for method, start, handler in self.ROUTES:
            if method == request.method and path[:len(start)] == start:
                out = handler(self, request, path[len(start):])
                return await out if asyncio.iscoroutine(out) else out
        raise Answer(404, 'Not found: %s /%s' % (request.method, '/'.join(request.path)), 32)

    def _user(self, request):
        return self.tokens.get(request.headers.get('x-authorization', '').removeprefix('Bearer '))

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
        return 200, device.credentials if rest[1:] == ['credentials'] else device.body

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
                raise Answer(404, "Requested item wasn't found!", 32)
            return 200, device.body
        return 200, _page(request, [d.body for d in self.core.devices.values()
                                    if request.query.get('textSearch', '').lower() in d.name.lower()])

    def save_credentials(self, request, rest):
        body = self._json(request)
        device = self._device(body['deviceId']['id'])
        try:
            self.core.set_credentials(device, body)
        except credentials.Refused as e:
            raise Answer(400, str(e), 31) from None
        return 200, device.credentials

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
        device, scope = self._device(rest[0]), rest[-1]
        try:
            items = gson.parse(gson.decode(request.body))
        except ValueError:
            items = None
        if type(items) is not dict:
            raise Answer(400, 'Request is not a JSON object', 31)
        if None in items.values():
            raise Answer(500, 'Null value', 2)
        bad = next((k for k in items if not values.key_is_good(k)), None)
        if bad is not None:
            raise Answer(400, 'Validation error: key is malformed: %r' % bad, 31)
        attributes.save(device, scope, items)
        return 200, None

    def delete_attributes(self, request, rest):
        attributes.delete(self._device(rest[0]), rest[-1], request.query.get('keys', '').split(','))
        return 200, None

    # -- RPC ----------------------------------------------------------------------------------------------------
    async def send_rpc(self, request, rest):
        """200 with the reply, 406 if it is no JSON, 504 without one (rpc_server)."""
        return await self._rpc(request, rest, {rpc.NO_REPLY: 504, rpc.NOT_SENT: 504})

    async def send_rpc_v1(self, request, rest):
        return await self._rpc(request, rest, {rpc.NO_REPLY: 408, rpc.NOT_SENT: 409})

    async def _rpc(self, request, rest, codes):
        oneway, device, body = rest[0] == 'oneway', self._device(rest[1]), self._json(request)
        if type(body) is not dict or not isinstance(body.get('method'), str):
            raise Answer(400, 'Invalid request body', 31)
        timeout = max(MIN_RPC_TIMEOUT, (body.get('timeout') or 10000) / 1000)
        if body.get('expirationTime'):
            timeout = body['expirationTime'] / 1000 - time.time()
        sent = device.rpc.submit(body, oneway, timeout)
        if sent.persistent and sent.status != 'EXPIRED':
            return 200, dict(rpcId=sent.uuid)
        reply, error = await sent.done
        if error:
            return codes[error], None
        return (406, None) if reply is rpc.NO_JSON else (200, reply)

    def get_rpc(self, request, rest):
        """/api/rpc/persistent/{id}, or device/{id}?rpcStatus=&pageSize=&page="""
        if rest[0] == 'device':
            device, status = self._device(rest[1]), request.query.get('rpcStatus')
            found = [r.describe(device) for r in device.rpc.by_uuid.values() if status in (None, r.status)]
            return 200, _page(request, found)
        device, found = self._persistent_rpc(rest[0])
        return 200, found.describe(device)

    def delete_rpc(self, request, rest):
        device, found = self._persistent_rpc(rest[0])
        device.rpc.remove(found)
        return 200, None

    def _persistent_rpc(self, ident):
        for device in self.core.devices.values():
            if ident in device.rpc.by_uuid:
                return device, device.rpc.by_uuid[ident]
        raise Answer(404, 'RPC with id [%s] is not found' % ident, 32)

    # -- claiming -----------------------------------------------------------------------------------------------
    def claim(self, request, rest):
        """For a customer: an unclaimed device whose own claim is still valid and has the same secret (7.1)."""
        device = self._claimed_device(request, rest, 'customer')
        claim, device.claim = device.claim, None      # a wrong secret spoils it too
        if claim and (claim[1] < time.monotonic() or claim[0] != ((self._json(request) or {}).get('secretKey') or '')):
            return 400, 'FAILURE'
        if device.body.get('customerId'):
            return 400, 'CLAIMED'
        if not claim:
            return 400, 'FAILURE'
        device.body['customerId'] = self.customer
        return 200, dict(device=device.body, response='SUCCESS')

    def reclaim(self, request, rest):
        """For the tenant: takes the device back, so that it can be claimed again."""
        device = self._claimed_device(request, rest, 'tenant')
        device.body['customerId'] = None
        device.claim = None
        return 200, None

    def _claimed_device(self, request, rest, who):
        if not self._user(request).startswith(who):
            raise Answer(403, "You don't have permission to perform this operation!", 20)
        device = self.core.device_named(rest[0]) if rest[1:] == ['claim'] else None
        if device is None:
            raise Answer(404, "Requested item wasn't found!", 32)
        return device

    # -- profiles -----------------------------------------------------------------------------------------------
    def save_device_profile(self, request, rest):
        profile = Profile(self._json(request))
        for other in self.core.profiles.values():
            for member, what in (('name', 'name'), ('provisionDeviceKey', 'provision device key')):
                wanted = profile.body.get(member)
                if wanted and wanted == other.body.get(member) and other.body['id'] != profile.body['id']:
                    raise Answer(400, 'Device profile with such %s already exists!' % what, 31)
        self.core.save_device_profile(profile)
        return 200, profile.body

    def get_device_profile(self, request, rest):
        if rest[0] not in self.core.profiles:
            raise Answer(404, 'Device profile with id [%s] is not found' % rest[0], 32)
        return 200, self.core.profiles[rest[0]].body

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
              ('GET', ['rpc', 'persistent'], get_rpc), ('DELETE', ['rpc', 'persistent'], delete_rpc),
              ('POST', ['rpc'], send_rpc), ('POST', ['plugins', 'rpc'], send_rpc_v1),
              ('POST', ['customer', 'device'], claim), ('DELETE', ['customer', 'device'], reclaim),
              ('POST', ['deviceProfile'], save_device_profile), ('GET', ['deviceProfile'], get_device_profile),
              ('GET', ['deviceProfileInfo', 'default'], default_device_profile),
              ('GET', ['tenantProfileInfo', 'default'], tenant_profile_info),
              ('GET', ['tenantProfile'], get_tenant_profile), ('POST', ['tenantProfile'], save_tenant_profile)]


def _page(request, found):
    size, page = int(request.query.get('pageSize', 10)), int(request.query.get('page', 0))
    pages = -(-len(found) // size)
    return dict(data=found[page * size:(page + 1) * size], totalPages=pages, totalElements=len(found),
                hasNext=page + 1 < pages)


def _as_text(value):
    """Without useStrictDataTypes the server gives every value as text."""
    if value is None or type(value) is str:
        return value
    if type(value) is float:
        return values.java_double(value)
    return json.dumps(value, ensure_ascii=False, separators=(',', ':'))
