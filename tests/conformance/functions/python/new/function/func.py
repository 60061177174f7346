"""The conformance function as `new()`."""

from paths import answer, starts


def new():
    return Function()


class Function:
    async def start(self, cfg):
        starts["starts"] += 1
        starts["value"] = cfg.get("CONFORMANCE_VALUE")

    async def handle(self, scope, receive, send):
        await answer(scope, receive, send)

    def stop(self):
        print("stop hook ran")

    def alive(self):
        return True, "alive"

    def ready(self):
        return True, "ready"
