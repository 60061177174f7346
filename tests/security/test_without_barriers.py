"""CONTROLS from inside: containers that have every barrier but one, in which the attack that this one stops gets what it asks for. The barrier is taken
away by a kernel that says of one call of sandboxd's that it is done, and does nothing (tests/sandbox/without.py); limits of groups are lifted in
test_bombs.py and chains of the firewall opened in test_network_attacks.py, where their attacks are."""
import hostile
import pytest
import sandbox as sb
from test_system_calls import CASES, FILTER

SET_MODE_FILTER, RLIMIT_NOFILE, RLIMIT_MSGQUEUE = 1, 7, 12


def sandbox_without(*calls):
    return hostile.Box([*sb.WITHOUT, ",".join(call + "+done" for call in calls)])


@pytest.fixture(scope="module")
def unfiltered():
    """In a container that has all but the filter of system calls: namespaces, users, no capability, groups."""
    b = sandbox_without(f"seccomp:0={SET_MODE_FILTER}")
    yield b.attacker()
    b.close()


@pytest.mark.parametrize("case", [case for case, (_, _, barrier, _) in CASES.items() if barrier == FILTER])
def test_without_the_filter(unfiltered, case):
    attack, _, _, step = CASES[case]
    got = unfiltered.tries(attack)[step]
    if got in ("ENOSYS", "EPERM", "EACCES") and unfiltered.box.control(attack, wrapper=FILTER)[step] == got:
        pytest.skip(f"this machine's kernel closes it outside of containers too: {got}")
    assert got == "ok"


def test_without_the_filter_what_others_share_is_taken(unfiltered):
    assert unfiltered.tries("i386") == {"i386": "exit 7"}
    assert unfiltered.tries("core-limit")["after-0"] == "0 0"
    assert unfiltered.tries("aio") == {"io_setup": "ok"}
    filters = unfiltered.tries("socket-filters", 20)
    assert (filters["filter"], filters["high-bits"], filters["made"]) == ("ok", "ok", "20")


def test_without_the_filter_the_other_barriers_stand(unfiltered):
    """No capability in any namespace that matters: what needs one is refused by the kernel itself."""
    got = {attack: unfiltered.tries(attack) for attack in ("mount", "umount", "pivot_root", "chroot", "setns", "bpf", "kernel-log", "raw", "become-root")}
    assert {answer for answers in got.values() for answer in answers.values()} <= {"EPERM", "EACCES", "ENOENT"}, got


@pytest.fixture(scope="module")
def unlimited():
    b = sandbox_without(f"prlimit64:1={RLIMIT_NOFILE}", f"prlimit64:1={RLIMIT_MSGQUEUE}")
    yield b.attacker(files=100)
    b.close()


def test_without_the_limit_of_descriptors(unlimited):
    assert int(unlimited.tries("open-files")["made"]) > 100


def test_without_the_limit_of_queues(unlimited):
    assert unlimited.tries("queue") == {"mq": "ok"}
