"""The conformance function as an ASGI application: lifespan and WebSockets too."""

import asyncio
import json

from paths import answer, starts


async def app(scope, receive, send):
    # Fails where no event loop of asyncio runs this.
    assert asyncio.current_task() is not None
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        await answer(scope, receive, send)


async def lifespan(receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            starts["starts"] += 1
            await send({"type": "lifespan.startup.complete"})
        else:
            print("stop hook ran")
            await send({"type": "lifespan.shutdown.complete"})
            return


async def websocket(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/ws/refuse":
        await send({"type": "websocket.close"})
        return
    chosen = "conformance" if "conformance" in scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print(f"ws over {message['code']}")
            return
        text = message.get("text")
        if text == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "asked"})
        elif text == "error":
            raise ValueError("conformance websocket")
        elif text == "path":
            value = {"path": scope["path"], "query": scope["query_string"].decode(), "subprotocols": scope["subprotocols"]}
            await send({"type": "websocket.send", "text": json.dumps(value)})
        else:
            await send({"type": "websocket.send", "text": text, "bytes": message.get("bytes")})
