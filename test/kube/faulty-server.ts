/**
 * A small API server that misbehaves on command: serves LIST (paged) and WATCH of config maps over HTTPS from a
 * truth that the test changes, anything else from an object store, and spoils the next requests as scripted.
 */
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { Connection, TlsSettings, TokenSource } from '../../operator/kube/identity.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import { defineResource } from '../../operator/kube/resource.ts';
import { makeAuthority, signCertificate, writeKubeconfig } from '../cluster/kubeconfig.ts';
import type { ObjectStore } from './object-store.ts';

export type ConfigMap = KubeObject & { data?: Record<string, string> };
export const configMaps = defineResource<ConfigMap>({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
});

export type Fault =
  /** The socket is reset instead of an answer; `done`: what was asked for has been done. */
  | { kind: 'reset'; done?: boolean }
  /** An error Status. */
  | { kind: 'status'; code: number; reason?: string; retryAfter?: number }
  /** 200, but a page for people. */
  | { kind: 'html' }
  /** The answer comes late. */
  | { kind: 'slow'; ms: number }
  /** No answer at all; `done`: what was asked for has been done. */
  | { kind: 'mute'; done?: boolean }
  /** It is done, and half of the answer's JSON comes: then a reset, or the end as a proxy makes it that lost the rest. */
  | { kind: 'half-answer'; reset: boolean }
  /** It is done, and answered, when the test says so, whether anybody waits for it or not. */
  | { kind: 'late'; until: Promise<void> }
  /** A watch: half an event, then the end of the stream (in order) or a reset. */
  | { kind: 'half-line'; reset: boolean }
  /** A watch: a line that is no JSON. */
  | { kind: 'garbage-line' }
  /** A watch: a bookmark, then nothing for ever; events are swallowed. */
  | { kind: 'silent' }
  /** A watch: an ERROR event. */
  | { kind: 'error-event'; code: number; reason: string }
  /** A watch: this many events, then a reset. */
  | { kind: 'reset-after'; events: number }
  /** A watch: ends in order as soon as it is open. */
  | { kind: 'ends-at-once' };

type RequestKind = 'list' | 'watch' | 'other';
/** `hanging`: how many requests were left without an answer when this one came. */
interface Received {
  kind: RequestKind;
  at: number;
  method: string;
  url: URL;
  token: string | undefined;
  hanging: number;
}
interface Call {
  kind: RequestKind;
  url: URL;
  request: IncomingMessage;
  body: string;
}
type Change = { type: string; object: ConfigMap };
type Watcher = { response: ServerResponse; resetAfter: number; swallow: boolean };

export class FaultyServer {
  readonly truth = new Map<string, ConfigMap>();
  readonly requests: Received[] = [];
  /** What single objects are read from and written to; where it is undefined every such request is answered with x. */
  objects: ObjectStore | undefined;
  /** Spoils every request for which it names a fault, before what is scripted. */
  always: ((request: IncomingMessage) => Fault | undefined) | undefined;
  /** Requests without an answer whose senders still wait. */
  hanging = 0;
  /** Requests carried out so far that were no LIST and no WATCH. */
  answered = 0;
  /** Connections so far. */
  accepted = 0;
  /** When set, any other bearer token gets 401. */
  token: string | undefined;
  /** When set, who has another client certificate than one of that name, or none, gets 401. */
  client: string | undefined;
  readonly connection: Connection;
  readonly #server: Server;
  readonly #directory: string;
  readonly #faults: Record<RequestKind, Fault[]> = { list: [], watch: [], other: [] };
  readonly #watchers = new Set<Watcher>();
  /** What a LIST began to show, by version. */
  readonly #snapshots = new Map<number, readonly ConfigMap[]>();
  readonly #sockets = new Map<number, Socket>();
  #history: Change[] = [];
  #version = 1_000;
  #forgottenBefore = 0;

