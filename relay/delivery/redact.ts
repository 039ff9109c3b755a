/** Takes credentials out of what a provider says: some answer AUTH with what they were sent. */
import type { Credentials } from '../config/config.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** What stands behind the code on each line of a reply: a user called `535` must not change what was answered. */
const TEXTS = /(?<=^\d{3}[ -]).*$/gm;

/** A reply as it came, with every form in which the credentials were sent replaced by `***` in its text. */
export function redact(said: string, credentials: Credentials | undefined): string {
  if (credentials === undefined) return said;
  const { username, password } = credentials;
  // Longest first: a password may be a piece of the user name.
  const forms = [base64(`\0${username}\0${password}`), base64(password), base64(username), password, username]
    .filter(form => form !== '')
    .sort((one, other) => other.length - one.length);
  return said.replace(TEXTS, text => forms.reduce((left, form) => left.replaceAll(form, '***'), text));
}
