#!/usr/bin/env bash
# Question: `docker build -f - FOLDER` (classic builder) reads the Dockerfile from standard input
#   and sends the folder as a tar archive. Does that archive have an end, as tar knows it?
# Guess: yes, two blocks of zeros, as with `docker build FOLDER`.
# What happens (client 20.10.24 of Debian 12, November 2026): no. The stream stops with the last
#   byte of the last file: no zeros behind it, not even those that fill up the file's own block.
#   GNU tar calls it "Unexpected EOF" and ends with 2. The engine reads it, because Go's reader takes
#   an end of the stream there for the end of the archive.
# Why it matters: whoever stands between client and engine (a proxy, a policy) and asks for a whole
#   archive refuses an ordinary build; whoever adds a file behind it must first fill up the block.
# Needs Debian 12's docker.io (the client; no engine), python3 and tar.
set -euo pipefail
v=$(/usr/bin/docker --version) || { echo "needs a docker client"; exit 1; }
case $v in *20.10.24*) ;; *) echo "needs client 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); trap 'kill "$engine" 2>/dev/null || true; rm -rf "$d"' EXIT; cd "$d"
mkdir folder; echo hello >folder/hello; echo 'FROM scratch' >folder/Dockerfile
# An engine that takes a context, keeps it, and builds nothing.
cat >engine.py <<'P'
import http.server, socketserver
class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def address_string(self): return ""
    def log_message(self, *words): pass
    def tell(self):
        self.send_response(200); self.send_header("Api-Version", "1.41"); self.send_header("OSType", "linux")
        self.send_header("Content-Length", "0"); self.end_headers()
    do_GET = do_HEAD = tell
    def do_POST(self):
        kept = open("kept", "wb")
        while size := int(self.rfile.readline(), 16):
            kept.write(self.rfile.read(size)); self.rfile.readline()
        kept.close(); self.tell()
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): pass
Server("engine.sock", Engine).serve_forever()
P
python3 engine.py & engine=$!
until [ -S engine.sock ]; do sleep 0.1; done
build() { DOCKER_BUILDKIT=0 /usr/bin/docker -H "unix://$d/engine.sock" build "$@" folder >/dev/null 2>err || { cat err; exit 1; }; }
told() { code=0; tar -tf kept >list 2>why || code=$?; echo "$(($(stat -c %s kept) % 512)) bytes beyond whole blocks, tar ends with $code"; }
{
  build; echo "build FOLDER: $(told)"
  echo 'FROM scratch' | build -f -; said=$(told); rest=${said#*bytes}
  [ "${said%% *}" != 0 ] && echo "build -f - FOLDER: some bytes$rest"
} >seen
cat seen
diff - seen <<'M' || { echo "changed: how the archive ends"; exit 1; }
build FOLDER: 0 bytes beyond whole blocks, tar ends with 0
build -f - FOLDER: some bytes beyond whole blocks, tar ends with 2
M
