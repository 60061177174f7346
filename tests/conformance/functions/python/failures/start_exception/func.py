class Function:
    async def start(self, cfg):
        raise ValueError("conformance start")

    async def handle(self, scope, receive, send):
        raise AssertionError("never ready, never called")


def new():
    return Function()
