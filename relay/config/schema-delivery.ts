/**
 * How tries, resends and the meaning of replies are written in config.json.
 * The operator uses the same groups in the MailRelay resource.
 */
import * as z from 'zod';
import type { ReplyMeaning } from './config.ts';
import { choice, flag, fraction, matching, text, whole } from './schema-fields.ts';

/** Tries at one provider within one round. */
export const retrySchema = z
  .strictObject({
    attempts: whole(1, 10, 'Tries at one provider before the next one gets the message.').default(3),
    initialDelayMilliseconds: whole(
      10,
      600_000,
      'The wait after the first failed try; each further one is `multiplier` times as long.',
    ).default(1000),
    multiplier: fraction(1, 10, 'How much longer each wait is than the one before.').default(2),
    patienceSeconds: whole(
      0,
      600,
      'How long a message waits for a connection to its preferred provider while another one is ready.',
    ).default(5),
  })
  .describe('Tries at one provider within one round over all of them.');

/** When mail that no provider took is sent again, and when it is given up. */
export const resendSchema = z
  .strictObject({
    initialDelaySeconds: whole(1, 86_400, 'The wait before the first resend.').default(60),
    maxDelaySeconds: whole(1, 604_800, 'The longest wait between resends.').default(3600),
    multiplier: fraction(1, 10, 'How much longer each wait is than the one before.').default(2),
    jitter: fraction(
      0,
      0.9,
      'Fraction by which each wait varies at random, 0.2 = ±20 %, so that a backlog does not come back all at once.',
    ).default(0.2),
    expireAfterSeconds: whole(
      60,
      31_536_000,
      'A message this old is given up and goes to emails/dead (RFC 5321 section 4.5.4.1: at least 4 to 5 days).',
    ).default(432_000),
    deadRetentionSeconds: whole(
      0,
      315_360_000,
      'How long emails/dead keeps a message that was rejected or expired.',
    ).default(2_592_000),
    deadMaxMessages: whole(
      0,
      100_000_000,
      'Messages that emails/dead keeps at most; the oldest go first.',
    ).default(100_000),
    deadMaxBytes: whole(
      0,
      1_125_899_906_842_624,
      'Bytes that emails/dead keeps at most; the oldest go first.',
    ).default(1_073_741_824),
    bounces: flag(
      'Send the sender a bounce message (RFC 3464) for recipients that were rejected or expired. Off by default: most providers refuse the null sender that a bounce must have.',
    ).default(false),
  })
  .describe('When mail that no provider took is sent again, and when it is given up.');

/** The steps at which a provider replies (delivery/failure.ts has them all). */
const stages = ['greeting', 'ehlo', 'starttls', 'auth', 'mail', 'rcpt', 'data', 'body', 'dot'] as const;

const meanings = [
  'rate-limited',
  'quota-exceeded',
  'authentication-failed',
  'sender-refused',
  'no-such-mailbox',
  'recipient-deferred',
  'policy-refused',
  'content-refused',
  'too-large',
  'too-many-recipients',
  'service-unavailable',
] as const satisfies readonly ReplyMeaning[];

/** An addition to the table of known replies. */
export const replyRuleSchema = z
  .strictObject({
    stage: choice(stages, 'The step of the SMTP session that it applies to. Absent: every step.').optional(),
    code: whole(400, 599, 'The reply code.').optional(),
    enhanced: matching(
      /^[245]\.[0-9]{1,3}\.[0-9]{1,3}$/,
      'an enhanced code such as "5.7.1"',
      'The enhanced code (RFC 3463).',
    ).optional(),
    contains: text(512, 'Text that the reply contains, upper and lower case alike.').optional(),
    meaning: choice(meanings, 'What such a reply means, whatever its code says.'),
  })
  .refine(rule => rule.code !== undefined || rule.enhanced !== undefined || rule.contains !== undefined, {
    error: 'must have at least one of code, enhanced and contains',
  })
  .describe('What a reply of a provider means. Read before the built-in table; the first that fits wins.');
