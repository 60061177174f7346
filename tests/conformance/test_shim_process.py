"""The process around the handler: environment, directory, descriptors, output."""

from kit.process import ENVIRONMENT


def test_environment_is_the_platforms(shim):
    env = shim.ask("GET", "/env").json()["env"]
    for name, value in ENVIRONMENT.items():
        assert env.get(name) == value, name


def test_working_directory_is_the_app(shim):
    assert shim.ask("GET", "/env").json()["cwd"] == str(shim.app)


def test_child_of_the_function_inherits_no_descriptor_of_the_shim(shim):
    # Every connection of the shim that is open at that time would show too.
    with shim.connect() as other:
        assert other.ask("GET", "/hello").status == 200
        links = shim.ask("GET", "/descriptors").text.splitlines()
    assert links, "the child said nothing"
    assert shim.listener_link not in links
    assert shim.status_link not in links
    assert not [link for link in links if link.startswith("socket:")]


def test_printed_lines_leave_before_the_handler_returns(shim, name):
    with shim.connect() as connection:
        connection.send_head("GET", f"/print?out=out-{name}&err=err-{name}&gate={name}")
        shim.out.wait_for(f"out-{name}")
        shim.err.wait_for(f"err-{name}")
        assert connection.is_quiet()
        shim.open_gate(name)
        assert connection.read_answer().status == 204


def test_shim_writes_nothing_of_its_own(fresh):
    assert fresh.ask("GET", "/hello").status == 200
    fresh.terminate()
    assert fresh.wait_exit() == 0
    assert [line for line in fresh.out.wait_end() if line != "stop hook ran"] == []
    assert fresh.err.wait_end() == []
