/** The listener's configuration, made ready to be asked. Immutable: a reload makes a new one. */
import type { ListenerConfig } from '../config/config.ts';
import { Accounts } from './accounts.ts';
import { ClientNetworks } from './client-networks.ts';

export interface Policy {
  readonly config: ListenerConfig;
  readonly networks: ClientNetworks;
  readonly accounts: Accounts;
}

/** Throws an Error naming the network that cannot be read. */
export function compilePolicy(config: ListenerConfig): Policy {
  return {
    config,
    networks: new ClientNetworks(config.allowedNetworks),
    accounts: new Accounts(config.accounts),
  };
}
