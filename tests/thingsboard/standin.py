# SPDX-License-Identifier: Apache-2.0
"""For tests and demo: starts the stand-in server, or attaches to a running one or to a real ThingsBoard.

    with Standin() as tb:
        token = tb.create_device('boiler')
        tb.control('faults', {'close_before_puback': 3})
        ...
        print(tb.count('boiler')['stored'], tb.series('boiler'))

What stands below "control calls" needs a stand-in; all else goes through ThingsBoard's own REST API. Certificates for TLS
are made by certificates.py."""
import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from urllib.parse import quote

HERE = os.path.dirname(os.path.abspath(__file__))
GAP_KEY = 'tbagent_gap'
ALL_TIME = (-9007199254740991, 9007199254740991)


class RestError(Exception):
    """An answer other than 200."""

    def __init__(self, status, body, call):
        super().__init__('%s: HTTP %d %s' % (call, status, body))
        self.status = status
        self.body = body


class Standin:
    """Context manager. http: URL; mqtt, tls: ports (tls None: there is none); host: MQTT host."""
    process = tls = token = None

    def __init__(self, *options, http=0, mqtt=0, tls=0, cert=None, key=None):
        """With cert and key (names of PEM files) it also listens for TLS."""
        self.user, self.password = 'tenant@thingsboard.org', 'tenant'
        self.ids = {}
        self.host = '127.0.0.1'
        secure = ['--tls', str(tls), '--cert', cert, '--key', key] if cert else []
        self._start([os.path.join(HERE, 'serve'), '--http', str(http), '--mqtt', str(mqtt), *secure, *options])

    @classmethod
    def attach(cls, http_url, mqtt_host, mqtt_port, user='tenant@thingsboard.org', password='tenant', tls=None):
        """A server that runs already; the control calls only work if it is a stand-in."""
        self = cls.__new__(cls)
        self.user, self.password = user, password
        self.ids = {}
        self.http, self.host, self.mqtt, self.tls = http_url.rstrip('/'), mqtt_host, int(mqtt_port), tls
        return self

    def _start(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().split()
        if words[:1] != ['ready']:
            self.process.kill()
            self.process.wait()
            raise RuntimeError('the stand-in server did not start')
        ports = dict(w.split('=') for w in words[1:])
        self.http, self.mqtt = 'http://127.0.0.1:' + ports['http'], int(ports['mqtt'])
        self.tls = int(ports['tls']) if 'tls' in ports else None

    def close(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # -- REST of ThingsBoard ------------------------------------------------------------------------------------
    def call(self, method, path, body=None, timeout=40):
        """One REST call; logs in when needed. Returns the decoded answer, raises RestError."""
        if self.token is None and not path.startswith(('/standin/', '/api/auth/')):
            answer = self.call('POST', '/api/auth/login', dict(username=self.user, password=self.password))
            self.token = answer['token']
        request = urllib.request.Request(self.http + path, method=method,
                                         data=None if body is None else json.dumps(body).encode())
        request.add_header('Content-Type', 'application/json')
        if self.token:
            request.add_header('X-Authorization', 'Bearer ' + self.token)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as f:
                return _decoded(f.read())
        except urllib.error.HTTPError as e:
            raise RestError(e.code, _decoded(e.read()), '%s %s' % (method, path)) from None

    def create_device(self, name, **more):
        """Creates a device and returns its access token."""
        self.ids[name] = self.call('POST', '/api/device', dict(dict(name=name, type='default'), **more))['id']['id']
        return self.device_token(name)

    def device_id(self, name):
        if name not in self.ids:
            self.ids[name] = self.call('GET', '/api/tenant/devices?deviceName=' + quote(name))['id']['id']
        return self.ids[name]

    def credentials(self, name):
        return self.call('GET', '/api/device/%s/credentials' % self.device_id(name))

    def device_token(self, name):
        return self.credentials(name)['credentialsId']

    def set_token(self, name, token):
        """A new access token; the server closes the live session, as with the other kinds."""
        self._set_credentials(name, 'ACCESS_TOKEN', token, None)

    def set_basic(self, name, client_id=None, user=None, password=None):
        """MQTT_BASIC: client id, user name or both; a password where there is a user name."""
        basic = dict(clientId=client_id, userName=user, password=password)
        self._set_credentials(name, 'MQTT_BASIC', None, json.dumps(basic))

    def set_certificate(self, name, pem):
        """X509_CERTIFICATE: the text of the client's certificate."""
        self._set_credentials(name, 'X509_CERTIFICATE', None, pem)

    def _set_credentials(self, name, kind, ident, value):
        self.call('POST', '/api/device/credentials', dict(self.credentials(name), credentialsType=kind, credentialsId=ident,
                                                          credentialsValue=value))

    def create_profile(self, name, provision='DISABLED', key=None, secret=None, transport=None):
        """A device profile, for create_device(..., deviceProfileId=profile['id']). provision: also
        ALLOW_CREATE_NEW_DEVICES or CHECK_PRE_PROVISIONED_DEVICES; transport: a transport configuration of type MQTT."""
        return self.call('POST', '/api/deviceProfile', dict(
            name=name, type='DEFAULT', transportType='MQTT' if transport else 'DEFAULT', provisionType=provision,
            provisionDeviceKey=key, profileData=dict(
                configuration=dict(type='DEFAULT'), transportConfiguration=transport or dict(type='DEFAULT'),
                provisionConfiguration=dict(type=provision, provisionDeviceSecret=secret))))

    def claim(self, name, secret=''):
        """A customer claims the device; RestError 400 'FAILURE' or 'CLAIMED' if it may not be."""
        there = Standin.attach(self.http, self.host, self.mqtt, 'customer@thingsboard.org', 'customer')
        return there.call('POST', '/api/customer/device/%s/claim' % quote(name), dict(secretKey=secret))

    def unclaim(self, name):
        self.call('DELETE', '/api/customer/device/%s/claim' % quote(name))

    def delete_device(self, name):
        self.call('DELETE', '/api/device/' + self.device_id(name))
        del self.ids[name]

    def _telemetry(self, name, rest):
        return '/api/plugins/telemetry/DEVICE/%s/%s' % (self.device_id(name), rest)

    def keys(self, name):
        return self.call('GET', self._telemetry(name, 'keys/timeseries'))

    def series(self, name, keys=None, start=ALL_TIME[0], end=ALL_TIME[1], limit=10000):
        """{key: [(ts, value), ...]}, oldest first; the newest `limit` rows of each key."""
        keys = self.keys(name) if keys is None else keys
        if not keys:
            return {}
        found = self.call('GET', self._telemetry(
            name, 'values/timeseries?keys=%s&startTs=%d&endTs=%d&limit=%d&useStrictDataTypes=true&agg=NONE' % (
                quote(','.join(keys)), start, end, limit)))
        return {k: [(r['ts'], r['value']) for r in reversed(rows)] for k, rows in found.items()}

    def latest(self, name, keys=None):
        keys = self.keys(name) if keys is None else keys
        found = self.call('GET', self._telemetry(
            name, 'values/timeseries?useStrictDataTypes=true&keys=' + quote(','.join(keys)))) if keys else {}
        return {k: rows[0]['value'] for k, rows in found.items() if rows}

    def attributes(self, name, scope='CLIENT_SCOPE'):
        return {x['key']: x['value'] for x in self.call('GET', self._telemetry(name, 'values/attributes/' + scope))}

    def share(self, name, values):
        self.call('POST', self._telemetry(name, 'attributes/SHARED_SCOPE'), values)

    def unshare(self, name, keys):
        self.call('DELETE', self._telemetry(name, 'SHARED_SCOPE?keys=' + quote(','.join(keys))))

    def rpc(self, name, method, params=None, oneway=False, timeout=10, **more):
        """The device's reply; RestError 504 if none came in time, 406 if it was no JSON. With persistent=True at once
        {'rpcId': ...}; retries= and expirationTime= are for these."""
        return self.call('POST', '/api/rpc/%s/%s' % ('oneway' if oneway else 'twoway', self.device_id(name)),
                         dict(more, method=method, params=params, timeout=int(timeout * 1000)), timeout + 30)

    def rpc_state(self, rpc_id):
        """What became of a persistent request: status, response, ..."""
        return self.call('GET', '/api/rpc/persistent/' + rpc_id)

    # -- control calls ------------------------------------------------------------------------------------------
    def control(self, path, body=None):
        """POST /standin/PATH."""
        return self.call('POST', '/standin/' + path, body or {})

    def fault(self, **wanted):
        return self.control('faults', wanted)

    def downlink(self, name, topic, payload, qos=1):
        """Sends a PUBLISH to the device just as given; payload: text or bytes. Its packet id."""
        raw = payload.encode() if isinstance(payload, str) else payload
        return self.control('downlink', dict(device=name, topic=topic, qos=qos,
                                             payload_b64=base64.b64encode(raw).decode()))['id']

    def restart_rpc_ids(self, name):
        """The device's actor is created anew: ids from 0, pending requests forgotten (how many)."""
        return self.control('restart-rpc-ids', dict(device=name))['forgotten']

    def stats(self):
        return self.call('GET', '/standin/stats')

    def device_stats(self, name):
        return next(d for d in self.stats()['devices'] if d['name'] == name)

    def now(self):
        """Number of the last event, for `since`."""
        return self.stats()['events']

    def events(self, since=0, event=None, limit=100000, device=None):
        path = '/standin/events?since=%d&limit=%d' % (since, limit)
        found = self.call('GET', path + ('&event=' + quote(event) if event else ''))['events']
        return [e for e in found if device is None or e.get('device') == device]

    def wait_event(self, event, since=0, timeout=10, device=None, **members):
        """The first event with these members, or None."""
        def found():
            return next((e for e in self.events(since, event, device=device)
                         if all(e.get(k) == v for k, v in members.items())), None)
        return self.wait(found, timeout)

    def replies(self, name=None, since=0):
        """[(id, text)] of all replies to RPC requests in the order they came, also of stale ones."""
        return [(e['id'], e['payload']) for e in self.events(since, 'rpc reply', device=name)]

    def count(self, name, prefix=''):
        """{stored, duplicated, reordered, types, keys, gaps}; from a real server only what its rows can tell. With a
        prefix `stored` and `keys` are those of keys that begin so."""
        if self.process is None and not self._is_standin():
            return self._count_rows(name)
        return self.call('GET', '/standin/count?device=%s&prefix=%s' % (quote(name), quote(prefix)))

    def lag(self, name, since=0):
        """{points, p50, p90, p99, p99.9, max}: ms from a row's time to when it was stored, of rows with a time from `since`."""
        return self.call('GET', '/standin/lag?device=%s&since=%d' % (quote(name), since))

    def _is_standin(self):
        if not hasattr(self, 'standin'):
            try:
                self.standin = isinstance(self.stats(), dict)      # a real server answers 401, 404 or a page
            except RestError:
                self.standin = False
        return self.standin

    def _count_rows(self, name):
        kinds = {bool: 'BOOLEAN', int: 'LONG', float: 'DOUBLE', str: 'STRING'}
        out = dict(stored=0, duplicated=None, reordered=None, types={}, keys=[], gaps=[])
        for key in self.keys(name):
            rows = self._all_rows(name, key)
            if key == GAP_KEY:
                out['gaps'] = [dict(ts=t, value=v) for t, v in rows]
                continue
            out['keys'].append(key)
            out['stored'] += len(rows)
            for _, value in rows:
                kind = kinds.get(type(value), 'JSON')
                out['types'][kind] = out['types'].get(kind, 0) + 1
        return dict(out, keys=sorted(out['keys']))

    def _all_rows(self, name, key, page=50000):
        """Every row of a key, page by page from the newest."""
        rows, end = [], ALL_TIME[1]
        while True:
            part = self.series(name, [key], end=end, limit=page).get(key, [])
            rows = part + rows
            if len(part) < page:
                return rows
            end = part[0][0]

    def wait(self, condition, timeout=10, step=0.05):
        """Calls condition() until it is true; its last value."""
        end = time.monotonic() + timeout
        while True:
            value = condition()
            if value or time.monotonic() > end:
                return value
            time.sleep(step)


def _decoded(raw):
    """JSON, or text (a real server's page in place of a control call)."""
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode('utf-8', 'replace')
