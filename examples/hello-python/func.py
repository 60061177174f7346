"""A function that greets, and says who served it."""
import os


class Function:
    async def handle(self, scope, receive, send):
        body = f"hello from Python at {scope['path']}, revision {os.environ['SKERRY_REVISION']}\n"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body.encode()})


def new():
    return Function()
