/**
 * Checks user names and passwords of clients without telling, by how long it
 * takes, whether the name exists or how much of the password was right.
 * Passwords are kept as keyed digests only.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Credentials } from '../config/config.ts';

export class Accounts {
  readonly #key = randomBytes(32);
  readonly #digests: ReadonlyMap<string, Buffer>;
  readonly #nobody = randomBytes(32);

  constructor(accounts: readonly Credentials[]) {
    this.#digests = new Map(accounts.map(({ username, password }) => [username, this.#digest(password)]));
  }

  get size(): number {
    return this.#digests.size;
  }

  verify(username: string, password: string): boolean {
    const expected = this.#digests.get(username);
    const isEqual = timingSafeEqual(this.#digest(password), expected ?? this.#nobody);
    return isEqual && expected !== undefined;
  }

  #digest(password: string): Buffer {
    return createHmac('sha256', this.#key).update(password).digest();
  }
}
