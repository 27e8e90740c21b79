# SPDX-License-Identifier: GPL-2.0
"""A server that only listens: prints its port once it does, ends by signal.

listen.py [--address A] [--sockets N] [--workers N] [--mptcp]

All sockets share one port (SO_REUSEPORT) and all workers, forked later,
hold every one of them, as nginx's do.
"""
import argparse
import ctypes
import os
import signal
import socket

PR_SET_PDEATHSIG = 1


def worker(parent):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    signal.pause()
    os._exit(0)


def listener(args, port):
    family = socket.AF_INET6 if ":" in args.address else socket.AF_INET
    proto = 262 if args.mptcp else 0
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((args.address, port))
    sock.listen()
    return sock


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--sockets", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--mptcp", action="store_true")
    args = parser.parse_args()

    socks = [listener(args, 0)]
    port = socks[0].getsockname()[1]
    while len(socks) < args.sockets:
        socks.append(listener(args, port))
    parent = os.getpid()
    for _ in range(args.workers):
        if os.fork() == 0:
            worker(parent)
    print(port, flush=True)
    signal.pause()


main()
