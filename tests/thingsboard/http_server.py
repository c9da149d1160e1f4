# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 server on asyncio: enough for REST calls with JSON bodies, on the same loop as MQTT."""
import asyncio
import json
from collections import namedtuple
from urllib.parse import parse_qs, unquote, urlsplit

Request = namedtuple('Request', 'method path query headers body')
MAX_BODY = 64 * 1024 * 1024
_REASONS = {200: 'OK', 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found',
            406: 'Not Acceptable', 408: 'Request Timeout', 409: 'Conflict',
            500: 'Internal Server Error', 504: 'Gateway Timeout'}


class Answer(Exception):
    """Raised by a handler to answer with an error, in the words of the real server."""

    def __init__(self, status, message=None, code=None):
        super().__init__(message)
        self.status = status
        self.body = None if message is None else dict(status=status, message=message, errorCode=code or 2)


class HttpServer:
    """handler(Request) -> (status, value to send as JSON or None)."""

    def __init__(self, handler):
        self.handler = handler
        self.server = None
        self.open = set()

    async def start(self, host, port):
        self.server = await asyncio.start_server(self._connection, host, port, limit=1 << 20)
        return self.server.sockets[0].getsockname()[1]

    def stop(self):
        self.server.close()
        for writer in list(self.open):
            writer.transport.abort()

    async def _connection(self, reader, writer):
        self.open.add(writer)
        try:
            while True:
                request = await _read(reader)
                if request is None:
                    break
                status, value = await self._answer(request)
                stay = request.headers.get('connection', '').lower() != 'close'
                writer.write(_response(status, value, stay))
                await writer.drain()
                if not stay:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _answer(self, request):
        try:
            return await self.handler(request)
        except Answer as e:
            return e.status, e.body
        except Exception as e:      # a fault of this program must show in the test, not hang it
            import traceback
            traceback.print_exc()
            return 500, dict(status=500, message=repr(e), errorCode=2)


async def _read(reader):
    head = (await reader.readuntil(b'\r\n\r\n')).decode('latin-1').split('\r\n')
    method, target, _ = head[0].split(' ', 2)
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(':')
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get('content-length') or 0)
    if length > MAX_BODY:
        raise ValueError('body too large')
    parts = urlsplit(target)
    query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
    return Request(method, [unquote(p) for p in parts.path.strip('/').split('/')], query, headers,
                   await reader.readexactly(length))


def _response(status, value, stay):
    body = b'' if value is None else json.dumps(value, ensure_ascii=False).encode('utf-8', 'replace')
    head = 'HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n' % (
        status, _REASONS.get(status, 'Other'), len(body), 'keep-alive' if stay else 'close')
    return head.encode() + body
