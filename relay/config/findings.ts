/** What compiling finds on its way: mistakes that refuse the file, and oddities that do not. */

/** A mistake in what several values say together. */
export interface Problem {
  /** Paths of the keys that it rests on: where one of them is wrong by itself, this cannot be told. */
  readonly keys: readonly string[];
  /** Begins with the path of the key to change. */
  readonly sentence: string;
}

export interface Findings {
  readonly problems: Problem[];
  readonly warnings: string[];
}