  constructor(server: Server, directory: string, connection: Connection) {
    this.#server = server;
    this.#directory = directory;
    this.connection = connection;
    // A TLS socket cannot send a reset; the TCP socket under it can.
    server.on('connection', (socket: Socket) => {
      this.accepted++;
      this.#sockets.set(socket.remotePort ?? 0, socket);
    });
    server.on('request', (request, response) => void this.#serve(request, response));
  }

  static async start(token?: TokenSource): Promise<FaultyServer> {
    const directory = await mkdtemp(join(tmpdir(), 'faulty-server-'));
    const authority = await makeAuthority(directory);
    const pair = await signCertificate(directory, 'server', {
      subject: '/CN=faulty',
      names: ['IP:127.0.0.1'],
    });
    const [cert, key] = [await readFile(pair.certificate), await readFile(pair.key)];
    // As the API server does: who a client is, is judged of each request.
    const server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const ca = await readFile(authority.certificate, 'utf8');
    const base = { server: `https://127.0.0.1:${port}`, namespace: 'default', tls: { ca } };
    return new FaultyServer(server, directory, token ? { ...base, token } : base);
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** A kubeconfig for this server, as long as it runs. */
  async kubeconfig(): Promise<string> {
    const file = join(this.#directory, 'kubeconfig');
    const [url, authority] = [this.connection.server, join(this.#directory, 'ca.crt')];
    await writeKubeconfig(file, { url, authority, credential: { token: 'a' } });
    return file;
  }

  /** Certificate and key of a client, as PEM. */
  async clientCertificate(name: string): Promise<Required<Pick<TlsSettings, 'cert' | 'key'>>> {
    const pair = await signCertificate(this.#directory, name, { subject: `/CN=${name}` });
    return { cert: await readFile(pair.certificate, 'utf8'), key: await readFile(pair.key, 'utf8') };
  }

  /** Spoils the next requests of a kind, one each, in this order. */
  script(kind: RequestKind, ...faults: Fault[]): void {
    this.#faults[kind].push(...faults);
  }

  get pendingFaults(): number {
    return Object.values(this.#faults).reduce((sum, faults) => sum + faults.length, 0);
  }

  count(kind: RequestKind): number {
    return this.requests.filter(request => request.kind === kind).length;
  }

  connections(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    );
  }

  /** Makes or changes an object. */
  put(name: string, value: string): void {
    const before = this.truth.get(name);
    const object: ConfigMap = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name,
        namespace: 'default',
        uid: before?.metadata.uid ?? `uid-${name}-${this.#version}`,
        resourceVersion: String(++this.#version),
        managedFields: [{ manager: 'test' }],
      },
      data: { value },
    };
    this.truth.set(name, object);
    this.#tell({ type: before ? 'MODIFIED' : 'ADDED', object });
  }

  delete(name: string): void {
    const before = this.truth.get(name);
    if (!before) return;
    this.truth.delete(name);
    const metadata = { ...before.metadata, resourceVersion: String(++this.#version) };
    this.#tell({ type: 'DELETED', object: { ...before, metadata } });
  }

  /** As a compaction of etcd: watches from before now get 410. */
  forgetHistory(): void {
    this.#history = [];
    this.#forgottenBefore = this.#version;
  }

  /** Cuts the open watches: all of what they would have brought next is missed. */
  resetWatches(): void {
    for (const { response } of this.#watchers) this.#reset(response);
  }

  sendErrorEvent(code: number, reason: string): void {
    for (const { response } of this.#watchers) response.write(errorEvent(code, reason));
  }

  #tell(change: Change): void {
    this.#history.push(change);
    for (const watcher of this.#watchers) this.#send(watcher, change);
  }

  #send(watcher: Watcher, change: Change): void {
    if (watcher.swallow) return;
    watcher.response.write(`${JSON.stringify(change)}\n`);
    if (--watcher.resetAfter === 0) this.#reset(watcher.response);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'https://faulty');
    const kind = kindOf(request, url);
    const token = request.headers.authorization?.replace('Bearer ', '');
    const { method = '' } = request;
    this.requests.push({ kind, at: performance.now(), method, url, token, hanging: this.hanging });
    // Who breaks off inside his request gets no answer.
    const body = await text(request).catch(() => undefined);
    if (body === undefined) return;
    const client = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
    const isStranger = this.client !== undefined && client !== this.client;
    if (isStranger || (this.token !== undefined && token !== this.token)) {
      status(response, { code: 401, reason: 'Unauthorized' });
      return;
    }
    const call: Call = { kind, url, request, body };
    await this.#spoilOrAnswer(this.always?.(request) ?? this.#faults[kind].shift(), call, response);
  }

  async #spoilOrAnswer(fault: Fault | undefined, call: Call, response: ServerResponse): Promise<void> {
    if (fault?.kind === 'slow') await delay(fault.ms);
    if (fault?.kind === 'late') await this.#hangUntil(fault.until, response);
    if (!fault || fault.kind === 'slow' || fault.kind === 'late') this.#answer(call, response);
    else this.#spoil(fault, call, response);
  }

  #hang(response: ServerResponse): void {
    this.hanging++;
    response.once('close', () => this.hanging--);
  }

  async #hangUntil(end: Promise<void>, response: ServerResponse): Promise<void> {
    this.#hang(response);
    await end;
  }

  #answer(call: Call, response: ServerResponse): void {
    if (call.kind === 'list') this.#list(call.url, response);
    else if (call.kind === 'watch') this.#watch(call.url, response, {});
    else {
      const { code, body } = this.#carryOut(call);
      json(response, code, body);
    }
  }

  #carryOut({ request, url, body }: Call): { code: number; body: object } {
    this.answered++;
    if (!this.objects) {
      return { code: 200, body: { kind: 'ConfigMap', metadata: { name: 'x', resourceVersion: '1' } } };
    }
    return this.objects.answer({
      method: request.method ?? '',
      path: url.pathname,
      contentType: request.headers['content-type'],
      body: body === '' ? undefined : JSON.parse(body),
    });
  }

  /** All pages show what there was at the first one, and bear its version, as the API server's do. */
  #list(url: URL, response: ServerResponse): void {
    const limit = Number(url.searchParams.get('limit')) || Number.POSITIVE_INFINITY;
    const [version = this.#version, start = 0] = (url.searchParams.get('continue') ?? '')
      .split('/')
      .filter(part => part !== '')
      .map(Number);
    const all = this.#snapshots.get(version) ?? this.#snapshot(version);
    const items = all.slice(start, start + limit).map(({ apiVersion: _a, kind: _k, ...item }) => item);
    const next = start + limit < all.length ? { continue: `${version}/${start + limit}` } : {};
    const metadata = { resourceVersion: String(version), ...next };
    json(response, 200, { apiVersion: 'v1', kind: 'ConfigMapList', metadata, items });
  }

  #snapshot(version: number): readonly ConfigMap[] {
    const all = [...this.truth.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    this.#snapshots.set(version, all);
    return all;
  }

  #watch(url: URL, response: ServerResponse, spoiled: Partial<Watcher>): void {
    const from = Number(url.searchParams.get('resourceVersion'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (from < this.#forgottenBefore) {
      response.end(errorEvent(410, 'Expired'));
      return;
    }
    const watcher: Watcher = { response, resetAfter: -1, swallow: false, ...spoiled };
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
    const missed = this.#history.filter(change => Number(change.object.metadata.resourceVersion) > from);
    for (const change of missed) this.#send(watcher, change);
  }

  #reset(response: ServerResponse): void {
    this.#sockets.get(response.socket?.remotePort ?? 0)?.resetAndDestroy();
  }

  #bookmark(): string {
    const metadata = { resourceVersion: String(this.#version) };
    return `${JSON.stringify({ type: 'BOOKMARK', object: { kind: 'ConfigMap', metadata } })}\n`;
  }

  #spoil(fault: Fault, call: Call, response: ServerResponse): void {
    const { url } = call;
    switch (fault.kind) {
      case 'reset':
        if (fault.done) this.#carryOut(call);
        this.#reset(response);
        return;
      case 'mute':
        if (fault.done) this.#carryOut(call);
        this.#hang(response);
        return;
      case 'half-answer': {
        const answer = JSON.stringify(this.#carryOut(call).body);
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write(answer.slice(0, answer.length / 2), () =>
          fault.reset ? this.#reset(response) : response.end(),
        );
        return;
      }
      case 'status':
        status(response, fault);
        return;
      case 'html':
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in here</html>');
        return;
      case 'half-line':
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"type":"ADDED","object":{"metadata":{"name":"hal', () =>
          fault.reset ? this.#reset(response) : response.end(),
        );
        return;
      case 'garbage-line':
        response.writeHead(200, { 'content-type': 'application/json' }).write('this is not JSON\n');
        return;
      case 'silent':
        this.#watch(url, response, { swallow: true });
        response.write(this.#bookmark());
        return;
      case 'error-event':
        response.writeHead(200).end(errorEvent(fault.code, fault.reason));
        return;
      case 'reset-after':
        this.#watch(url, response, { resetAfter: fault.events });
        return;
      case 'ends-at-once':
        response.writeHead(200).end();
        return;
      default:
        throw new Error(`${fault.kind} spoils nothing`);
    }
  }
}

function kindOf(request: IncomingMessage, url: URL): RequestKind {
  if (url.searchParams.get('watch') === 'true') return 'watch';
  return request.method === 'GET' && url.pathname.endsWith('/configmaps') ? 'list' : 'other';
}

function json(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function status(
  response: ServerResponse,
  { code, reason = '', retryAfter }: { code: number; reason?: string; retryAfter?: number },
): void {
  if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter));
  json(response, code, { kind: 'Status', status: 'Failure', code, reason, message: `scripted ${code}` });
}

function errorEvent(code: number, reason: string): string {
  const object = { kind: 'Status', status: 'Failure', code, reason, message: `scripted ${code}` };
  return `${JSON.stringify({ type: 'ERROR', object })}\n`;
}
