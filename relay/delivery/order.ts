/**
 * The order in which a message meets the providers: by priority, smaller
 * first, then by place in the list. Those that cannot be used now are left
 * out, and named, so that the skipping can be shown.
 */

/** What the order depends on. */
export interface Ranked {
  readonly name: string;
  readonly priority: number;
  /** Place in the configuration; default: place in the array given. */
  readonly position?: number;
}

/** Names in the order of use; skipped ones in the order they would have had. */
export interface EffectiveOrder {
  readonly use: string[];
  readonly skipped: string[];
}

/** Ranks the providers and parts the usable from the others. The input is left as it is. */
export function effectiveOrder(
  providers: readonly Ranked[],
  usable: (name: string) => boolean,
): EffectiveOrder {
  const ranked = providers
    .map((provider, index) => ({ ...provider, place: provider.position ?? index }))
    .sort((a, b) => a.priority - b.priority || a.place - b.place);
  const order: EffectiveOrder = { use: [], skipped: [] };
  for (const { name } of ranked) (usable(name) ? order.use : order.skipped).push(name);
  return order;
}
