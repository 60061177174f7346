"""Keep-alive, connections beside each other, the end of a connection."""

from kit.http1 import head


def test_connection_serves_many_requests(shim):
    with shim.connect() as connection:
        for number in range(200):
            body = b"number %d" % number
            assert connection.ask("POST", f"/echo?n={number}", body=body).body == body


def test_kinds_of_answers_follow_each_other_on_one_connection(shim):
    with shim.connect() as connection:
        for _ in range(3):
            assert connection.ask("GET", "/hello").status == 200
            assert connection.ask("HEAD", "/hello").status == 200
            assert connection.ask("GET", "/status?code=204").status == 204
            assert connection.ask("POST", "/echo", body=b"abc").body == b"abc"
            assert connection.ask("GET", "/error/before").status == 500
            assert connection.ask("GET", "/empty").body == b""
            assert connection.ask("GET", "/status?code=304").status == 304


def test_keep_alive_answers_do_not_say_close(shim):
    with shim.connect() as connection:
        assert connection.ask("GET", "/hello").get("connection") in (None, "keep-alive")


def test_second_connection_is_served_while_the_first_is_busy(shim, name):
    with shim.connect() as busy, shim.connect() as other:
        busy.send_head("POST", f"/wait?gate={name}")
        shim.out.wait_for(f"wait begin {name}")
        for _ in range(5):
            assert other.ask("GET", "/hello").body == b"hello\n"
        assert busy.is_quiet()
        shim.open_gate(name)
        assert busy.read_answer().body == b"waited\n"


def test_many_connections_are_served_beside_each_other(shim, name):
    connections = [shim.connect() for _ in range(20)]
    for at, connection in enumerate(connections):
        connection.send_head("POST", f"/wait?gate={name}-{at}")
    for at in range(20):
        shim.out.wait_for(f"wait begin {name}-{at}")
    for at in reversed(range(20)):
        shim.open_gate(f"{name}-{at}")
        assert connections[at].read_answer().body == b"waited\n"
        connections[at].close()


def test_request_sent_before_ready_is_served(start):
    """The listening socket is there before the process: the kernel holds the request."""
    shim = start()
    with shim.connect() as connection:
        connection.send_head("GET", "/hello")
        assert connection.read_answer().body == b"hello\n"
    shim.wait_ready()


def test_end_between_requests_closes_the_connection(shim):
    with shim.connect() as connection:
        assert connection.ask("GET", "/hello").status == 200
        connection.half_close()
        connection.wait_ended()


def test_end_inside_a_head_closes_the_connection(shim):
    with shim.connect() as connection:
        connection.send(head("GET", "/hello")[:20])
        connection.half_close()
        connection.wait_ended()


def test_connection_without_a_request_does_no_harm(shim):
    for _ in range(5):
        shim.connect().close()
    assert shim.ask("GET", "/hello").status == 200
