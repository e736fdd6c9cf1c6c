// A web service that answers its version. "testbed" in package.json can make it a bad release.
'use strict';
const http = require('http');
const { version, testbed } = require('../package.json');

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const isLocal = ['127.0.0.1', '::ffff:127.0.0.1'].includes(request.socket.remoteAddress);
  const isWell = testbed.health === 'ok' || (testbed.health === 'local' && isLocal);
  if (url.pathname === '/health' && !isWell) {
    response.writeHead(503).end('not ready\n');
    return;
  }
  const text = url.pathname === '/health' ? 'ok\n' : `${version}\n`;
  setTimeout(() => response.writeHead(200).end(text), Number(url.searchParams.get('wait') || 0));
});

setTimeout(() => server.listen(process.env.PORT || 3131), testbed.startMilliseconds);

process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
