"""Makes thumbnails: POST an image, get a smaller one. ?width= and ?height= bound it (the ratio stays), ?format=jpeg|png|webp, ?quality=1..95."""

import io
import json
import warnings
from urllib.parse import parse_qs

from PIL import Image, ImageOps, UnidentifiedImageError

BODY_MAX_BYTES = 10 << 20
PIXELS_MAX = 40_000_000  # decoded: 160 MB as RGBA
SIDE_MAX = 4096
FORMATS = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}

# What a small file may unpack to is bounded before it is unpacked.
Image.MAX_IMAGE_PIXELS = PIXELS_MAX
warnings.simplefilter("error", Image.DecompressionBombWarning)


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def number(query, name, default, least, most):
    text = query.get(name, [str(default)])[-1]
    if not text.isdecimal() or not least <= int(text) <= most:
        raise Refused(400, f"{name} must be a number from {least} to {most}, not {text!r}")
    return int(text)


def thumbnail(body, query):
    """The smaller image's bytes, its media type and its size."""
    kind = query.get("format", ["jpeg"])[-1]
    if kind not in FORMATS:
        raise Refused(400, f"format must be one of {', '.join(FORMATS)}, not {kind!r}")
    width = number(query, "width", 256, 1, SIDE_MAX)
    height = number(query, "height", SIDE_MAX, 1, SIDE_MAX)
    quality = number(query, "quality", 80, 1, 95)
    try:
        image = Image.open(io.BytesIO(body), formats=("JPEG", "PNG", "WEBP", "GIF"))
        # A camera says how it was held instead of turning the pixels.
        image = ImageOps.exif_transpose(image)
        image.thumbnail((width, height), Image.Resampling.LANCZOS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Refused(413, f"the image has more than {PIXELS_MAX} pixels") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise Refused(415, f"not a whole JPEG, PNG, WebP or GIF: {error}") from None
    image = image.convert("RGB" if kind == "jpeg" else "RGBA")
    out = io.BytesIO()
    image.save(out, kind.upper(), quality=quality, optimize=True)
    return out.getvalue(), FORMATS[kind], image.size


async def read_body(receive):
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the body ended early")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > BODY_MAX_BYTES:
            raise Refused(413, f"the body is over {BODY_MAX_BYTES} bytes")
        more = message.get("more_body", False)
    return b"".join(pieces)


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError(f"{scope['type']} is not served")
    try:
        if scope["method"] != "POST":
            raise Refused(405, "POST an image")
        body, kind, (width, height) = thumbnail(await read_body(receive), parse_qs(scope["query_string"].decode("latin-1")))
        status, headers = 200, [(b"content-type", kind.encode()), (b"x-image-size", f"{width}x{height}".encode())]
    except Refused as refused:
        status, headers = refused.status, [(b"content-type", b"application/json")]
        if status == 405:
            headers.append((b"allow", b"POST"))
        body = json.dumps({"error": str(refused)}).encode()
    await send({"type": "http.response.start", "status": status, "headers": headers + [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
