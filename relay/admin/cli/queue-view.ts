/** Messages of the queue as text for people. */
import { bytes, span } from '../../telemetry/text-line.ts';
import type { MessageJson } from '../message-json.ts';
import { pairs, table } from './table.ts';

const head = ['ID', 'STATE', 'AGE', 'NEXT', 'SIZE', 'ROUNDS', 'SENDER', 'RECIPIENTS', 'REASON'];

/** One line a message. `now`: milliseconds since the epoch. `width` as in table(). */
export function messageTable(messages: readonly MessageJson[], now: number, width?: number): string {
  const rows = messages.map(message => [
    message.id,
    message.state,
    age(message.receivedAt, now),
    due(message, now),
    bytes(message.size),
    String(message.rounds),
    message.sender || '<>',
    recipients(message),
    message.reason,
  ]);
  return table(head, rows, width);
}

/** Everything about one message but its content. */
export function messageText(message: MessageJson, now: number): string {
  const about = pairs([
    ['Id', message.id],
    ['State', message.state],
    ['Sender', message.sender || '<>'],
    ['Size', `${message.size} bytes`],
    ['Accepted', `${message.receivedAt} (${age(message.receivedAt, now)} ago)`],
    [
      'Next round',
      message.state === 'failed' ? `${message.dueAt} (${due(message, now)})` : due(message, now),
    ],
    ['Rounds', String(message.rounds)],
    ['Reason', message.reason || '-'],
  ]);
  const rows = message.recipients.map(({ address, state, provider, at, reply }) => [
    address,
    state,
    provider ?? '-',
    at ?? '-',
    reply ?? '-',
  ]);
  return `${about}\n${table(['RECIPIENT', 'STATE', 'PROVIDER', 'AT', 'REPLY'], rows)}`;
}

function recipients({ recipients }: MessageJson): string {
  const first = recipients[0]?.address ?? '-';
  return recipients.length > 1 ? `${first} (+${recipients.length - 1})` : first;
}

function age(receivedAt: string, now: number): string {
  return span(Math.max(0, now - Date.parse(receivedAt)));
}

function due({ state, dueAt }: MessageJson, now: number): string {
  if (state === 'held' || state === 'dead') return '-';
  const ms = Date.parse(dueAt) - now;
  return ms <= 0 ? 'now' : `in ${span(ms)}`;
}
