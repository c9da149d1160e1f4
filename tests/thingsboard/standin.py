# SPDX-License-Identifier: Apache-2.0
"""For tests and demo: starts the stand-in server, or attaches to a running one or to a real ThingsBoard.

    with Standin() as tb:
        token = tb.create_device('boiler')
        tb.control('faults', {'close_before_puback': 3})
        ...
        print(tb.count('boiler')['stored'], tb.series('boiler'))

All but control(), stats() and events() goes through ThingsBoard's own REST API."""
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
    """Context manager. http: URL; mqtt: port; host: MQTT host."""

    def __init__(self, *options, http=0, mqtt=0):
        self.process = None
        self.user, self.password, self.token = 'tenant@thingsboard.org', 'tenant', None
        self.ids = {}
        self.host = '127.0.0.1'
        self._start([os.path.join(HERE, 'serve'), '--http', str(http), '--mqtt', str(mqtt), *options])

    @classmethod
    def attach(cls, http_url, mqtt_host, mqtt_port, user='tenant@thingsboard.org', password='tenant'):
        """A server that runs already; control(), stats() and events() only work if it is a stand-in."""
        self = cls.__new__(cls)
        self.process = None
        self.user, self.password, self.token = user, password, None
        self.ids = {}
        self.http, self.host, self.mqtt = http_url.rstrip('/'), mqtt_host, int(mqtt_port)
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
        """A new access token; the server closes the live session."""
        self.call('POST', '/api/device/credentials',
                  dict(self.credentials(name), credentialsType='ACCESS_TOKEN', credentialsId=token,
                       credentialsValue=None))

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
        """The device's reply; RestError 504 if none came in time, 406 if it was no JSON."""
        return self.call('POST', '/api/rpc/%s/%s' % ('oneway' if oneway else 'twoway', self.device_id(name)),
                         dict(more, method=method, params=params, timeout=int(timeout * 1000)), timeout + 30)

    # -- control calls ------------------------------------------------------------------------------------------
    def control(self, path, body=None):
        """POST /standin/PATH."""
        return self.call('POST', '/standin/' + path, body or {})

    def stats(self):
        return self.call('GET', '/standin/stats')

    def device_stats(self, name):
        return next(d for d in self.stats()['devices'] if d['name'] == name)

    def events(self, since=0, event=None, limit=100000):
        path = '/standin/events?since=%d&limit=%d' % (since, limit)
        return self.call('GET', path + ('&event=' + event if event else ''))['events']

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
