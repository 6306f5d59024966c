// An HTTP handler that starts work which must outlive its request: answers 202 at once, and the client may vanish.
//
//   POST /transcodes    starts a job; `Idempotency-Key`, `X-Request-Id` and `traceparent` travel along
//   GET  /transcodes/7  tells how far job 7 is
//
// Nothing but Node's own modules: a call is one JSON object ended by a zero byte, over a Unix socket. Run it with
//   CTXD_SOCKET=/run/ctxd/ctxd.sock node server.mjs 8080
import http from 'node:http';
import net from 'node:net';

const SOCKET = process.env.CTXD_SOCKET ?? '/run/ctxd/ctxd.sock';
const COMMAND = ['sh', '-c', process.env.TRANSCODE ?? 'sleep 10; echo done with $CTX_VALUE_REQUEST_ID'];

// One call of io.ctxd over a connection of its own; resolves to the parameters of the reply.
function call(method, parameters) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    const socket = net.connect(SOCKET, () => {
      socket.write(JSON.stringify({ method: `io.ctxd.${method}`, parameters }) + '\0');
    });
    socket.setTimeout(30_000, () => socket.destroy(new Error('ctxd does not answer')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the connection to ctxd was lost')));
    socket.on('data', (piece) => {
      pieces.push(piece);
      if (piece[piece.length - 1] !== 0) return;
      const reply = JSON.parse(Buffer.concat(pieces).subarray(0, -1).toString());
      if (reply.error) {
        const name = reply.error.split('.').at(-1);
        reject(Object.assign(new Error(name), { ctxd: name, parameters: reply.parameters ?? {} }));
      } else {
        resolve(reply.parameters ?? {});
      }
      socket.end();
    });
  });
}

function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(body) + '\n');
}

const STATUS = { KeyConflict: 409, InvalidArgument: 400, NoSuchJob: 404 };

async function start(request, response) {
  const { job } = await call('Submit', {
    argv: COMMAND,
    cwd: '/',
    env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
    name: 'transcode',
    values: { request_id: request.headers['x-request-id'] ?? 'none' },
    // What is undefined is left out of the message.
    key: request.headers['idempotency-key'],
    traceparent: request.headers.traceparent,
    tracestate: request.headers.tracestate,
    baggage: request.headers.baggage,
  });
  answer(response, 202, { id: job.id, deadline: job.deadline_at }, { Location: `/transcodes/${job.id}` });
}

async function show(id, response) {
  const { job } = await call('Get', { id });
  const { state, progress, exit_code, cause } = job;
  answer(response, 200, { id, state, progress, exit_code, cause });
}

const server = http.createServer(async (request, response) => {
  try {
    const id = /^\/transcodes\/(\d+)$/.exec(request.url)?.[1];
    request.resume();
    if (request.method === 'POST' && request.url === '/transcodes') await start(request, response);
    else if (request.method === 'GET' && id) await show(Number(id), response);
    else answer(response, 404, { error: 'no such path' });
  } catch (e) {
    answer(response, STATUS[e.ctxd] ?? 503, { error: e.ctxd ?? e.message, ...e.parameters });
  }
});
server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
