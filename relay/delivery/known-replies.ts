/**
 * Replies whose code says something else than they mean, as data: what real
 * providers publish or are seen to answer, and what follows. The first row
 * that fits wins; rules of the configuration stand before all of these.
 */
import type { ReplyMeaning, ReplyRule } from '../config/config.ts';
import type { Reply, Stage } from './failure.ts';

/** One row: what a reply looks like, and what it means. */
export interface KnownReply extends ReplyRule {
  /** How long the provider is left alone when it names no time itself, ms. */
  readonly waitMs?: number;
  /** Words that anybody uses of anything: a provider, a mailbox, a list, one sender. */
  readonly generic?: true;
}

/** Rows that share a source. */
export interface KnownReplies {
  readonly provider: string;
  /** Where these replies are published or seen. */
  readonly source: string;
  readonly replies: readonly KnownReply[];
}

/** A look-up's answer. */
export interface Known {
  readonly meaning: ReplyMeaning;
  readonly waitMs?: number;
  /** The words do not tell whether the account, this mail or its recipient is meant. */
  readonly generic?: true;
}

const second = 1000;
const minute = 60 * second;
/** What a person has to lift, or midnight: asking more often than hourly helps nobody. */
const hour = 60 * minute;

const google: KnownReplies = {
  provider: 'Gmail, Google Workspace',
  source: 'support.google.com/a/answer/3726730',
  replies: [
    { enhanced: '5.4.5', meaning: 'quota-exceeded' },
    { contains: 'daily user sending limit exceeded', meaning: 'quota-exceeded' },
    { contains: 'daily smtp relay', meaning: 'quota-exceeded' },
    { contains: 'peak smtp relay limit exceeded', meaning: 'rate-limited' },
    { contains: 'too many login attempts', meaning: 'rate-limited', waitMs: 10 * minute },
    { contains: 'unusual rate of unsolicited mail', meaning: 'rate-limited', waitMs: 10 * minute },
    { contains: 'invalid credentials for relay', meaning: 'authentication-failed' },
    { contains: 'multiple destination domains per transaction', meaning: 'too-many-recipients' },
    { contains: 'in a separate transaction', meaning: 'too-many-recipients' },
    { contains: 'you are trying to contact is receiving mail', meaning: 'recipient-deferred' },
    { contains: 'for rcpt domain, closing connection', meaning: 'recipient-deferred' },
    { stage: 'rcpt', contains: 'tried to reach does not exist', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'tried to reach is disabled', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'tried to reach is inactive', meaning: 'no-such-mailbox' },
  ],
};

const microsoft: KnownReplies = {
  provider: 'Microsoft 365',
  source: 'learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online',
  replies: [
    { enhanced: '5.1.90', meaning: 'quota-exceeded' },
    { enhanced: '5.7.705', meaning: 'quota-exceeded' },
    { enhanced: '5.7.232', meaning: 'quota-exceeded' },
    { enhanced: '5.7.233', meaning: 'quota-exceeded' },
    { contains: 'submission quota exceeded', meaning: 'quota-exceeded' },
    { contains: 'refusequota', meaning: 'quota-exceeded' },
    { contains: 'outboundspamexception', meaning: 'service-unavailable', waitMs: hour },
    { enhanced: '5.7.501', meaning: 'service-unavailable', waitMs: hour },
    { enhanced: '5.7.502', meaning: 'service-unavailable', waitMs: hour },
    { enhanced: '5.7.503', meaning: 'service-unavailable', waitMs: hour },
    { contains: 'sender thread limit exceeded', meaning: 'rate-limited', waitMs: 10 * second },
    { contains: 'concurrent connections limit exceeded', meaning: 'rate-limited', waitMs: 10 * second },
    { contains: 'server busy. please try again later', meaning: 'rate-limited' },
    { enhanced: '5.7.60', meaning: 'sender-refused' },
    { contains: 'sendasdenied', meaning: 'sender-refused' },
    { enhanced: '5.1.8', meaning: 'sender-refused' },
    // A group, mailbox or mail user of its own that takes nothing from strangers, whoever has logged in.
    { enhanced: '5.7.133', meaning: 'policy-refused' },
    { enhanced: '5.7.134', meaning: 'policy-refused' },
    { enhanced: '5.7.135', meaning: 'policy-refused' },
    { enhanced: '5.7.136', meaning: 'policy-refused' },
    { contains: 'resolver.rst.authrequired', meaning: 'policy-refused' },
    { contains: 'resolver.rst.sendernotauthenticated', meaning: 'policy-refused' },
    { enhanced: '5.7.57', meaning: 'authentication-failed' },
    { contains: 'client was not authenticated', meaning: 'authentication-failed' },
  ],
};

