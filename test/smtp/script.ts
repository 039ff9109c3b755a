/**
 * What a scripted provider can be told to do, stage by stage. Values only:
 * provider-session.ts carries them out.
 */
import type { SessionRecord, TransactionRecord } from './record.ts';

/** Where in a session a script can step in. `tls` is the handshake, implicit or after STARTTLS. */
export type ScriptStage =
  | 'connect'
  | 'tls'
  | 'greeting'
  | 'ehlo'
  | 'starttls'
  | 'auth'
  | 'mail'
  | 'rcpt'
  | 'data'
  | 'body'
  | 'dot'
  | 'rset'
  | 'noop'
  | 'quit';

/**
 * One thing to do instead of the normal answer. A string is a reply, without
 * CRLF; several lines are joined by `\n` and written as given
 * (`"250-one\n250 two"`). A reply 2xx or 3xx counts as accepting, and 421
 * closes the connection after it.
 */
export type Action =
  | string
  | { readonly do: 'accept' }
  | { readonly do: 'stall' }
  | { readonly do: 'drop' }
  | { readonly do: 'reset' }
  | { readonly do: 'raw'; readonly bytes: Buffer }
  | { readonly do: 'partial'; readonly bytes: number; readonly reply?: string }
  | { readonly do: 'wait'; readonly gate: Promise<void>; readonly then: Action }
  | { readonly do: 'take'; readonly then: Action }
  | { readonly do: 'then'; readonly first: Action; readonly then: Action };

/** The normal behaviour. */
export const accept: Action = { do: 'accept' };
/** No answer until `provider.release()`; then the normal one. */
export const stall: Action = { do: 'stall' };
/** FIN, after what was already answered. */
export const drop: Action = { do: 'drop' };
/** RST. */
export const reset: Action = { do: 'reset' };
/** These bytes, verbatim, in place of the reply; the session goes on as if accepted when they begin with 2 or 3. */
export const raw = (bytes: Buffer | string): Action => ({ do: 'raw', bytes: Buffer.from(bytes as string) });
/** Bytes that are no SMTP reply. */
export const garbage: Action = raw('\u0001\u0002 not smtp at all\r\n');
/** The first `bytes` bytes of the reply (default: the normal one), then FIN. */
export const partial = (bytes: number, reply?: string): Action =>
  reply === undefined ? { do: 'partial', bytes } : { do: 'partial', bytes, reply };
/** Waits for the gate, then acts. */
export const wait = (gate: Promise<void>, then: Action = accept): Action => ({ do: 'wait', gate, then });
/** At the dot: the message counts as received, whatever is answered after (nothing, with `drop` or `stall`). */
export const take = (then: Action = drop): Action => ({ do: 'take', then });
/** One action and then another: `both('552 5.3.4 too big', drop)`. */
export const both = (first: Action, then: Action): Action => ({ do: 'then', first, then });

/** What a rule sees when it is asked. */
export interface Moment {
  readonly stage: ScriptStage;
  readonly session: SessionRecord;
  /** The command line as it came; '' where there is none. */
  readonly line: string;
  /** The address of MAIL or RCPT. */
  readonly address?: string;
  readonly transaction?: TransactionRecord;
}

/**
 * An action: always. A list: one entry each time this stage is reached in any
 * session, normal afterwards. A function: asked each time, undefined = normal.
 */
export type Rule = Action | readonly Action[] | ((moment: Moment) => Action | undefined);

/** A whole script. What it does not name is normal. */
export interface Script extends Readonly<Partial<Record<ScriptStage, Rule>>> {
  /** By address, before the `rcpt` rule. */
  readonly recipients?: Readonly<Record<string, Action>>;
  /** The `body` rule is asked once that many bytes of the body have come (default 0: with the first). */
  readonly bodyAfterBytes?: number;
  /** What goes wrong at one byte of all that the server says in a session, whatever stage that is. */
  readonly spoil?: Spoil;
}

/** A fault in the server's output, apart from what it does: it takes a mail whose answer is spoiled. */
export interface Spoil {
  /** Bytes of SMTP that come before as they should, in each session. */
  readonly afterBytes: number;
  /**
   * end, reset  the connection ends, by FIN or by RST
   * silence     nothing more is heard
   * garbage     from there on all is garbage
   * a byte      that one takes the place of the right one, the rest is as it should be
   */
  readonly by: 'end' | 'reset' | 'silence' | 'garbage' | number;
  /** Called when a session reaches that byte. */
  readonly reached?: () => void;
}

/** Asks a script. Lists are counted by the chooser, so a new script starts them anew. */
export function chooser(script: Script): (moment: Moment) => Action {
  const used = new Map<ScriptStage, number>();
  const next = (stage: ScriptStage): number => {
    const index = used.get(stage) ?? 0;
    used.set(stage, index + 1);
    return index;
  };
  return moment => named(script, moment) ?? ask(script[moment.stage], moment, next) ?? accept;
}

function named(script: Script, { stage, address }: Moment): Action | undefined {
  return stage === 'rcpt' && address !== undefined ? script.recipients?.[address] : undefined;
}

function ask(
  rule: Rule | undefined,
  moment: Moment,
  next: (stage: ScriptStage) => number,
): Action | undefined {
  if (typeof rule === 'function') return rule(moment);
  return isList(rule) ? rule[next(moment.stage)] : rule;
}

const isList = (rule: Rule | undefined): rule is readonly Action[] => Array.isArray(rule);
