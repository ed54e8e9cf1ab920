"""A proxy before an object store that counts bytes and makes faults.

    python tests/store_proxy.py --port 5000 --upstream 5001 --share 0.05

Half of the lost connections are lost after the store has done what was asked.
"""

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Mapping

from aiohttp import ClientSession, ClientTimeout, web

FAULTS = ("error", "slow down", "slow", "reset before", "reset after", "expired token")
ANSWERS = {
    "error": (500, "InternalError"),
    "slow down": (503, "SlowDown"),
    "expired token": (400, "ExpiredToken"),
}
HOP_BY_HOP = {"transfer-encoding", "connection", "content-length", "content-encoding"}
COUNTS = "/counts"


class Proxy:
    def __init__(self, upstream: int, share: float, seed: int) -> None:
        self.upstream = f"http://127.0.0.1:{upstream}"
        self.share = share
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()

    async def start(self, _: web.Application) -> None:
        self.session = ClientSession(timeout=ClientTimeout(total=60), auto_decompress=False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == COUNTS:
            return web.Response(text="\n".join(f"{name} {count}" for name, count in self.counts.items()))
        fault = self.chance.choice(FAULTS) if self.chance.random() < self.share else None
        self.counts[fault or "well"] += 1
        if fault in ANSWERS:
            status, code = ANSWERS[fault]
            return web.Response(
                status=status, text=f"<Error><Code>{code}</Code><Message>no</Message></Error>"
            )
        if fault == "slow":
            await asyncio.sleep(1.5)
        if fault == "reset before":
            return self.reset(request)
        answer = await self.forward(request)
        return self.reset(request) if fault == "reset after" else answer

    async def forward(self, request: web.Request) -> web.Response:
        async with self.session.request(
            request.method,
            self.upstream + request.raw_path,
            headers=without(request.headers, {"transfer-encoding"}),
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            headers = without(answer.headers, HOP_BY_HOP)
        self.counts["bytes"] += len(body)
        for folder in set(request.path.split("/")[2:-1]):
            self.counts[f"requests {folder}"] += 1
            self.counts[f"bytes {folder}"] += len(body)
        if request.method == "HEAD":
            headers["Content-Length"] = answer.headers.get("Content-Length", "0")
        return web.Response(status=answer.status, headers=headers, body=body)

    def reset(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


def without(headers: Mapping[str, str], left_out: set[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in left_out}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, required=True)
    parser.add_argument("--share", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    proxy = Proxy(options.upstream, options.share, options.seed)
    application = web.Application(client_max_size=2**30)
    application.on_startup.append(proxy.start)
    application.router.add_route("*", "/{path:.*}", proxy.handle)
    web.run_app(application, host="127.0.0.1", port=options.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
