/** As much of PromQL as tells which series and labels a query speaks of. */

export type Selector = {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
};

const words = new Set(
  'by without on ignoring group_left group_right and or unless offset bool inf nan'.split(' '),
);

/** Every selector of a query, also those without matchers. */
export function selectors(query: string): readonly Selector[] {
  const grouped = query.replace(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, ' ');
  const found: Selector[] = [];
  const plain = grouped.replace(/([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}/g, (_, metric: string, inside: string) => {
    const matchers = [...inside.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g)].map(
      ([, label = '', operator = '', value = '']) => ({ label, operator, value }),
    );
    found.push({ metric, matchers });
    return ' ';
  });
  const bare = plain
    .replace(/"(?:[^"\\]|\\.)*"/g, ' ')
    .replace(/\[[^\]]*\]/g, ' ')
    .replace(/\boffset\s+\S+/g, ' ');
  for (const [, name = ''] of bare.matchAll(/(?<![\w.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])/g)) {
    if (!words.has(name.toLowerCase())) found.push({ metric: name, matchers: [] });
  }
  return found;
}

/** Labels that a query makes of others by label_replace, and those that it makes them of. */
export function replacements(query: string): readonly { readonly to: string; readonly from: string }[] {
  return [...query.matchAll(/,\s*"(\w+)",\s*"[^"]*",\s*"(\w+)",\s*"[^"]*"\)/g)].map(
    ([, to = '', from = '']) => ({ to, from }),
  );
}

/** Labels that a query groups by or matches on. */
export function groupings(query: string): readonly string[] {
  return [...query.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list
      .split(',')
      .map(label => label.trim())
      .filter(label => label !== ''),
  );
}
