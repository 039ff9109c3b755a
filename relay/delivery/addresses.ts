/**
 * Mail addresses in what a provider says. Many repeat the address that they
 * refuse, which is neither their own word nor everybody's business.
 */

/** `<…>`, a quoted local part with its domain, or a word with an @ in it: rather too much than too little. */
const perhapsAddresses = /<[^<>]*>|"(?:[^"\\]|\\.)*"@\S*|\S*@\S*/g;

/**
 * What the provider says in words of its own. The address is chosen by whoever
 * writes into some form: mail to throttle@… must not make a throttle of an
 * unknown user.
 */
export function withoutAddresses(text: string): string {
  return text.replace(perhapsAddresses, ' ');
}

/** A path with an @ in it (RFC 5321 section 4.1.2), an address with a quoted local part, one without. */
const everyAddress =
  /(?<=<)[^<>]*@[^<>]*(?=>)|"(?:[^"\\]|\\.)*"@(?:\[[^\]]*\]|[^\s<>()[\],:;"]+)|[^\s<>()[\],:;"@]+@(?:\[[^\]]*\]|[^\s<>()[\],:;"]+)/g;

/**
 * The text with `[address]` in place of each: for what is told of a provider.
 * That is read by more people than the mail is, and stands in /status and in
 * the Kubernetes API.
 */
export function maskAddresses(text: string): string {
  return text.includes('@') ? text.replace(everyAddress, '[address]') : text;
}
