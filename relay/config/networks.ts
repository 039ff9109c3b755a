/**
 * Client networks: what may be written for one, which are allowed when
 * nothing is said, and which are so wide that the relay would be open.
 */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Addresses of the machine itself. */
export const loopbackNetworks: readonly string[] = ['127.0.0.0/8', '::1/128'];

/** Loopback, private (RFC 1918, RFC 4193) and link-local (RFC 3927, RFC 4291) networks. */
export const defaultNetworks: readonly string[] = [
  ...loopbackNetworks,
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  'fc00::/7',
  'fe80::/10',
];

interface Network {
  readonly address: ipaddr.IPv4 | ipaddr.IPv6;
  readonly prefix: number;
}

/** True for an IPv4 or IPv6 address, alone or with a prefix length. */
export function isNetwork(text: string): boolean {
  return parse(text) !== undefined;
}

/** The same network with its prefix length written out: `10.1.2.3` → `10.1.2.3/32`. */
export function withPrefix(text: string): string {
  if (text.includes('/')) return text;
  return `${text}/${isIP(text) === 4 ? 32 : 128}`;
}

/**
 * True for a network that no private one contains and that takes in whole
 * regions of the Internet: shorter than /8 (IPv4; also written as
 * ::ffff:a.b.c.d) or /16 (IPv6). Who allows that without authentication runs
 * an open relay; the bound lets any assignment to one organisation through.
 */
export function isTooWide(text: string): boolean {
  const network = parse(text);
  if (network === undefined) return true;
  const { address, prefix } = network;
  if (address instanceof ipaddr.IPv4) return prefix < 8;
  if (address.isIPv4MappedAddress() && prefix >= 96) return prefix < 96 + 8;
  if (prefix >= 16) return false;
  return !privateV6.some(inside => prefix >= inside[1] && address.match(inside));
}

const privateV6 = [ipaddr.IPv6.parseCIDR('fc00::/7'), ipaddr.IPv6.parseCIDR('fe80::/10')];

function parse(text: string): Network | undefined {
  const [address = '', length, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || rest.length > 0) return undefined;
  const longest = family === 4 ? 32 : 128;
  const prefix = length === undefined ? longest : prefixLength(length);
  if (prefix === undefined || prefix > longest) return undefined;
  return { address: ipaddr.parse(address), prefix };
}

function prefixLength(text: string): number | undefined {
  return /^[0-9]{1,3}$/.test(text) ? Number(text) : undefined;
}