const amazon: KnownReplies = {
  provider: 'Amazon SES',
  source: 'docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html',
  replies: [
    { contains: 'recipient count exceeds', meaning: 'too-many-recipients' },
    { contains: 'daily message quota exceeded', meaning: 'quota-exceeded' },
    // The limit is per second, and the guide starts with a wait of 5 s.
    { contains: 'maximum sending rate exceeded', meaning: 'rate-limited', waitMs: 5 * second },
    { contains: 'too many concurrent smtp connections', meaning: 'rate-limited', waitMs: 10 * second },
    { contains: 'email address is not verified', meaning: 'sender-refused' },
    { contains: 'is not authorized to perform', meaning: 'sender-refused' },
    { contains: 'sending paused for this account', meaning: 'service-unavailable', waitMs: hour },
    { contains: 'sending suspended for this account', meaning: 'service-unavailable', waitMs: hour },
  ],
};

const sendgrid: KnownReplies = {
  provider: 'SendGrid',
  source: 'twilio.com/docs/sendgrid/for-developers/sending-email/smtp-errors-and-troubleshooting',
  replies: [
    { contains: 'maximum credits exceeded', meaning: 'quota-exceeded' },
    { contains: 'does not match a verified sender identity', meaning: 'sender-refused' },
    { contains: 'not authorized to send from that email address', meaning: 'sender-refused' },
    { contains: 'unauthenticated senders not allowed', meaning: 'authentication-failed' },
    { contains: 'too frequent connects', meaning: 'rate-limited' },
  ],
};

const alibaba: KnownReplies = {
  provider: 'Alibaba Mail, Aliyun DirectMail',
  source: 'help.aliyun.com, "SMTP/MTA error codes" of Alibaba Mail',
  replies: [
    { code: 526, meaning: 'authentication-failed' },
    { contains: 'must equal authorized user', meaning: 'sender-refused' },
    { contains: "doesn't conform with authentication", meaning: 'sender-refused' },
    { contains: '"mail from" is non-local account', meaning: 'sender-refused' },
    { contains: 'mailfrom account is a local account', meaning: 'sender-refused' },
    { contains: '"mail from" mailbox unavailable', meaning: 'sender-refused' },
    { contains: "isn't a local account", meaning: 'policy-refused' },
    { stage: 'rcpt', contains: "dosn't exist", meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: '"rcpt to" mailbox unavailable', meaning: 'no-such-mailbox' },
    { contains: 'the number of rcpt attempts', meaning: 'quota-exceeded' },
    { contains: 'the total of rcpts', meaning: 'too-many-recipients' },
    { contains: 'the length of data content', meaning: 'too-large' },
    { contains: 'the length of attach', meaning: 'too-large' },
    { contains: 'the number of attachments', meaning: 'too-large' },
    { contains: 'virus infected', meaning: 'content-refused' },
    { contains: 'reject by content spam', meaning: 'content-refused' },
    { contains: 'reject by behaviour spam', meaning: 'rate-limited', waitMs: 10 * minute },
    { contains: "account isn't allowed to send", meaning: 'service-unavailable', waitMs: hour },
    { contains: "account isn't allowed to receive", meaning: 'policy-refused' },
  ],
};

const mailgun: KnownReplies = {
  provider: 'Mailgun',
  source: 'help.mailgun.com, "why was my domain disabled" and "authorized recipients"',
  replies: [
    // Without the words before it others mean the recipients of one message.
    { contains: 'is not allowed to send: recipient limit exceeded', meaning: 'quota-exceeded' },
    { contains: 'are for test purposes only', meaning: 'policy-refused' },
    { contains: 'activate your mailgun account', meaning: 'service-unavailable', waitMs: hour },
    { contains: 'is not allowed to send', meaning: 'sender-refused' },
  ],
};

const postmark: KnownReplies = {
  provider: 'Postmark',
  source: 'postmarkapp.com/developer/api/overview, error codes 400 to 413',
  replies: [
    { contains: 'marked as inactive', meaning: 'policy-refused' },
    { contains: 'inactive recipient', meaning: 'policy-refused' },
    { contains: 'sender signature', meaning: 'sender-refused' },
    { contains: 'pending approval', meaning: 'policy-refused' },
    // "Not allowed to send" (405) alone is also what others answer to one sender, one list or one attachment.
    { contains: 'out of credits', meaning: 'service-unavailable', waitMs: hour },
  ],
};

