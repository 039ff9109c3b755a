/**
 * What the log has just said, so that it need not say it once more. Some
 * events happen as often as a client likes (`repeats` in catalogue.ts): of
 * equal ones the first is written at once, the others are counted, and at the
 * end of a window one line stands for them. All other events pass. Each key
 * gets at most one line a window, and the keys are bounded, so lines and
 * memory are, whatever clients do: some 1,300 lines a minute at the very most.
 * Keeps no clock: `now` is a monotonic millisecond clock of the caller's.
 */
import { catalogue, type Entry, type EventName, type Repeating } from './catalogue.ts';
import type { RelayEvent } from './events.ts';

/** An event as the log writes it; `repeated` says for how many it stands, itself included. */
export type LogLine = RelayEvent & { readonly repeated?: number };

/** Long enough to take the weight off a log, short enough for whoever follows it. */
export const windowMs = 10_000;

/** Beyond these, one field of the event is given up: there is a key more for each refusal reason at most. */
export const maxKeys = 200;

/** What stands in the field that is given up. */
const others = 'others';

interface Window {
  /** The newest of those that were not written. */
  readonly last: LogLine;
  readonly more: number;
  readonly until: number;
}

type Fields = Readonly<Record<string, unknown>>;

export class Repeats {
  /** In the order in which they end. */
  readonly #windows = new Map<string, Window>();

  /** Is it to be written now? If not, it is counted. */
  isNews(event: RelayEvent, now: number): boolean {
    const { repeats } = catalogue[event.event] as Entry<EventName>;
    if (repeats === undefined) return true;
    const key = this.#key(event, repeats);
    const window = this.#windows.get(key.text);
    if (window === undefined) {
      this.#windows.set(key.text, { last: event, more: 0, until: now + windowMs });
      return true;
    }
    this.#windows.set(key.text, { ...window, last: key.line, more: window.more + 1 });
    return false;
  }

  /** When the first window ends; undefined = none is open. */
  get nextEnd(): number | undefined {
    return this.#windows.values().next().value?.until;
  }

  /** What the windows that have ended counted, one line each. Counting goes on where there was something to count. */
  ended(now: number): LogLine[] {
    const lines: LogLine[] = [];
    for (const [key, window] of this.#windows) {
      if (window.until > now) break;
      this.#windows.delete(key);
      if (window.more === 0) continue;
      lines.push(lineOf(window));
      this.#windows.set(key, { ...window, more: 0, until: now + windowMs });
    }
    return lines;
  }

  /** What all windows have counted so far: nothing more comes. */
  rest(): LogLine[] {
    const windows = [...this.#windows.values()];
    this.#windows.clear();
    return windows.filter(({ more }) => more > 0).map(lineOf);
  }

  /** The event's own key; when there are too many, the one it shares with others. */
  #key(event: RelayEvent, { equal, givenUp }: Repeating<string>): { text: string; line: LogLine } {
    const own = textOf(event, equal);
    if (this.#windows.has(own) || this.#windows.size < maxKeys) return { text: own, line: event };
    const shared = equal.filter(field => field !== givenUp);
    return { text: textOf(event, shared), line: { ...event, [givenUp]: others } };
  }
}

function textOf(event: RelayEvent, fields: readonly string[]): string {
  const values = fields.map(field => (event as unknown as Fields)[field]);
  return [event.event, ...values].join('\0');
}

function lineOf({ last, more }: Window): LogLine {
  return { ...last, repeated: more };
}
