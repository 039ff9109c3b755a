/**
 * What the log has just said, so that it need not say it once more. Some
 * events happen as often as a client likes, or once for each mail that waits
 * (`repeats` in catalogue.ts): of equal ones the first, or the first few, are
 * written at once, the others are counted, and at the end of a window one line
 * stands for them. All other events pass. Keys are bounded, and so are the
 * lines that each gets in a window, so lines and memory are, whatever clients
 * and providers do: some 1,300 lines a minute of one event at the very most.
 * Keeps no clock: `now` is a monotonic millisecond clock of the caller's.
 */
import { catalogue, type Entry, type EventName, type Repeating } from './catalogue.ts';
import type { RelayEvent } from './events.ts';

/** An event as the log writes it; `repeated` says for how many it stands, itself included. */
export type LogLine = RelayEvent & { readonly repeated?: number };

/** Long enough to take the weight off a log, short enough for whoever follows it. */
export const windowMs = 10_000;

/**
 * Beyond these, one field of the event is given up: there is a key more for each refusal reason at most. Events of which
 * the first ten are written have a tenth of them.
 */
export const maxKeys = 200;

/** What stands in the field that is given up. */
const others = 'others';

interface Window {
  readonly name: EventName;
  /** How many were written before counting began. */
  readonly written: number;
  /** The newest of those that were not written. */
  readonly last: LogLine;
  readonly more: number;
  readonly until: number;
}

type Fields = Readonly<Record<string, unknown>>;

export class Repeats {
  /** In the order in which they end. */
  readonly #windows = new Map<string, Window>();
  /** How many there are of each event. */
  readonly #open = new Map<EventName, number>();

  /** Is it to be written now? If not, it is counted. */
  isNews(event: RelayEvent, now: number): boolean {
    const { repeats } = catalogue[event.event] as Entry<EventName>;
    if (repeats === undefined) return true;
    const key = this.#key(event, repeats);
    const window = this.#windows.get(key.text);
    if (window === undefined) {
      this.#begin(key.text, { name: event.event, written: 1, last: event, more: 0, until: now + windowMs });
      return true;
    }
    const isNews = window.written < (repeats.first ?? 1);
    const counted = { last: key.line, more: window.more + 1 };
    this.#windows.set(key.text, { ...window, ...(isNews ? { written: window.written + 1 } : counted) });
    return isNews;
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
      this.#end(key, window);
      if (window.more === 0) continue;
      lines.push(lineOf(window));
      this.#begin(key, { ...window, more: 0, until: now + windowMs });
    }
    return lines;
  }

  /** What all windows have counted so far: nothing more comes. */
  rest(): LogLine[] {
    const windows = [...this.#windows.values()];
    this.#windows.clear();
    this.#open.clear();
    return windows.filter(({ more }) => more > 0).map(lineOf);
  }

  #begin(key: string, window: Window): void {
    this.#windows.set(key, window);
    this.#open.set(window.name, this.#opened(window.name) + 1);
  }

  #end(key: string, { name }: Window): void {
    this.#windows.delete(key);
    this.#open.set(name, this.#opened(name) - 1);
  }

  #opened(name: EventName): number {
    return this.#open.get(name) ?? 0;
  }

  /** The event's own key; when there are too many, the one it shares with others. */
  #key(event: RelayEvent, repeats: Repeating<string>): { text: string; line: LogLine } {
    const { equal, givenUp, first = 1 } = repeats;
    const own = textOf(event, equal, repeats);
    const room = this.#windows.size < maxKeys && this.#opened(event.event) < maxKeys / first;
    if (room || this.#windows.has(own)) return { text: own, line: event };
    const shared = equal.filter(field => field !== givenUp);
    return { text: textOf(event, shared, repeats), line: { ...event, [givenUp]: others } };
  }
}

function textOf(event: RelayEvent, fields: readonly string[], repeats: Repeating<string>): string {
  const values = fields.map(field => String((event as unknown as Fields)[field]));
  const compared = repeats.regardlessOfNumbers ? values.map(withoutNumbers) : values;
  return [event.event, ...compared].join('\0');
}

function withoutNumbers(text: string): string {
  return text.replace(/\S+/g, word => (/\d/.test(word) ? '#' : word));
}

function lineOf({ last, more }: Window): LogLine {
  return { ...last, repeated: more };
}
