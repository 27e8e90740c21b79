#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""sink.py PORT: accepts, reads, and prints one line a connection:
"data N", "eof" or "error NAME"."""
import errno
import socket
import sys
import threading


def serve(conn):
    got = 0
    end = "eof"
    try:
        while data := conn.recv(65536):
            got += len(data)
    except OSError as err:
        end = "error " + errno.errorcode.get(err.errno, str(err.errno))
    print(f"data {got}" if got else end, flush=True)
    conn.close()


listener = socket.create_server(("", int(sys.argv[1])), backlog=1024, reuse_port=False)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
