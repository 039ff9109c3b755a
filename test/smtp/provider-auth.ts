/** The server's side of AUTH PLAIN, LOGIN and CRAM-MD5 (RFC 4954, 4616, 2195) for scripted providers. */
import { createHmac } from 'node:crypto';

const OK = '235 2.7.0 authenticated';
const REFUSED = '535 5.7.8 authentication credentials invalid';
const CHALLENGE = '<1896.697170952@provider.test>';
const decode = (text: string): string => Buffer.from(text, 'base64').toString('utf8');
const ask = (text: string): string => `334 ${Buffer.from(text).toString('base64')}`;

/** One exchange: feed it the client's lines, it gives the replies. */
export class AuthDialogue {
  readonly #mechanism: string;
  readonly #users: ReadonlyMap<string, string>;
  #begun = false;
  #name: string | undefined;

  constructor(mechanism: string, users: ReadonlyMap<string, string>) {
    this.#mechanism = mechanism;
    this.#users = users;
  }

  /** The name given, authenticated or not. */
  get user(): string {
    return this.#name ?? '';
  }

  /** The reply to one line; undefined = AUTH came without an initial response. */
  next(line: string | undefined): string {
    const first = !this.#begun;
    this.#begun = true;
    if (line === '*') return '501 5.7.0 cancelled';
    if (this.#mechanism === 'PLAIN') return line === undefined ? '334 ' : this.#plain(line);
    if (this.#mechanism === 'LOGIN') return this.#login(line);
    return first ? ask(CHALLENGE) : this.#cramMd5(line ?? '');
  }

  #check(password: string | undefined): string {
    const known = this.#users.get(this.user);
    return known !== undefined && known === password ? OK : REFUSED;
  }

  #plain(line: string): string {
    const [, name, password] = decode(line).split('\0');
    this.#name = name;
    return this.#check(password);
  }

  #login(line: string | undefined): string {
    if (line === undefined) return ask('Username:');
    if (this.#name !== undefined) return this.#check(decode(line));
    this.#name = decode(line);
    return ask('Password:');
  }

  #cramMd5(line: string): string {
    const [name = '', digest] = decode(line).split(' ');
    this.#name = name;
    const password = this.#users.get(name);
    if (password === undefined) return REFUSED;
    return createHmac('md5', password).update(CHALLENGE).digest('hex') === digest ? OK : REFUSED;
  }
}
