#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Connections with a ULP and TLS 1.3 keys at both ends, on the loopback.

Commands on standard input, one answer each:
  open NAME ULP		"itls" or "in-tree", whoever served it, or the errno
  talk NAME BYTES	both ways: "same", or what went wrong
  close NAME		"closed"
  storm ULP		opens and closes connections until calm: "storming"
  calm			what served them, and how often: "errors=0 in-tree=3 itls=9"
"""
import errno
import os
import socket
import struct
import sys
import threading

TCP_ULP, SOL_TLS, TLS_TX, TLS_RX, ITLS_INFO = 31, 282, 1, 2, 65
TLS_1_3, AES_GCM_128 = 0x0304, 51


def key(seed):
    return struct.pack("=HH8s16s4s8s", TLS_1_3, AES_GCM_128, bytes([seed]) * 8,
                       bytes([seed + 1]) * 16, bytes([seed + 2]) * 4, bytes(8))


def connect():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        a = socket.create_connection(listener.getsockname(), 20)
        b = listener.accept()[0]
    b.settimeout(20)
    return a, b


def attach(sock, ulp, out, into):
    sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, ulp.encode())
    name = sock.getsockopt(socket.IPPROTO_TCP, TCP_ULP, 16).rstrip(b"\0").decode()
    if name != ulp:
        raise OSError(errno.EPROTO, "the ULP calls itself " + name)
    sock.setsockopt(SOL_TLS, TLS_TX, key(out))
    sock.setsockopt(SOL_TLS, TLS_RX, key(into))


def served_by(sock):
    try:
        sock.getsockopt(SOL_TLS, ITLS_INFO, 512)
        return "itls"
    except OSError:
        return "in-tree"


def open_pair(ulp):
    a, b = connect()
    try:
        attach(a, ulp, 1, 101)
        attach(b, ulp, 101, 1)
    except OSError:
        a.close()
        b.close()
        raise
    return a, b


def carry(sender, receiver, size):
    data = os.urandom(size)
    thread = threading.Thread(target=sender.sendall, args=(data,))
    thread.start()
    got = b""
    while len(got) < size:
        more = receiver.recv(65536)
        if not more:
            break
        got += more
    thread.join()
    return got == data


class Storm:
    def __init__(self, ulp):
        self.ulp, self.over = ulp, False
        self.counts = {"errors": 0, "itls": 0, "in-tree": 0}
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            try:
                a, b = open_pair(self.ulp)
            except OSError as err:
                print(err, file=sys.stderr, flush=True)
                self.counts["errors"] += 1
                continue
            self.counts[served_by(a)] += 1
            if not carry(a, b, 1000):
                self.counts["errors"] += 1
            a.close()
            b.close()

    def end(self):
        self.over = True
        self.thread.join()
        return " ".join(f"{k}={v}" for k, v in sorted(self.counts.items()))


pairs = {}
storm = None


def obey(word, *args):
    global storm
    if word == "open":
        pairs[args[0]] = open_pair(args[1])
        return served_by(pairs[args[0]][0])
    if word == "talk":
        a, b = pairs[args[0]]
        return "same" if carry(a, b, int(args[1])) and carry(b, a, int(args[1])) else "differ"
    if word == "close":
        for sock in pairs.pop(args[0]):
            sock.close()
        return "closed"
    if word == "storm":
        storm = Storm(args[0])
        return "storming"
    if word == "calm":
        return storm.end()
    return "unknown command"


for line in sys.stdin:
    try:
        answer = obey(*line.split())
    except OSError as err:
        answer = errno.errorcode.get(err.errno, str(err))
    print(answer, flush=True)
