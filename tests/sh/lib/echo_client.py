#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A TLS client by ITLS_CONNECT.  echo_client.py LIBITLS PORT CA LINES

Prints "ready" after the handshake and waits for a line.  Then sends LINES lines
to an echo server from one thread, reads them back in another, and compares
every byte.
"""
import ctypes
import socket
import sys
import threading


class Client(ctypes.Structure):
    """struct itls_client of <itls.h>."""

    _fields_ = [
        ("profile", ctypes.c_char_p),
        ("server_name", ctypes.c_char_p),
        ("ca", ctypes.c_char_p), ("ca_len", ctypes.c_size_t),
        ("cert", ctypes.c_char_p), ("cert_len", ctypes.c_size_t),
        ("key", ctypes.c_char_p), ("key_len", ctypes.c_size_t),
    ]


library, port, ca, lines = ctypes.CDLL(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
pem = open(ca, "rb").read()
client = Client(server_name=b"localhost", ca=pem, ca_len=len(pem))
sock = socket.create_connection(("localhost", port), 120)
sock.settimeout(None)
err = library.itls_connect(sock.fileno(), ctypes.byref(client), ctypes.c_size_t(ctypes.sizeof(client)))
if err:
    sys.exit(f"itls_connect: {err}")
print("ready", flush=True)
sys.stdin.readline()

sent = b"".join(b"%08x line of the client, long enough to be worth a record of its own\n" % i for i in range(lines))


def send():
    for at in range(0, len(sent), 1000):
        sock.sendall(sent[at:at + 1000])


thread = threading.Thread(target=send)
thread.start()
got = bytearray()
while len(got) < len(sent):
    data = sock.recv(65536)
    if not data:
        sys.exit(f"the end came after {len(got)} of {len(sent)} bytes")
    got += data
thread.join()
if got != sent:
    at = next(i for i in range(len(sent)) if got[i] != sent[i])
    sys.exit(f"byte {at} differs: sent {sent[at:at + 80]!r}, got {bytes(got[at:at + 80])!r}")
sock.close()
