# SPDX-License-Identifier: Apache-2.0
"""Server-side RPC of one device: ids from 0, re-delivery on every SUBSCRIBE, persistent states (THINGSBOARD.md 5)."""
import asyncio
import json
import time
import uuid

import uplink

NO_JSON = object()      # the reply is no JSON: the caller gets 406


class Rpc:
    """One request on its way."""

    def __init__(self, ident, body, oneway, deadline):
        self.ident = ident
        self.body = body
        self.oneway = oneway
        self.deadline = deadline
        self.status = 'QUEUED'
        self.packet_id = None
        self.response = None
        self.uuid = str(uuid.uuid4())
        self.done = asyncio.get_running_loop().create_future()

    def finish(self, status, response=None):
        self.status, self.response = status, response
        if not self.done.done():
            self.done.set_result(response)


class RpcQueue:
    def __init__(self, device):
        self.device = device
        self.next_id = 0
        self.pending = {}
        self.by_uuid = {}

    def submit(self, method, params, oneway, timeout, persistent=False):
        body = uplink.compact(dict(method=method, params=params))
        rpc = Rpc(self.next_id, body, oneway, time.monotonic() + timeout)
        self.next_id += 1
        self.pending[rpc.ident] = rpc
        if persistent:
            self.by_uuid[rpc.uuid] = rpc
        asyncio.get_running_loop().call_later(timeout, self._expire, rpc)
        session = self.device.session
        if session is not None and session.knows('rpc'):
            self._send(session, rpc)
        return rpc

    def deliver_pending(self, session):
        """Everything unanswered goes out again, with the same id (rpc_redelivery)."""
        if session.knows('rpc'):
            for rpc in list(self.pending.values()):
                self._send(session, rpc)

    def _send(self, session, rpc):
        rpc.packet_id = session.downlink('rpc', rpc.body, rpc.ident)
        rpc.status = 'SENT' if rpc.packet_id else 'DELIVERED'
        if rpc.oneway and rpc.uuid not in self.by_uuid:
            self.pending.pop(rpc.ident, None)
            rpc.finish('DELIVERED')

    def acknowledged(self, packet_id):
        for rpc in list(self.pending.values()):
            if rpc.packet_id == packet_id and rpc.status == 'SENT':
                rpc.status = 'DELIVERED'
                if rpc.oneway:
                    self.pending.pop(rpc.ident)
                    rpc.finish('DELIVERED')

    def replied(self, ident, payload):
        """The first reply counts; one for an unknown id is stale."""
        rpc = self.pending.pop(ident, None)
        if rpc is not None:
            rpc.finish('SUCCESSFUL', _json(payload))

    def _expire(self, rpc):
        if self.pending.pop(rpc.ident, None) is not None:
            rpc.finish('EXPIRED')


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
