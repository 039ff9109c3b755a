/** What a provider offers: the lines of its EHLO reply as values (RFC 5321 section 4.1.1.1). */

export interface Capabilities {
  /** RFC 2920. */
  readonly pipelining: boolean;
  /** RFC 3207. */
  readonly startTls: boolean;
  /** RFC 6152. */
  readonly eightBitMime: boolean;
  /** RFC 6531. */
  readonly smtpUtf8: boolean;
  /** RFC 1870: SIZE may be declared. */
  readonly size: boolean;
  /** Largest message by SIZE, bytes; undefined = no limit said. */
  readonly maxSize?: number;
  /** SASL mechanisms of RFC 4954, upper case. */
  readonly mechanisms: readonly string[];
}

/** What a provider that knows HELO alone offers. */
export const noCapabilities: Capabilities = {
  pipelining: false,
  startTls: false,
  eightBitMime: false,
  smtpUtf8: false,
  size: false,
  mechanisms: [],
};

/** Reads an EHLO reply, its lines joined by LF. Unknown keywords are passed over. */
export function parseCapabilities(reply: string): Capabilities {
  const offered = new Map<string, string[]>();
  for (const line of reply.split('\n').slice(1)) {
    // `AUTH=PLAIN` is an old form that some servers still send beside the right one.
    const [keyword = '', ...parameters] = line
      .slice(4)
      .trim()
      .toUpperCase()
      .split(/[\s=]+/);
    offered.set(keyword, [...(offered.get(keyword) ?? []), ...parameters]);
  }
  const limit = Number(offered.get('SIZE')?.[0] ?? 0);
  return {
    pipelining: offered.has('PIPELINING'),
    startTls: offered.has('STARTTLS'),
    eightBitMime: offered.has('8BITMIME'),
    smtpUtf8: offered.has('SMTPUTF8'),
    size: offered.has('SIZE'),
    mechanisms: offered.get('AUTH') ?? [],
    ...(Number.isSafeInteger(limit) && limit > 0 ? { maxSize: limit } : {}),
  };
}
