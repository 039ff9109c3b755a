/** Counts what one session of a scripted provider says, and spoils it at the byte that the script names. */
import type { Spoil } from './script.ts';

/** What is said instead, and how the session ends after it. */
interface Passed {
  readonly piece: string;
  readonly ending?: 'end' | 'reset';
}

export class Spoiler {
  readonly #script: () => Spoil | undefined;
  #passed = 0;
  /** The fault that lasts, also when the script has changed meanwhile. */
  #lasting: 'silence' | 'garbage' | undefined;

  constructor(script: () => Spoil | undefined) {
    this.#script = script;
  }

  pass(text: string): Passed {
    const start = this.#passed;
    this.#passed += text.length;
    if (this.#lasting !== undefined)
      return { piece: this.#lasting === 'silence' ? '' : garbage(text.length) };
    const spoil = this.#script();
    const at = (spoil?.afterBytes ?? -1) - start;
    if (spoil === undefined || at < 0 || at >= text.length) return { piece: text };
    spoil.reached?.();
    return this.#spoil(text, at, spoil.by);
  }

  #spoil(text: string, at: number, by: Spoil['by']): Passed {
    const before = text.slice(0, at);
    if (typeof by === 'number') return { piece: before + String.fromCharCode(by) + text.slice(at + 1) };
    if (by === 'end' || by === 'reset') return { piece: before, ending: by };
    this.#lasting = by;
    return { piece: by === 'silence' ? before : before + garbage(text.length - at) };
  }
}

/** Bytes that are no reply, in lines. */
const garbage = (length: number): string => '\u0001\u0002\n'.repeat(length).slice(0, length);
