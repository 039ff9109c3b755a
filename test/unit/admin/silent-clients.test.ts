/** Clients of the HTTP ports that connect and say nothing, or never close. */
import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { roomFor } from '../../../relay/admin/connection-room.ts';
import { type HttpEndpoint, type Route, serveHttp } from '../../../relay/admin/http.ts';
import { gate, until } from '../../smtp/wait.ts';

const livez: Route = { method: 'GET', path: '/livez', handle: ({ response }) => void response.end('ok') };

const serve = (routes: readonly Route[]) => serveHttp({ host: '127.0.0.1', port: 0, routes });

const ask = async (port: number): Promise<string> => (await fetch(`http://127.0.0.1:${port}/livez`)).text();

/** Connects as a client that keeps its side open whatever the server does. */
async function silent(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function withServer(routes: readonly Route[], use: (endpoint: HttpEndpoint) => Promise<void>) {
  const endpoint = await serve(routes);
  try {
    await use(endpoint);
  } finally {
    await endpoint.close();
  }
}

test('a probe is answered however many clients are connected and silent', () =>
  withServer([livez], async ({ port }) => {
    const clients: Socket[] = [];
    for (let count = 0; count < 100; count++) clients.push(await silent(port));
    assert.equal(await ask(port), 'ok');
    for (const client of clients) client.destroy();
  }));

test('a request that is being answered keeps its connection while silent clients come', async () => {
  const arrived = gate();
  const held = gate();
  const slow: Route = {
    method: 'GET',
    path: '/slow',
    handle: async ({ response }) => {
      arrived.open();
      await held.opened;
      response.end('done');
    },
  };
  await withServer([slow], async ({ port }) => {
    const answer = fetch(`http://127.0.0.1:${port}/slow`);
    await arrived.opened;
    const clients: Socket[] = [];
    for (let count = 0; count < 200; count++) clients.push(await silent(port));
    held.open();
    assert.equal(await (await answer).text(), 'done');
    for (const client of clients) client.destroy();
  });
});

test('a client that is refused and does not close is gone from the server all the same', () =>
  withServer([livez], ({ port }) =>
    withSockets(async accepted => {
      const client = await silent(port);
      client.resume();
      client.write('no HTTP\r\n\r\n');
      await once(client, 'end');
      await until(() => accepted[0]?.destroyed === true, 'the socket to be given back');
      client.destroy();
    }),
  ));

test('of the connections that are silent the one that was heard longest ago makes room', async () => {
  const server = createServer((_request, response) => void response.end('ok'));
  roomFor(server, 2);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const first = await silent(port);
  const second = await silent(port);
  first.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(first, 'data');
  const gone = once(second.resume(), 'close');
  second.on('end', () => second.end());
  const third = await silent(port);
  await gone;
  first.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(first, 'data');
  first.destroy();
  third.destroy();
  server.close();
  await once(server, 'close');
});

/** Tells which sockets servers of this process accepted meanwhile. */
async function withSockets(use: (accepted: readonly Socket[]) => Promise<void>): Promise<void> {
  const accepted: Socket[] = [];
  const sockets = channel('net.server.socket');
  const take = (message: unknown): void => void accepted.push((message as { socket: Socket }).socket);
  sockets.subscribe(take);
  try {
    await use(accepted);
  } finally {
    sockets.unsubscribe(take);
  }
}
