# SPDX-License-Identifier: GPL-2.0
"""An HTTP server, well-behaved and not, that shows get what it must cope with.

httpd.py FILE LOG [ADDRESS]: serves FILE in the way that the path names; writes
each request line and its fields Host and Range to LOG; prints its port.
"""
import socket
import struct
import sys
import threading
import time

data = open(sys.argv[1], "rb").read()
log = open(sys.argv[2], "a", buffering=1)
address = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
END = b"\r\n\r\n"


def head(status, *fields):
    return "\r\n".join(("HTTP/1.1 " + status,) + fields).encode() + END


def length(n):
    return f"Content-Length: {n}"


def chunks(body, size=7000):
    out = b""
    for at in range(0, len(body), size):
        part = body[at:at + size]
        out += b"%x;name=\"value\"\r\n" % len(part) + part + b"\r\n"
    return out


CHUNKED = head("200 OK", "Transfer-Encoding: chunked")


def reset(conn):
    """The stream is cut: no end, neither of TLS nor of TCP."""
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def slowly(conn, raw, pieces, pause):
    size = -(-len(raw) // pieces)
    for at in range(0, len(raw), size):
        conn.sendall(raw[at:at + size])
        time.sleep(pause)


def ranged(conn, wanted):
    first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
    if first >= len(data):
        conn.sendall(head("416 Range Not Satisfiable", f"Content-Range: bytes */{len(data)}", length(0)))
    elif wanted:
        part = data[first:]
        conn.sendall(head("206 Partial Content", length(len(part)),
                          f"Content-Range: bytes {first}-{len(data) - 1}/{len(data)}") + part)
    else:
        conn.sendall(head("200 OK", length(len(data))) + data)


def redirect(conn, where, status="302 Found"):
    conn.sendall(head(status, "Location: " + where, length(0)))


port = 0
ANSWERS = {
    "file": lambda: head("200 OK", length(len(data))) + data,
    "bare": lambda: (b"HTTP/1.0 200\nContent-length:%d\n\n" % len(data)) + data,
    "empty": lambda: head("200 OK", length(0)),
    "chunked": lambda: CHUNKED + chunks(data) + b"0\r\nTrailer: x\r\n\r\n",
    "close": lambda: head("200 OK") + data,
    "interim": lambda: head("100 Continue") + head("103 Early Hints", "Link: x") + head("200 OK", length(3)) + b"abc",
    "onlyinterim": lambda: head("100 Continue") * 9,
    "short": lambda: head("200 OK", length(len(data) + 1)) + data,
    "shortchunk": lambda: CHUNKED + chunks(data)[:-2000],
    "nolastchunk": lambda: CHUNKED + chunks(data),
    "chunksize": lambda: CHUNKED + b"5\r\nabcde\r\nxyz\r\n",
    "chunkhuge": lambda: CHUNKED + b"f" * 17 + b"\r\n",
    "chunknegative": lambda: CHUNKED + b"-1\r\n",
    "chunklong": lambda: CHUNKED + b"3\r\nabcde\r\n0\r\n\r\n",
    "chunkline": lambda: CHUNKED + b"3;" + b"x" * 10000 + b"\r\n",
    "trailers": lambda: CHUNKED + b"0\r\n" + b"a: b\r\n" * 10000,
    "bighead": lambda: head("200 OK", "X: " + "x" * 40000),
    "nul": lambda: head("200 OK", "X: \0"),
    "notfound": lambda: head("404 Not Found", length(4)) + b"gone",
    "evil": lambda: head("500 \033[2Jx", length(0)),
    "nocontent": lambda: head("204 No Content"),
    "twolengths": lambda: head("200 OK", length(3), length(4)) + b"abcd",
    "gzip": lambda: head("200 OK", "Transfer-Encoding: gzip, chunked"),
    "nothttp": lambda: b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "nothing": lambda: b"",
    "half": lambda: b"HTTP/1.1 200 OK\r\nContent-",
    "norange": lambda: head("200 OK", length(len(data))) + data,
    "wrongrange": lambda: head("206 Partial Content", "Content-Range: bytes 0-9/10", length(10)) + data[:10],
    "rangeless": lambda: head("416 Range Not Satisfiable", length(0)),
}
ACTIONS = {
    "range": lambda conn, wanted: ranged(conn, wanted),
    "loop": lambda conn, _: redirect(conn, "/loop"),
    "relative": lambda conn, _: redirect(conn, "../x/./../file?y#z", "301 Moved"),
    "absolute": lambda conn, _: redirect(conn, f"https://localhost:{port}/file", "308 Permanent Redirect"),
    "otherhost": lambda conn, _: redirect(conn, f"https://127.0.0.1:{port}/file", "307 Temporary Redirect"),
    "tohttp": lambda conn, _: redirect(conn, "http://localhost/file", "303 See Other"),
}


def answer(conn, name, wanted):
    if name == "cut":
        slowly(conn, head("200 OK") + data[:100000], 1, 0.2)
        reset(conn)
    elif name == "cutlength":
        slowly(conn, head("200 OK", length(len(data))) + data[:100000], 1, 0.2)
        reset(conn)
    elif name == "slow":
        slowly(conn, head("200 OK", length(len(data))) + data, 8, 0.15)
    elif name == "slowclose":
        slowly(conn, head("200 OK") + data, 8, 0.15)
    elif name == "bytes":
        slowly(conn, (CHUNKED + chunks(data[:300], 7) + b"0\r\n\r\n"), 3000, 0)
    elif name == "stall":
        conn.sendall(head("200 OK", length(len(data))) + data[:100])
        conn.recv(1)
    elif name in ACTIONS:
        ACTIONS[name](conn, wanted)
    else:
        conn.sendall(ANSWERS[name]())


def serve(conn):
    request = b""
    while END not in request:
        more = conn.recv(65536)
        if not more:
            return
        request += more
    lines = request.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    log.write("|".join((lines[0], fields.get("Host", ""), fields.get("Range", ""))) + "\n")
    try:
        answer(conn, lines[0].split()[1].split("?")[0].rsplit("/", 1)[1], fields.get("Range"))
    except (ConnectionResetError, BrokenPipeError):
        pass
    conn.close()


family = socket.AF_INET6 if ":" in address else socket.AF_INET
listener = socket.create_server((address, 0), family=family)
port = listener.getsockname()[1]
print(port, flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
