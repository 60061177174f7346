import json
import os


class Function:
    """One instance serves one request at a time; what is kept in it is a cache, never a store."""

    def start(self, cfg):
        self.greeting = cfg.get("GREETING", "Hello")

    async def handle(self, scope, receive, send):
        print("handling", scope["method"], scope["path"])
        query = dict(part.split("=", 1) for part in scope["query_string"].decode().split("&") if "=" in part)
        answer = {
            "message": f"{self.greeting}, {query.get('name', 'world')}!",
            "path": scope["path"],
            "location": os.environ.get("SKERRY_LOCATION"),
        }
        body = json.dumps(answer).encode() + b"\n"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def new():
    return Function()
