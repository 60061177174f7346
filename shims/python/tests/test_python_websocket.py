import pytest

from skerry_shim.websocket import Decoder, ProtocolError, accept_key, close_frame, frame, is_valid_key, unmask

KEY = b"\x01\x02\x03\x04"


def masked(first, payload):
    size = len(payload)
    assert size < 126
    return bytes((first, 0x80 | size)) + KEY + unmask(payload, KEY)


def test_example_of_the_rfc():
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert Decoder().feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [("text", "Hello")]
    assert frame(0x1, b"Hello") == [bytes.fromhex("810548656c6c6f")]


@pytest.mark.parametrize("key, valid", ((b"dGhlIHNhbXBsZSBub25jZQ==", True), (b"", False), (b"dGhlIHNhbXBsZQ==", False), (b"!" * 24, False)))
def test_keys_are_16_bytes(key, valid):
    assert is_valid_key(key) is valid


def test_message_at_the_limit_and_past_it():
    assert Decoder(message_max=10).feed(masked(0x82, b"0123456789")) == [("bytes", b"0123456789")]
    with pytest.raises(ProtocolError) as caught:
        Decoder(message_max=10).feed(masked(0x82, b"0123456789+"))
    assert caught.value.code == 1009


def test_fragments_together_keep_the_limit():
    decoder = Decoder(message_max=10)
    assert decoder.feed(masked(0x02, b"012345")) == []
    with pytest.raises(ProtocolError) as caught:
        decoder.feed(masked(0x80, b"67890"))
    assert caught.value.code == 1009


def test_length_is_refused_before_its_payload_arrives():
    with pytest.raises(ProtocolError):
        Decoder(message_max=10).feed(b"\x82\xfe\xff\xff")


def test_nothing_is_read_after_a_close():
    assert Decoder().feed(masked(0x88, b"\x03\xe8bye") + masked(0x81, b"late")) == [("close", 1000, "bye")]


def test_long_close_reasons_are_cut_at_a_character():
    assert close_frame(1000, "ü" * 100) == [b"\x88\x7c\x03\xe8" + ("ü" * 61).encode()]
