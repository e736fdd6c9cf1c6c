#!/usr/bin/env bash
# Question: OTEL_EXPORTER_OTLP_TIMEOUT=1500, and the collector takes the request and says
#   nothing. After how long do the exporters for JavaScript and Python give up?
# Guess: both after 1.5 seconds; the variable is in OpenTelemetry's specification, in
#   milliseconds, so that one environment serves services in all languages.
# What happens (@opentelemetry/exporter-trace-otlp-http 0.223.1 for JavaScript,
#   opentelemetry-exporter-otlp-proto-http 1.45.2 for Python, November 2026): JavaScript
#   soon gives up; Python, which counts the same variable in seconds, still waits when this
#   probe ends it after 15. With the value 2 both have given up by then.
# Why it matters: the variable is set once for a fleet; the value that is right for one half
#   keeps a Python job that flushes at its end waiting for a collector that does not answer.
# Talks to a server of its own on the loopback interface only.
set -euo pipefail
d=$(mktemp -d); pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py opentelemetry-exporter-otlp-proto-http==1.45.2 opentelemetry-sdk==1.45.2 2>pip.log || { cat pip.log; exit 1; }
npm install --silent --no-audit --no-fund --prefix . @opentelemetry/exporter-trace-otlp-http@0.223.1 \
  @opentelemetry/sdk-trace-base@2.12.1 >npm.log 2>&1 || { cat npm.log; exit 1; }
cat > silent.py <<'M'
import os, socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(20)
open("port.tmp", "w").write(str(s.getsockname()[1])); os.rename("port.tmp", "port")
kept = []
while True:
    kept.append(s.accept())
M
cat > probe.py <<'M'
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
with provider.get_tracer("t").start_as_current_span("s"):
    pass
M
cat > probe.js <<'M'
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { BasicTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const exporter = new OTLPTraceExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.getTracer("t").startSpan("s").end();
provider.forceFlush().catch(() => {}).finally(() => process.exit(0));
M
python3 silent.py & pid=$!
for _ in $(seq 50); do [ -e port ] && break; sleep 0.1; done
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PYTHONPATH=py
export OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$(cat port)"
try() {
  export OTEL_EXPORTER_OTLP_TIMEOUT=$2
  if timeout 15 $1 >out 2>&1; then echo "$1 $2: gave up"; else echo "$1 $2: still waiting after 15 s"; fi
}
{ for n in 2 1500; do try "node probe.js" $n; try "python3 -W ignore probe.py" $n; done; } > seen
cat seen
diff - seen <<'M' || { echo "changed: the unit of the timeout"; exit 1; }
node probe.js 2: gave up
python3 -W ignore probe.py 2: gave up
node probe.js 1500: gave up
python3 -W ignore probe.py 1500: still waiting after 15 s
M
