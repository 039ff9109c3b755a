/** An address and a port: as people write them, and as a socket is bound to them. */

/** `host:port`, an IPv6 address in brackets (RFC 3986 section 3.2.2). */
export function endpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * What listen() is to be given. `::` means every address of the machine, IPv4
 * ones included; where the kernel has no IPv6, Node.js takes those alone, but
 * only when no address is named.
 */
export function listenOn(host: string, port: number): { readonly port: number; readonly host?: string } {
  return host === '::' ? { port } : { port, host };
}
