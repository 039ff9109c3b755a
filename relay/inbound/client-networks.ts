/**
 * Which clients may send without authenticating: those whose address lies in
 * one of the configured networks. An IPv4 client is the same client whether
 * the socket shows it as 10.0.0.1 or as ::ffff:10.0.0.1.
 */
import ipaddr from 'ipaddr.js';

type Network = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

export class ClientNetworks {
  readonly #networks: readonly Network[];

  /** Throws an Error naming the entry that is neither an address nor a CIDR. */
  constructor(networks: readonly string[]) {
    this.#networks = networks.map(parseNetwork);
  }

  /** false for anything that is not an address. */
  includes(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    const client = ipaddr.process(address);
    return this.#networks.some(
      ([network, bits]) => client.kind() === network.kind() && client.match(network, bits),
    );
  }
}

function parseNetwork(text: string): Network {
  try {
    if (!text.includes('/')) {
      const single = ipaddr.process(text);
      return [single, single.kind() === 'ipv4' ? 32 : 128];
    }
    const [network, bits] = ipaddr.parseCIDR(text);
    const isMapped =
      network.kind() === 'ipv6' && (network as ipaddr.IPv6).isIPv4MappedAddress() && bits >= 96;
    return isMapped ? [(network as ipaddr.IPv6).toIPv4Address(), bits - 96] : [network, bits];
  } catch (cause) {
    throw new Error(`allowedNetworks: "${text}" is neither an IP address nor a network such as 10.0.0.0/8`, {
      cause,
    });
  }
}
