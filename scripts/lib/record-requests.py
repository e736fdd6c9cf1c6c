"""Records what a Docker client asks: a socket that passes everything on and writes each request down, one JSON line each.

record-requests.py SOCKET TARGET FILE     clients connect to SOCKET; TARGET is a gate's or an engine's socket
"""
import json
import os
import re
import socket
import sys
import threading

listen, target, kept = sys.argv[1:]
lock = threading.Lock()


def relay(source, sink, seen):
    try:
        while data := source.recv(65536):
            if seen is not None and len(seen) < 1 << 20:
                seen.extend(data)
            sink.sendall(data)
    except OSError:
        pass
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def requests(data):
    """Requests of one connection, until it goes on as something else."""
    while b"\r\n\r\n" in data:
        head, data = data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while m := re.match(rb"([0-9a-fA-F]+)\r\n", data):
                size = int(m[1], 16)
                body += data[m.end():m.end() + size]
                data = data[m.end() + size + 2:]
                if size == 0:
                    break
        else:
            size = int(headers.get("content-length", 0))
            body, data = data[:size], data[size:]
        yield lines[0].rsplit(" ", 1)[0], headers, body
        if "upgrade" in headers:
            return


def serve(client):
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(target)
    seen = bytearray()
    down = threading.Thread(target=relay, args=(engine, client, None))
    down.start()
    relay(client, engine, seen)
    down.join()
    with lock, open(kept, "a") as out:
        for request, headers, body in requests(bytes(seen)):
            line = {"agent": headers.get("user-agent", ""), "request": request}
            if "json" in headers.get("content-type", "") and body:
                try:
                    line["body"] = json.loads(body)
                except ValueError:
                    pass
            out.write(json.dumps(line) + "\n")


if os.path.exists(listen):
    os.unlink(listen)
server = socket.socket(socket.AF_UNIX)
server.bind(listen)
os.chmod(listen, 0o666)
server.listen(64)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
