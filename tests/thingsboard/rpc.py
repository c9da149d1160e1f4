# SPDX-License-Identifier: Apache-2.0
"""Server-side RPC of one device: ids from 0, re-delivery on every SUBSCRIBE, persistent states (THINGSBOARD.md 5).

The transport tells the core what became of a request (SENT, DELIVERED, TIMEOUT); each of these takes from the device's
limit of messages and is silently lost over it (3.4)."""
import asyncio
import json
import time
import uuid

import uplink

NO_JSON = object()      # the reply is no JSON: the caller gets 406
NO_REPLY, NOT_SENT = 'TIMEOUT', 'NO_ACTIVE_CONNECTION'
MAX_RETRIES = 5         # actors.rpc.max_retries
EXHAUSTED = 'There was a Timeout and all retry attempts have been exhausted. Retry attempts set: %d'
TOLD_LATE = 1.0         # a caller whose request the actor forgot gets its timeout so long after the deadline


class Rpc:
    """One request on its way."""

    def __init__(self, ident, request, oneway, timeout):
        self.ident = ident
        self.request = request
        self.body = uplink.compact(dict(method=request['method'], params=request.get('params')))
        self.oneway = oneway
        self.persistent = bool(request.get('persistent'))
        retries = request.get('retries')
        self.max_retries = MAX_RETRIES if retries is None else min(int(retries), MAX_RETRIES)
        self.retries = 0
        self.deadline = time.monotonic() + timeout
        self.created, self.expires = int(time.time() * 1000), int((time.time() + timeout) * 1000)
        self.status = 'QUEUED'
        self.sent = False            # when it was submitted a session was subscribed
        self.response = None         # of a persistent one
        self.uuid = str(uuid.uuid4())
        self.done = asyncio.get_running_loop().create_future()

    def finish(self, result, error=None):
        """For the caller of a request that is not persistent: (reply, None) or (None, why there is none)."""
        if not self.done.done():
            self.done.set_result((result, error))

    def saved(self, status, response=None):
        self.status, self.response = status, response

    def describe(self, device):
        """As the REST API shows a persistent request."""
        r = self.request
        body = dict(method=r['method'], params=uplink.compact(r.get('params')).decode())
        return dict(id=dict(entityType='RPC', id=self.uuid), createdTime=self.created, deviceId=device.body['id'],
                    expirationTime=self.expires, status=self.status, response=self.response,
                    additionalInfo=r.get('additionalInfo'),
                    request=dict(id=self.uuid, deviceId=device.body['id'], oneway=self.oneway, persisted=True, body=body,
                                 expirationTime=self.expires, retries=r.get('retries')))


class RpcQueue:
    """The device actor's part."""

    def __init__(self, device):
        self.device = device
        self.next_id = 0
        self.pending = {}
        self.by_uuid = {}        # the persistent ones

    def submit(self, request, oneway, timeout):
        rpc = Rpc(self.next_id, request, oneway, timeout)
        if rpc.persistent:
            self.by_uuid[rpc.uuid] = rpc
        if timeout <= 0:
            rpc.saved('EXPIRED')
            rpc.finish(None, NO_REPLY)
            return rpc
        session = self.device.session
        subscribed = session is not None and session.knows('rpc')
        rpc.sent = subscribed
        if rpc.persistent or not (oneway and subscribed):
            self._register(rpc)
        else:
            self.next_id += 1
        asyncio.get_running_loop().call_later(timeout + TOLD_LATE, rpc.finish, None, NO_REPLY)
        if subscribed:
            self._send(session, rpc)
        if oneway and subscribed:
            rpc.finish(None)
        return rpc

    def _register(self, rpc):
        rpc.ident = self.next_id
        self.next_id += 1
        self.pending[rpc.ident] = rpc
        asyncio.get_running_loop().call_later(max(0, rpc.deadline - time.monotonic()), self._expire, rpc)

    def restart(self):
        """The actor is created anew: ids from 0, only persistent requests not sent yet are taken up again."""
        known, self.pending, self.next_id = self.pending, {}, 0
        for rpc in known.values():
            if rpc.persistent and rpc.status == 'QUEUED':
                self._register(rpc)
        return len(known)

    def remove(self, rpc):
        if rpc.status == 'QUEUED' and self.pending.get(rpc.ident) is rpc:
            del self.pending[rpc.ident]
        del self.by_uuid[rpc.uuid]

    def deliver_pending(self, session):
        """Everything unanswered goes out again, with the same id (rpc_redelivery)."""
        for rpc in list(self.pending.values()):
            self._send(session, rpc)
            if rpc.oneway:
                rpc.finish(None)
                if not rpc.persistent:
                    del self.pending[rpc.ident]

    def _send(self, session, rpc):
        faults = session.core.faults
        for _ in range(2 if faults.rpc_duplicate and faults.spend('rpc_duplicate') else 1):
            packet_id = session.downlink('rpc', rpc.body, rpc.ident)
            if packet_id == 0:
                self._report(session, rpc, 'DELIVERED')
            elif packet_id is not None:
                session.awaiting[packet_id] = rpc
                wait = min(session.core.options.rpc_ack_timeout, rpc.deadline - time.monotonic())
                session.loop.call_later(max(0, wait), self._no_ack, session, packet_id)
                if rpc.persistent:
                    self._report(session, rpc, 'SENT')

    def _no_ack(self, session, packet_id):
        rpc = session.awaiting.pop(packet_id, None)
        if rpc is not None and session.is_up():
            self._report(session, rpc, 'TIMEOUT')

    def acknowledged(self, session, packet_id):
        rpc = session.awaiting.pop(packet_id, None)
        if rpc is not None:
            self._report(session, rpc, 'DELIVERED')

    def _report(self, session, rpc, status):
        if session.core.limits.allow(self.device.name, 0):
            session.lane.put(0, self._happened, rpc, status)

    def _happened(self, rpc, status):
        """What the transport reports counts for the request that now has the id."""
        known, response = self.pending.get(rpc.ident), None
        if known is None:
            return
        if status == 'DELIVERED' and known.oneway:
            del self.pending[rpc.ident]
        elif status == 'TIMEOUT' and known.retries < known.max_retries:
            known.retries += 1
        elif status == 'TIMEOUT':
            del self.pending[rpc.ident]
            status, response = 'FAILED', dict(error=EXHAUSTED % known.max_retries)
        rpc.saved(status, response)

    def replied(self, ident, payload):
        """The first reply counts; False: for an unknown id, stale."""
        rpc = self.pending.pop(ident, None)
        if rpc is None:
            return False
        reply = _json(payload)
        rpc.saved('SUCCESSFUL', dict(error=payload.decode('utf-8', 'replace')) if reply is NO_JSON else reply)
        rpc.finish(reply)
        return True

    def _expire(self, rpc):
        if self.pending.get(rpc.ident) is rpc:
            del self.pending[rpc.ident]
            rpc.saved('EXPIRED')
            rpc.finish(None, NO_REPLY if rpc.sent else NOT_SENT)


def _json(payload):
    text = payload.decode('utf-8', 'replace')
    if not text.strip():
        return None
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NO_JSON


def _refuse(name):
    raise ValueError(name)
