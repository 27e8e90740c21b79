#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Clients that misbehave.  client.py CASE PORT [ARG]

garbage, http, half, nothing: one connection; prints "closed" when the server
side ended it, "timeout" otherwise, and how many bytes came back.
everybyte: the ClientHello cut at each byte, one connection each; prints their
number.  hold: nothing is sent, waits for the end, prints the seconds it took.
"""
import os
import socket
import ssl
import sys
import time


def hello():
    context = ssl.create_default_context()
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def drain(sock, seconds):
    """What the server sends until it ends the connection."""
    got = b""
    sock.settimeout(seconds)
    try:
        while data := sock.recv(65536):
            got += data
    except (ConnectionResetError, BrokenPipeError):
        pass
    except socket.timeout:
        return "timeout", got
    return "closed", got


def once(data, finish):
    sock = socket.create_connection(("127.0.0.1", port), 10)
    if data:
        sock.sendall(data)
    if finish:
        sock.shutdown(socket.SHUT_WR)
    how, got = drain(sock, 8)
    sock.close()
    # An alert at most: type 21, and never more than its seven bytes.
    plain = len(got) == 0 or (got[0] == 21 and len(got) == 7)
    print(how, "alert" if got else "silent", "clean" if plain else "LEAK " + got[:80].hex())


case, port = sys.argv[1], int(sys.argv[2])
if case == "garbage":
    once(b"\xff" + os.urandom(1000), False)
elif case == "http":
    once(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", False)
elif case == "half":
    once(hello()[:150], True)
elif case == "nothing":
    once(b"", True)
elif case == "hold":
    start = time.monotonic()
    sock = socket.create_connection(("127.0.0.1", port), 10)
    how, _ = drain(sock, 60)
    print(how, round(time.monotonic() - start, 1))
elif case == "everybyte":
    first = hello()
    for cut in range(len(first)):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(first[:cut])
    print(len(first))
else:
    sys.exit("unknown case")
