"""Reading zstd, which Python 3.11 has not: libzstd, which the build image has for its compilers. flatten.py opens layers with it."""
import ctypes
import io

PIECE_BYTES = 128 << 10


class Broken(Exception):
    pass


class Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t)]


def library():
    try:
        z = ctypes.CDLL("libzstd.so.1")
    except OSError:
        raise Broken("a layer is compressed with zstd, which this machine cannot read") from None
    z.ZSTD_createDStream.restype = ctypes.c_void_p
    z.ZSTD_freeDStream.argtypes = z.ZSTD_initDStream.argtypes = [ctypes.c_void_p]
    z.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.POINTER(Buffer), ctypes.POINTER(Buffer)]
    z.ZSTD_initDStream.restype = z.ZSTD_decompressStream.restype = ctypes.c_size_t
    z.ZSTD_isError.argtypes = [ctypes.c_size_t]
    return z


class Reader(io.RawIOBase):
    """The decompressed bytes of a file. Seeking forwards decompresses, backwards begins again. The library itself refuses windows of more than 128 MB."""

    def __init__(self, file):
        self.file, self.z = file, library()
        self.stream = self.z.ZSTD_createDStream()
        self.begin()

    def begin(self):
        self.file.seek(0)
        self.z.ZSTD_initDStream(self.stream)
        self.position, self.waits_for = 0, 1
        self.compressed = Buffer()
        self.piece, self.pending = None, False

    def readinto(self, into):
        out = Buffer(ctypes.addressof((ctypes.c_char * len(into)).from_buffer(into)), len(into), 0)
        while out.position == 0 and len(into) > 0:
            if self.compressed.position == self.compressed.size and not self.pending:
                data = self.file.read(PIECE_BYTES)
                if not data:
                    if self.waits_for != 0:
                        raise Broken("a layer ends in the middle of its zstd stream")
                    return 0
                self.piece = ctypes.create_string_buffer(data, len(data))  # kept: the library reads from it
                self.compressed = Buffer(ctypes.addressof(self.piece), len(data), 0)
            self.waits_for = self.z.ZSTD_decompressStream(self.stream, ctypes.byref(out), ctypes.byref(self.compressed))
            if self.z.ZSTD_isError(self.waits_for):
                raise Broken("a layer is no zstd stream")
            self.pending = out.position == out.size  # the library may hold more that it did not get rid of
        self.position += out.position
        return out.position

    def seek(self, to, whence=io.SEEK_SET):
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        if to < self.position:
            self.begin()
        while self.position < to:
            if not self.read(min(PIECE_BYTES, to - self.position)):
                break
        return self.position

    def tell(self):
        return self.position

    def readable(self):
        return True

    def seekable(self):
        return True

    def close(self):
        if not self.closed:
            self.z.ZSTD_freeDStream(self.stream)
            self.file.close()
        super().close()
