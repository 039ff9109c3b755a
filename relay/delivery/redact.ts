/** Takes credentials out of what a provider says: some answer AUTH with what they were sent. */
import type { Credentials } from '../config/config.ts';
import type { Reply } from './failure.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** The reply with every form in which the credentials were sent replaced by `***`. */
export function redact(reply: Reply, credentials: Credentials | undefined): Reply {
  if (credentials === undefined) return reply;
  const { username, password } = credentials;
  const forms = [
    base64(`\0${username}\0${password}`),
    base64(password),
    base64(username),
    password,
    username,
  ];
  const text = forms
    .filter(form => form !== '')
    .reduce((left, form) => left.replaceAll(form, '***'), reply.text);
  return { ...reply, text };
}
