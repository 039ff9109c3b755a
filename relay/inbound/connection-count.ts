/** Counts open connections, in all and per client address. Forgets an address with its last connection. */
export class ConnectionCount {
  readonly #perClient = new Map<string, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  of(address: string): number {
    return this.#perClient.get(address) ?? 0;
  }

  add(address: string): void {
    this.#total++;
    this.#perClient.set(address, this.of(address) + 1);
  }

  remove(address: string): void {
    const left = this.of(address) - 1;
    this.#total--;
    if (left > 0) this.#perClient.set(address, left);
    else this.#perClient.delete(address);
  }
}