const common: KnownReplies = {
  provider: 'many (Postfix, Exim, Sendmail, qmail, Coremail, Yandex, Postal)',
  source:
    'their sources and manuals: postconf(5) smtpd_*, Exim spec chapter 44, cf/README, docs.postalserver.io',
  replies: [
    // With delayed rejection the answer about the sender comes at RCPT.
    { contains: 'sender address rejected', meaning: 'sender-refused' },
    { contains: 'sender verify failed', meaning: 'sender-refused' },
    { contains: 'from/sender name is not valid', meaning: 'sender-refused' },
    // A rate or a limit of a day passes with time, whoever it is for: as a 5xx, too, none of these ends mail.
    // Postfix says so of its client alone, and only once recipients are named.
    {
      stage: 'rcpt',
      code: 450,
      contains: 'error: too many recipients from',
      meaning: 'rate-limited',
    },
    { contains: 'too many recipients from', meaning: 'rate-limited', generic: true },
    { contains: 'too much mail from', meaning: 'rate-limited', generic: true },
    { contains: 'too many connections', meaning: 'rate-limited', generic: true },
    { contains: 'too many concurrent', meaning: 'rate-limited', generic: true },
    { stage: 'rcpt', contains: 'exceeded their message rate limit', meaning: 'recipient-deferred' },
    { contains: 'rate limit', meaning: 'rate-limited', generic: true },
    { contains: 'throttl', meaning: 'rate-limited', generic: true },
    { contains: 'sending limit', meaning: 'quota-exceeded', generic: true },
    { contains: 'sending quota', meaning: 'quota-exceeded', generic: true },
    { contains: 'daily limit', meaning: 'quota-exceeded', generic: true },
    { contains: 'too many recipients', meaning: 'too-many-recipients' },
    { contains: 'through this server without authentication', meaning: 'authentication-failed' },
    { stage: 'mail', contains: 'authentication required', meaning: 'authentication-failed' },
    // Also said of one recipient, one sender or one mail (DMARC). A 530 leaves no doubt.
    { contains: 'authentication required', meaning: 'authentication-failed', generic: true },
    { contains: 'smtp auth required', meaning: 'authentication-failed', generic: true },
    { code: 503, contains: 'auth first', meaning: 'authentication-failed' },
    { contains: 'need ehlo and auth', meaning: 'authentication-failed' },
    { contains: 'greylist', meaning: 'recipient-deferred' },
    { contains: 'graylist', meaning: 'recipient-deferred' },
    { stage: 'rcpt', contains: 'no such user', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'user unknown', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'unknown user', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'user not found', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'recipient not found', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'no such recipient', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'no such mailbox', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'mailbox not found', meaning: 'no-such-mailbox' },
    { stage: 'rcpt', contains: 'no mailbox here', meaning: 'no-such-mailbox' },
    { contains: 'message too large', meaning: 'too-large' },
    { contains: 'message is too long', meaning: 'too-large' },
    { contains: 'message size exceeds', meaning: 'too-large' },
    { contains: 'exceeds maximum message size', meaning: 'too-large' },
  ],
};

/** Every row that is built in, providers before what many have in common. */
export const knownReplies: readonly KnownReplies[] = [
  google,
  microsoft,
  amazon,
  sendgrid,
  alibaba,
  mailgun,
  postmark,
  common,
];

const builtIn: readonly KnownReply[] = knownReplies.flatMap(({ replies }) => replies);

/**
 * What is known of this reply at this stage: by `rules` first, then by the
 * built-in rows. Undefined when nothing is, and the code must be believed.
 */
export function lookUp(stage: Stage, reply: Reply, rules: readonly ReplyRule[]): Known | undefined {
  const text = reply.text.toLowerCase();
  const fits = (rule: ReplyRule): boolean => matches(rule, stage, reply, text);
  return rules.find(fits) ?? builtIn.find(row => fits(row) && !(row.generic && isAboutMailbox(stage, reply)));
}

/** X.1 and X.2 are an address and its mailbox (RFC 3463 section 3): at RCPT, that recipient's, whatever the words. */
function isAboutMailbox(stage: Stage, { enhanced }: Reply): boolean {
  return stage === 'rcpt' && /^(?:5\.1|[45]\.2)\./.test(enhanced ?? '');
}

/** Every condition that a rule has must hold; a rule about no reply in particular never does. */
function matches(rule: ReplyRule, stage: Stage, reply: Reply, text: string): boolean {
  if (rule.code === undefined && rule.enhanced === undefined && rule.contains === undefined) return false;
  return (
    (rule.stage === undefined || rule.stage === stage) &&
    (rule.code === undefined || rule.code === reply.code) &&
    (rule.enhanced === undefined || rule.enhanced === reply.enhanced) &&
    (rule.contains === undefined || text.includes(rule.contains.toLowerCase()))
  );
}
