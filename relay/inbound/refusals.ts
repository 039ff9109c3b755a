/**
 * Every way the listener says no: code, enhanced code (RFC 3463, RFC 7505,
 * RFC 4954), words for the person who reads them, and the reason under which
 * it is counted. Words name the limit and, where it helps, the value.
 */
import type { RefusalReason } from '../telemetry/events.ts';
import type { LoginBlock } from './login-guard.ts';
import type { RateRefusal } from './sender-rates.ts';

export interface Refusal {
  readonly code: number;
  readonly enhanced: string;
  readonly text: string;
  readonly reason: RefusalReason;
}

const seconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1000));

export const refusals = {
  networkNotAllowed: (client: string, canAuthenticate: boolean): Refusal => ({
    code: 550,
    enhanced: '5.7.1',
    text: `Client ${client} may not send here: it is in none of the allowed networks${
      canAuthenticate ? ' and has not authenticated' : ''
    }`,
    reason: 'network-not-allowed',
  }),
  authenticationRequired: (): Refusal => ({
    code: 530,
    enhanced: '5.7.0',
    text: 'Authentication required',
    reason: 'authentication-required',
  }),
  wrongPassword: (): Refusal => ({
    code: 535,
    enhanced: '5.7.8',
    text: 'User name or password wrong',
    reason: 'authentication-failed',
  }),
  tooManyLoginsHere: (limit: number): Refusal => ({
    code: 421,
    enhanced: '4.7.0',
    text: `${limit} failed logins on this connection, closing it`,
    reason: 'authentication-failed',
  }),
  tooManyLogins: (client: string, { scope, retryInMs }: LoginBlock): Refusal => ({
    code: 454,
    enhanced: '4.7.0',
    text: `Too many failed logins ${scope === 'user' ? 'as this user ' : ''}from ${client}, try again in ${seconds(retryInMs)} seconds`,
    reason: 'authentication-failed',
  }),
  tooManyConnections: (limit: number): Refusal => ({
    code: 421,
    enhanced: '4.7.0',
    text: `Too many connections, at most ${limit} at a time; try again later`,
    reason: 'too-many-connections',
  }),
  tooManyFromClient: (client: string, limit: number): Refusal => ({
    code: 421,
    enhanced: '4.7.0',
    text: `Too many connections from ${client}, at most ${limit} at a time; try again later`,
    reason: 'too-many-connections',
  }),
  tooManyRecipients: (limit: number): Refusal => ({
    code: 452,
    enhanced: '4.5.3',
    text: `Too many recipients, at most ${limit} in one message`,
    reason: 'too-many-recipients',
  }),
  tooLarge: (limit: number): Refusal => ({
    code: 552,
    enhanced: '5.3.4',
    text: `Message too large, at most ${limit} bytes`,
    reason: 'too-large',
  }),
  headerTooLarge: (limit: number): Refusal => ({
    code: 552,
    enhanced: '5.3.4',
    text: `Message header too large, at most ${limit} bytes`,
    reason: 'too-large',
  }),
  rateLimited: (sender: string, rate: RateRefusal): Refusal => ({
    code: 450,
    enhanced: '4.7.1',
    text: `Sender <${sender}> has reached ${rate.limit} messages per ${rate.window}, try again in ${seconds(rate.retryInMs)} seconds`,
    reason: 'rate-limited',
  }),
  bareNewline: (): Refusal => ({
    code: 550,
    enhanced: '5.6.11',
    text: 'The message has a CR or LF that is not part of CRLF (RFC 5321 section 2.3.8)',
    reason: 'bare-newline',
  }),
  loop: (received: number, limit: number): Refusal => ({
    code: 554,
    enhanced: '5.4.6',
    text: `Mail loop: ${received} Received fields, at most ${limit}`,
    reason: 'loop',
  }),
  diskFull: (): Refusal => ({
    code: 452,
    enhanced: '4.3.1',
    text: 'Not enough disk space, try again later',
    reason: 'disk-full',
  }),
  storeFailed: (): Refusal => ({
    code: 451,
    enhanced: '4.3.0',
    text: 'The message could not be stored, try again later',
    reason: 'store-failed',
  }),
  shuttingDown: (): Refusal => ({
    code: 421,
    enhanced: '4.3.2',
    text: 'The relay is shutting down, try again',
    reason: 'shutting-down',
  }),
  idle: (timeoutMs: number): Refusal => ({
    code: 421,
    enhanced: '4.4.2',
    text: `Nothing complete received for ${seconds(timeoutMs)} seconds, closing the connection`,
    reason: 'timeout',
  }),
  dataTimeout: (timeoutMs: number): Refusal => ({
    code: 421,
    enhanced: '4.4.2',
    text: `The message took longer than ${seconds(timeoutMs)} seconds, closing the connection`,
    reason: 'timeout',
  }),
  tooManyErrors: (limit: number): Refusal => ({
    code: 421,
    enhanced: '4.7.0',
    text: `${limit} errors on this connection, closing it`,
    reason: 'syntax',
  }),
  tooManyCommands: (limit: number): Refusal => ({
    code: 421,
    enhanced: '4.7.0',
    text: `${limit} commands without a message on this connection, closing it`,
    reason: 'syntax',
  }),
  lineTooLong: (limit: number): Refusal => ({
    code: 500,
    enhanced: '5.5.2',
    text: `Command line too long, at most ${limit} bytes`,
    reason: 'syntax',
  }),
  needsSmtpUtf8: (): Refusal => ({
    code: 553,
    enhanced: '5.6.7',
    text: 'The address has characters outside ASCII, which needs the SMTPUTF8 parameter of MAIL',
    reason: 'syntax',
  }),
  syntax: (code: number, enhanced: string, text: string): Refusal => ({
    code,
    enhanced,
    text,
    reason: 'syntax',
  }),
};
