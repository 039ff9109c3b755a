/**
 * The commands of one transaction as lines, and what keeps it from being sent
 * to this provider at all. Pure. Nothing that could end a line or a path
 * leaves here.
 */
import type { Capabilities } from './capabilities.ts';
import type { Failure, Reply } from './failure.ts';
import type { TransactionEnvelope } from './session.ts';

// Control characters would end the command, angle brackets the path (RFC 5321 section 4.1.2).
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is for
const UNSPEAKABLE = /[\u0000-\u001f\u007f<>]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: everything that is not ASCII
const NON_ASCII = /[^\u0000-\u007f]/;

/**
 * The answer that an address gets from the relay itself when it cannot be put
 * into a command: that of RFC 3463 for bad syntax, so that it ends as a
 * provider's own refusal would.
 */
export function unspeakable(address: string, whose: 'sender' | 'recipient'): Reply | undefined {
  const bad = UNSPEAKABLE.test(address) || (address === '' && whose === 'recipient');
  if (!bad) return undefined;
  return whose === 'sender'
    ? {
        code: 553,
        enhanced: '5.1.7',
        text: 'not sent by the relay: the sender address has forbidden characters',
      }
    : { code: 553, enhanced: '5.1.3', text: 'not sent by the relay: the address has forbidden characters' };
}

/** Why this message cannot go to this provider whatever it would answer, or undefined. */
export function obstacle(envelope: TransactionEnvelope, capabilities: Capabilities): Failure | undefined {
  const reply = unspeakable(envelope.sender, 'sender');
  if (reply !== undefined) return { stage: 'mail', fault: 'reply', reply, message: reply.text };
  const { maxSize, smtpUtf8 } = capabilities;
  if (maxSize !== undefined && envelope.size > maxSize) {
    const message = `the message is too large: ${envelope.size} bytes, the provider takes ${maxSize}`;
    return { stage: 'mail', fault: 'not-offered', message };
  }
  if (needsUtf8(envelope) && !smtpUtf8) {
    return {
      stage: 'mail',
      fault: 'not-offered',
      message: 'the message needs SMTPUTF8, the provider lacks it',
    };
  }
  return undefined;
}

/** `MAIL FROM:<…> SIZE=… BODY=8BITMIME SMTPUTF8`, as far as needed and offered. */
export function mailCommand(envelope: TransactionEnvelope, capabilities: Capabilities): string {
  const parameters = [
    capabilities.size ? ` SIZE=${envelope.size}` : '',
    // Where it is not offered the message goes as it is: a message that DKIM signed must not be re-encoded.
    envelope.eightBit && capabilities.eightBitMime ? ' BODY=8BITMIME' : '',
    needsUtf8(envelope) ? ' SMTPUTF8' : '',
  ];
  return `MAIL FROM:<${envelope.sender}>${parameters.join('')}\r\n`;
}

export function rcptCommand(address: string): string {
  return `RCPT TO:<${address}>\r\n`;
}

/** Headers may be UTF-8 although no address is: what the client declared counts (RFC 6531 section 3.4). */
function needsUtf8({ smtpUtf8, sender, recipients }: TransactionEnvelope): boolean {
  return smtpUtf8 || NON_ASCII.test(sender) || recipients.some(address => NON_ASCII.test(address));
}
