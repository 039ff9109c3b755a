/**
 * `queue export` and `queue import`: messages as pairs of files, <id>.eml with
 * the exact bytes and <id>.json with envelope and state. A file is complete
 * and on disk under its name or not there, so an interrupted export is simply
 * run again; an import says which files it took.
 */
import { open, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makeDirectory } from '../../spool/make-directory.ts';
import { isMessageId } from '../filter.ts';
import { frame, readFrames } from '../frames.ts';
import type { AdminClient, Selection } from './client.ts';
import { findMail, type GivenEnvelope, type MailFile, readMail } from './mail-files.ts';
import { progress } from './progress.ts';
import { CommandError, failure, type Terminal, usage } from './terminal.ts';

/** Writes the chosen messages into `directory`, which is made when it is not there. Resolves with their ids. */
export async function exportTo(
  directory: string,
  chosen: Selection,
  client: AdminClient,
  terminal: Terminal,
): Promise<readonly string[]> {
  const ids: string[] = [];
  const shown = progress('exporting', terminal);
  await makeDirectory(directory, 0o700).catch((error: Error) => {
    throw new CommandError(failure, `${directory} cannot be made: ${error.message}`, error);
  });
  try {
    for await (const { header, body } of readFrames(client.export(chosen))) {
      const id = String(header['id']);
      if (!isMessageId(id)) throw new CommandError(failure, 'the relay sent a message without an id');
      await writeWhole(join(directory, `${id}.eml`), body);
      await writeWhole(join(directory, `${id}.json`), [Buffer.from(`${JSON.stringify(header, null, 2)}\n`)]);
      ids.push(id);
      shown.show(ids.length);
    }
  } finally {
    shown.end();
  }
  return ids;
}

/** Mail is nobody else's business: 0600. */
async function writeWhole(path: string, chunks: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> {
  const partial = `${path}.partial`;
  const file = await open(partial, 'w', 0o600);
  try {
    for await (const chunk of chunks) await file.writeFile(chunk);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
}

export interface ImportOptions extends GivenEnvelope {
  /** Keep when it was accepted, and so when it expires; otherwise its life begins anew. */
  readonly keepAge?: true;
  /** Also send to recipients that were rejected or expired. */
  readonly retryRejected?: true;
  /** Remove each file once its message is safe in the queue. */
  readonly remove?: true;
}

export interface Imported {
  readonly imported: readonly { readonly path: string; readonly id: string }[];
  readonly failed: readonly { readonly path: string; readonly error: string }[];
}

/** Imports each message by itself: one bad file stops no other. */
export async function importFrom(
  paths: readonly string[],
  options: ImportOptions,
  client: AdminClient,
  terminal: Terminal,
): Promise<Imported> {
  const found = distinct((await Promise.all(paths.map(find))).flat());
  const imported: { path: string; id: string }[] = [];
  const failed: { path: string; error: string }[] = [];
  const shown = progress('importing', terminal);
  for (const path of found) {
    try {
      imported.push({ path, id: await importOne(await readMail(path, options), options, client) });
    } catch (error) {
      failed.push({ path, error: error instanceof Error ? error.message : String(error) });
    }
    shown.show(imported.length + failed.length, found.length);
  }
  shown.end();
  return { imported, failed };
}

/** `import out/*` names both files of each message. */
function distinct(paths: readonly string[]): readonly string[] {
  return [...new Map(paths.map(path => [resolve(path), path])).values()];
}

async function find(path: string): Promise<readonly string[]> {
  try {
    return await findMail(path);
  } catch (error) {
    throw new CommandError(usage, `${path} cannot be read: ${(error as Error).message}`, error);
  }
}

async function importOne(mail: MailFile, options: ImportOptions, client: AdminClient): Promise<string> {
  const { receivedAt, recipients, ...header } = mail.header;
  const ids = await client.import(
    frame(
      {
        ...header,
        recipients: options.retryRejected === true ? pendingAgain(recipients) : recipients,
        ...(options.keepAge === true && { receivedAt }),
        size: mail.size,
      },
      mail.body(),
    ),
  );
  if (options.remove === true) for (const file of mail.files) await rm(file);
  return ids[0] ?? '';
}

/** Delivered stays delivered; rejected and expired become pending. */
function pendingAgain(recipients: unknown): unknown {
  if (!Array.isArray(recipients)) return recipients;
  return recipients.map((recipient: unknown) => {
    if (recipient === null || typeof recipient !== 'object') return recipient;
    const { state } = recipient as { state?: unknown };
    return state === 'rejected' || state === 'expired' ? { ...recipient, state: 'pending' } : recipient;
  });
}
