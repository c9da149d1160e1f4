# SPDX-License-Identifier: Apache-2.0
"""The control calls below /standin/: faults, cuts, counters, events. They exist only here, not on a real server."""
import asyncio
import base64
import json

from http_server import Answer


class Control:
    def __init__(self, core):
        self.core = core
        self.lift = None

    async def handle(self, request):
        name = '/'.join(request.path[1:])
        handler = self.CALLS.get((request.method, name))
        if handler is None:
            raise Answer(404, 'no such call; there are: ' + ', '.join('%s /standin/%s' % c for c in self.CALLS))
        try:
            body = json.loads(request.body or b'{}')
            if type(body) is not dict:
                raise ValueError('the body must be an object')
            out = handler(self, body, request.query)
            return 200, (await out if asyncio.iscoroutine(out) else out)
        except (ValueError, TypeError, AttributeError) as e:
            raise Answer(400, str(e), 31) from None

    def get_faults(self, body, query):
        return self.core.faults.shown()

    async def set_faults(self, body, query):
        self.core.faults.set(body)
        await self._listen()
        return self.core.faults.shown()

    async def clear_faults(self, body, query):
        self.core.faults.clear()
        self._lift_hole()
        await self._listen()
        return self.core.faults.shown()

    async def _listen(self):
        if self.core.listener is None:
            return
        if self.core.faults.accept == 'unlisten':
            self.core.listener.stop()
        else:
            await self.core.listener.start()

    def black_hole(self, body, query):
        """{"seconds": N} or {"on": true/false}, optionally {"device": NAME}."""
        self._lift_hole()
        seconds = body.get('seconds')
        if seconds or body.get('on', seconds is None):
            self.core.set_black_hole(body.get('device') or '')
            if seconds:
                self.lift = asyncio.get_running_loop().call_later(float(seconds), self._lift_hole)
        self.core.log('black hole', on=self.core.black_hole is not None)
        return dict(on=self.core.black_hole is not None)

    def _lift_hole(self):
        if self.lift:
            self.lift.cancel()
            self.lift = None
        self.core.set_black_hole(None)

    def drop(self, body, query):
        """{"how": "close"|"reset"|"disconnect", "code": N, "device": NAME}: all sessions, or one device's."""
        how, device = body.get('how', 'close'), body.get('device')
        if how not in ('close', 'reset', 'disconnect'):
            raise ValueError('how: close, reset or disconnect')
        dropped = 0
        for session in list(self.core.sessions):
            if device is not None and (session.device is None or session.device.name != device):
                continue
            dropped += 1
            if how == 'disconnect':
                session.end(int(body.get('code', 0x8B)), 'dropped (control)')
            else:
                session.hang_up('dropped (control)', how)
        return dict(dropped=dropped)

    def limits(self, body, query):
        """{"messages": "10:1", ...}: the tenant profile's device limits, told by getSessionLimits."""
        for kind, text in body.items():
            self.core.limits.set(kind, text)
        return self.core.limits.session_limits()

    def options(self, body, query):
        """{"settle": s, "store_delay": s, ...}: the delays that serve also takes as options."""
        for name, value in body.items():
            if name not in vars(self.core.options) or name in ('http', 'mqtt', 'tls', 'cert', 'key', 'host', 'device', 'limits'):
                raise ValueError('unknown option %r' % name)
            setattr(self.core.options, name, float(value))
        self.core.writer.delay, self.core.writer.young = self.core.options.store_delay, self.core.options.young
        return {n: v for n, v in vars(self.core.options).items() if isinstance(v, float)}

    def restart_rpc_ids(self, body, query):
        """{"device": NAME}: the device's actor is created anew; ids start at 0, what was pending is forgotten."""
        return dict(forgotten=self._device(body).rpc.restart())

    def downlink(self, body, query):
        """{"device": NAME, "topic": T, "payload": TEXT or "payload_b64": BASE64, "qos": 1}: a PUBLISH just as given."""
        session, topic, qos = self._device(body).session, body.get('topic'), body.get('qos', 1)
        if not isinstance(topic, str) or qos not in (0, 1) or ('payload' in body) == ('payload_b64' in body):
            raise ValueError('topic, payload or payload_b64, and qos 0 or 1')
        if 'payload' in body:
            payload = body['payload'].encode('utf-8', 'surrogatepass')
        else:
            payload = base64.b64decode(body['payload_b64'], validate=True)
        if session is None or not session.is_up():
            raise ValueError('the device is not connected')
        return dict(id=session.send_publish(topic, qos, payload) & 0xFFFF, size=len(payload))

    def reset(self, body, query):
        self.core.reset_data()
        return {}

    def stats(self, body, query):
        return self.core.stats()

    def events(self, body, query):
        """?since=SEQ&limit=N&event=publish: the log is bounded; `first` tells what is still there."""
        limit = int(query.get('limit', 1000))
        found = self.core.events_since(int(query.get('since', 0)), limit)
        last = found[-1]['seq'] if found else self.core.sequence
        if query.get('event'):
            found = [e for e in found if e['event'] == query['event']]
        return dict(first=self.core.events[0]['seq'] if self.core.events else self.core.sequence + 1, next=last,
                    events=found)

    def count(self, body, query):
        """?device=NAME&prefix=TEXT"""
        return self._series(query).count(query.get('prefix', ''))

    def lag(self, body, query):
        """?device=NAME&since=MS"""
        return self._series(query).lag(int(query.get('since', 0)))

    def _series(self, query):
        return self._device(query).series

    def _device(self, given):
        device = self.core.device_named(given.get('device', ''))
        if device is None:
            raise Answer(404, 'no such device', 32)
        return device

    CALLS = {('GET', 'faults'): get_faults, ('POST', 'faults'): set_faults, ('POST', 'faults/clear'): clear_faults,
             ('POST', 'blackhole'): black_hole, ('POST', 'drop'): drop, ('POST', 'limits'): limits,
             ('POST', 'restart-rpc-ids'): restart_rpc_ids, ('POST', 'downlink'): downlink,
             ('POST', 'options'): options, ('POST', 'reset'): reset, ('GET', 'stats'): stats,
             ('GET', 'events'): events, ('GET', 'count'): count, ('GET', 'lag'): lag}
