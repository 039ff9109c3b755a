/**
 * Guesses an envelope from a message's headers, for mail files that come
 * without one: the sender from Return-Path and its like, the recipients from
 * headers that delivery agents add, else from To, Cc and Bcc.
 */
import addressParser from 'nodemailer/lib/addressparser';
import { isAddress } from '../message-json.ts';

export interface Envelope {
  /** undefined = no header says it. */
  readonly sender: string | undefined;
  readonly recipients: readonly string[];
}

/** By trust: what a server noted of the envelope comes before what the author wrote. */
const senderHeaders = ['return-path', 'x-envelope-from', 'x-envelope-sender', 'sender', 'from'];
const envelopeHeaders = ['x-envelope-to', 'x-original-to', 'delivered-to'];
const authorHeaders = ['to', 'cc', 'bcc'];

/** `head`: at least the whole header of the message, read as UTF-8 (RFC 6532); bytes that are none are U+FFFD in an address, too. */
export function envelopeFromHeaders(head: string): Envelope {
  const headers = readHeaders(head);
  const noted = addresses(headers, envelopeHeaders);
  return {
    sender: senderIn(headers),
    recipients: noted.length > 0 ? noted : addresses(headers, authorHeaders),
  };
}

type Headers = ReadonlyMap<string, readonly string[]>;

function readHeaders(head: string): Headers {
  const end = /\r?\n\r?\n/.exec(head)?.index ?? head.length;
  const unfolded = head.slice(0, end).replace(/\r?\n[ \t]+/g, ' ');
  const headers = new Map<string, string[]>();
  for (const line of unfolded.split(/\r?\n/)) {
    const field = /^([!-9;-~]+)[ \t]*:(.*)$/s.exec(line);
    if (field === null) continue;
    const name = field[1]!.toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), field[2]!.trim()]);
  }
  return headers;
}

function senderIn(headers: Headers): string | undefined {
  for (const name of senderHeaders) {
    const text = headers.get(name)?.[0];
    // RFC 5321 section 4.4: `Return-Path: <>` is the null sender, not an absent one.
    if (text === '<>') return '';
    const [address] = parse(text ?? '');
    if (address !== undefined) return address;
  }
  return undefined;
}

function addresses(headers: Headers, names: readonly string[]): readonly string[] {
  const found = names.flatMap(name => (headers.get(name) ?? []).flatMap(parse));
  return [...new Set(found)];
}

function parse(text: string): readonly string[] {
  return addressParser(text, { flatten: true })
    .map(({ address }) => address)
    .filter(address => address !== '' && isAddress(address));
}
