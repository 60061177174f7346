import pytest

from skerry_shim.body import AnswerFraming, BadBody, ChunkedBody, LengthBody


def test_length_body_ends_where_it_ends():
    body = LengthBody(5)
    assert body.feed(b"abc") == ([b"abc"], b"")
    assert not body.done
    assert body.feed(b"deNEXT") == ([b"de"], b"NEXT")
    assert body.done


@pytest.mark.parametrize("step", (1, 2, 3, 7, 100))
def test_chunked_body_in_any_steps(step):
    wire = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-trailer: y\r\n\r\nNEXT"
    body, pieces, rest = ChunkedBody(), [], b""
    for at in range(0, len(wire), step):
        if body.done:
            rest += wire[at:at + step]
            continue
        more, rest = body.feed(wire[at:at + step])
        pieces += more
    assert (b"".join(pieces), body.done, rest) == (b"abc0123456789", True, b"NEXT")


@pytest.mark.parametrize("wire", (b"zz\r\n", b"\r\n", b"-1\r\n", b"3;ext=1\r\n", b"1" * 30, b"1\r\nab\r\n", b"0\r\n" + b"x" * 9000))
def test_bad_chunks_are_refused(wire):
    with pytest.raises(BadBody):
        ChunkedBody().feed(wire)


def test_answers_stay_in_their_framing():
    chunked = AnswerFraming("chunked", False)
    assert b"".join(chunked.take(b"abc", False)) == b"3\r\nabc\r\n"
    assert chunked.take(b"", False) == []
    assert b"".join(chunked.take(b"d", True)) == b"1\r\nd\r\n0\r\n\r\n"
    known = AnswerFraming(3, False)
    assert known.take(b"ab", False) == [b"ab"]
    assert known.is_short
    with pytest.raises(ValueError):
        known.take(b"cd", True)
    assert AnswerFraming(3, True).take(b"abcdef", True) == []
    assert not AnswerFraming(3, True).is_short
