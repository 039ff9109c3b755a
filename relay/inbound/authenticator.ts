/**
 * Answers AUTH. Wrong passwords are answered late and only a few times per
 * connection, and per client address and user name; how late does not depend on what was wrong.
 * Neither names nor passwords are told to anyone.
 */
import type { SMTPServerAuthentication, SMTPServerError, SMTPServerSession } from 'smtp-server';
import type { ListenerContext } from './context.ts';
import { LoginGuard } from './login-guard.ts';
import { type Refusal, refusals } from './refusals.ts';

const MAX_TRIES_PER_CONNECTION = 3;
/** A person does not notice it; a guesser gets a few thousand tries a day per connection instead of millions. */
const WRONG_PASSWORD_DELAY_MS = 300;

type Answer = (error: Error | null | undefined, response?: { user?: string }) => void;

export class Authenticator {
  readonly #context: ListenerContext;
  readonly #guard = new LoginGuard();
  readonly #tries = new WeakMap<SMTPServerSession, number>();

  constructor(context: ListenerContext) {
    this.#context = context;
  }

  /** Calls `answer` with the user, or with an error that carries the reply. */
  authenticate(auth: SMTPServerAuthentication, session: SMTPServerSession, answer: Answer): void {
    const client = session.remoteAddress;
    const { now, policy } = this.#context;
    const username = auth.username ?? '';
    const attempt = { address: client, username };
    const blocked = this.#guard.blocked(attempt, now());
    if (blocked !== undefined) {
      answer(this.#refused(client, refusals.tooManyLogins(client, blocked)));
      return;
    }
    // RFC 4616: acting as someone else is not offered.
    const isPlainIdentity = auth.authzid === undefined || auth.authzid === '' || auth.authzid === username;
    if (policy.accounts.verify(username, auth.password ?? '') && isPlainIdentity) {
      answer(null, { user: username });
      return;
    }
    this.#guard.failed(attempt, now());
    const tries = (this.#tries.get(session) ?? 0) + 1;
    this.#tries.set(session, tries);
    const refusal =
      tries >= MAX_TRIES_PER_CONNECTION ? refusals.tooManyLoginsHere(tries) : refusals.wrongPassword();
    setTimeout(() => answer(this.#refused(client, refusal)), WRONG_PASSWORD_DELAY_MS);
  }

  #refused(client: string, refusal: Refusal): SMTPServerError {
    const { code, enhanced, text, reason } = refusal;
    this.#context.emit({ event: 'message-refused', reason, client, reply: `${code} ${enhanced} ${text}` });
    return Object.assign(new Error(text), { responseCode: code });
  }
}
