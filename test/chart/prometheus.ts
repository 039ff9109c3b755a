/** A real Prometheus on loopback that reads metrics of this process and answers queries. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { startService } from '../cluster/process.ts';

export type ScrapeTarget = {
  /** The text of /metrics. */
  readonly render: () => Promise<string>;
  readonly labels: Readonly<Record<string, string>>;
};

export type Result = {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
};

export type Prometheus = {
  /** Throws Prometheus' own words when a query cannot be executed. */
  query(expression: string): Promise<readonly Result[]>;
  /** Asks until the query has a result. */
  until(expression: string): Promise<readonly Result[]>;
  stop(): Promise<void>;
};

/** Scrapes every second. */
export async function startPrometheus(targets: readonly ScrapeTarget[]): Promise<Prometheus> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-prometheus-'));
  const servers = await Promise.all(targets.map(serve));
  const port = await freePort();
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    scrape_configs: [
      {
        job_name: 'relays',
        static_configs: servers.map((server, index) => ({
          targets: [`127.0.0.1:${portOf(server)}`],
          labels: targets[index]?.labels,
        })),
      },
    ],
  };
  await writeFile(join(directory, 'prometheus.yml'), stringify(config));
  const service = await startService(
    'prometheus',
    [
      'prometheus',
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    join(directory, 'log'),
  );
  const stop = async (): Promise<void> => {
    await service.stop();
    for (const server of servers) server.close();
    await rm(directory, { recursive: true, force: true });
  };
  const ask = (expression: string): Promise<readonly Result[]> => query(port, expression);
  const until = async (expression: string): Promise<readonly Result[]> => {
    const deadline = AbortSignal.timeout(60_000);
    for (;;) {
      const found = await ask(expression).catch(() => []);
      if (found.length > 0) return found;
      if (deadline.aborted) throw new Error(`no result within 60 s: ${expression}`);
      await Promise.race([service.failed, new Promise(resolve => setTimeout(resolve, 200))]);
    }
  };
  return { query: ask, until, stop };
}

type Answer = {
  readonly status: string;
  readonly error?: string;
  readonly data?: { readonly result: Result[] };
};

async function query(port: number, expression: string): Promise<readonly Result[]> {
  const body = new URLSearchParams({ query: expression });
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/query`, { method: 'POST', body });
  const answer = (await response.json()) as Answer;
  if (answer.status !== 'success') throw new Error(`${answer.error} in ${expression}`);
  return answer.data?.result ?? [];
}

async function serve({ render }: ScrapeTarget): Promise<Server> {
  const server = createServer((_, response) => void render().then(text => response.end(text)));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const socket = createSocket();
  await new Promise<void>(resolve => socket.listen(0, '127.0.0.1', resolve));
  const { port } = socket.address() as AddressInfo;
  await new Promise(resolve => socket.close(resolve));
  return port;
}
