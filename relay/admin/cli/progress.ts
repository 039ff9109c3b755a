/** A line on a terminal's standard error that says how far long work is; nothing at all elsewhere. */
import type { Terminal } from './terminal.ts';

export interface Progress {
  /** `total` absent = not known. */
  show(done: number, total?: number): void;
  /** Clears the line. */
  end(): void;
}

/** A terminal is redrawn at most this often. */
const intervalMs = 100;

/** `what`: "exporting", "resending". */
export function progress(what: string, { stderr, now }: Terminal): Progress {
  if (stderr.isTTY !== true) return { show: () => {}, end: () => {} };
  let last = 0;
  let drawn = false;
  return {
    show(done, total) {
      if (now() - last < intervalMs) return;
      last = now();
      drawn = true;
      stderr.write(`\r\u001b[K${what} ${total === undefined ? `${done} messages` : `${done} of ${total}`} …`);
    },
    end() {
      if (drawn) stderr.write('\r\u001b[K');
    },
  };
}
