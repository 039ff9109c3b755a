/**
 * One event as one short line for people at a terminal: local time, what, who,
 * and what happens next. For reading, not for parsing: the JSON form is stable,
 * this one is not.
 */
import type { EventName, EventNamed, Level } from './catalogue.ts';
import type { Attempt, ProgramEvent, RecipientSettled, RelayEvent, SpoolEvent } from './events.ts';
import type { LogLine } from './repeats.ts';

type Line = readonly [label: string, text: string];
type Lines = { readonly [N in EventName]: (event: EventNamed<N>) => Line };

const labelWidth = 10;

const spool = (event: SpoolEvent): Line => ['spool', event.message];
const program = (event: ProgramEvent): Line => [event.event, event.message];

const lines: Lines = {
  'message-accepted': e => [
    'accepted',
    `${e.id}  from ${e.sender || '<>'}, ${plural(e.recipients, 'recipient')}, ${bytes(e.size)}, on disk in ${span(e.commitMs)}`,
  ],
  'message-refused': e => ['refused', `${e.client}  ${e.reply}`],
  attempt: e => ['attempt', attempt(e)],
  'recipient-delivered': e => ['delivered', settled(e)],
  'recipient-rejected': e => ['rejected', settled(e)],
  'recipient-expired': e => ['expired', settled(e)],
  'delivery-ambiguous': e => ['ambiguous', `${e.id}  ${e.provider} gave no answer: ${e.message}`],
  failover: e => ['failover', `${e.id}  ${e.from} → ${e.to}: ${e.reason}`],
  'round-failed': e => ['waiting', `${e.id}  in emails/failed, again in ${span(e.dueInMs)}: ${e.reason}`],
  'message-dead': e => ['dead', `${e.id}  in emails/dead: ${e.reason}`],
  'drain-started': e => ['resend', `${plural(e.messages, 'waiting message')}: ${e.reason}`],
  'provider-state': e => ['provider', `${e.provider} is ${e.state} (was ${e.previous})${because(e.message)}`],
  'recipient-limit-found': e => [
    'provider',
    `${e.provider} takes fewer than ${plural(e.configured, 'recipient')} at once, gets ${e.recipients}: ${e.reply}`,
  ],
  'provider-probe': e => [
    'probe',
    `${e.provider} ${e.ok ? 'is well' : 'is still out'}: ${e.message}${again(e.nextInMs)}`,
  ],
  'config-loaded': e => [
    'config',
    [`${e.fingerprint} in force, providers: ${e.providers.join(', ') || 'none'}`, ...e.warnings].join('; '),
  ],
  'config-rejected': e => ['config', `refused, the one before stays: ${e.errors.join('; ')}`],
  'spool-recovered': spool,
  'spool-adopted': spool,
  'spool-waiting': spool,
  'spool-failed': spool,
  'spool-trouble': spool,
  'spool-quarantined': spool,
  'disk-low': spool,
  'disk-recovered': spool,
  'dead-removed': spool,
  'queue-operation': e => [
    'queue',
    e.count === undefined ? e.message : `${e.message}: ${plural(e.count, 'message')}`,
  ],
  started: program,
  stopping: program,
  stopped: program,
  'client-error': e => ['client', `${e.client}  ${e.message}`],
  'operation-failed': e => ['defect', `${e.reference}  ${e.message}`],
};

/** `12:00:01.234  attempt     primary try 1/3  connect: refused — again in 1 s`, without line end. */
export function textLine(event: LogLine, level: Level, at: Date): string {
  const [label, text] = (lines[event.event] as (event: RelayEvent) => Line)(event);
  const mark = level === 'error' ? '! ' : '';
  const more = event.repeated === undefined ? '' : ` — ${event.repeated} more like it`;
  return `${clock(at)}  ${label.padEnd(labelWidth)}  ${mark}${text}${more}`;
}

function attempt(event: Attempt): string {
  const tries = event.tries === undefined ? `${event.try}` : `${event.try}/${event.tries}`;
  return `${event.provider} try ${tries}  ${attemptResult(event)}${again(event.retryInMs)}`;
}

function attemptResult(event: Attempt): string {
  if (event.outcome === 'delivered') return `delivered in ${span(event.durationMs)}`;
  const words = [event.code, event.enhanced, event.reply].filter(word => word !== undefined && word !== '');
  return `${event.stage}: ${words.length > 0 ? words.join(' ') : event.outcome}`;
}

function settled(event: RecipientSettled): string {
  const by = event.provider === undefined ? '' : ` by ${event.provider}`;
  const reply = event.event === 'recipient-delivered' || !event.reply ? '' : `: ${event.reply}`;
  return `${event.id}  ${event.recipient}${by} after ${span(event.delayMs)}${reply}`;
}

function because(message: string): string {
  return message === '' ? '' : `: ${message}`;
}

function again(inMs: number | undefined): string {
  return inMs === undefined ? '' : ` — again in ${span(inMs)}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** 0.8 ms, 12 ms, 1.5 s, 4 min, 3 h, 5 d. */
export function span(ms: number): string {
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Number((ms / 3_600_000).toFixed(1))} h`;
  return `${Number((ms / 86_400_000).toFixed(1))} d`;
}

/** 512 B, 4.1 kB, 12 MB. */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 1_000_000) return `${Number((count / 1000).toFixed(1))} kB`;
  return `${Number((count / 1_000_000).toFixed(1))} MB`;
}

function clock(at: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
  return `${time}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}
