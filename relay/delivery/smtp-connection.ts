/**
 * nodemailer's SMTPConnection with the members that its types hide, all those
 * that we use and in this place alone. They are no public interface: a test
 * fails when an update of nodemailer changes one.
 */
import type { Socket } from 'node:net';
import NodemailerConnection, { type SMTPConnectionOptions } from 'nodemailer/lib/smtp-connection';

/** Handlers of replies and of the upgrade, which a subclass refines. */
interface ReplyActions {
  _actionGreeting(text: string): void;
  _actionEHLO(text: string): void;
  _actionHELO(text: string): void;
  _actionSTARTTLS(text: string): void;
  _upgradeConnection(callback: (error: Error | null, secured?: boolean) => void): void;
}

/** Its listeners on the socket, by event. */
export const SOCKET_LISTENERS = {
  data: '_onSocketData',
  timeout: '_onSocketTimeout',
  close: '_onSocketClose',
  end: '_onSocketEnd',
  error: '_onSocketError',
} as const;

/** What it holds of replies: the unfinished line, and the whole ones that nobody has taken. */
interface ReplyState {
  _remainder: string;
  _responseQueue: string[];
}

type Listeners = { readonly [L in (typeof SOCKET_LISTENERS)[keyof typeof SOCKET_LISTENERS]]: () => void };

const Base = NodemailerConnection as unknown as new (
  options: SMTPConnectionOptions,
) => NodemailerConnection & ReplyActions & ReplyState & Listeners;

export class SmtpConnection extends Base {
  /** Something has come that no command called for. Some servers send an empty line between replies; it says nothing. */
  protected get unasked(): boolean {
    return [this._remainder, ...this._responseQueue].some(text => text.trim() !== '');
  }

  /** Takes the socket away from nodemailer: from here on it neither reads nor times it. */
  protected takeSocket(): Socket {
    const socket = this._socket as Socket;
    for (const [event, listener] of Object.entries(SOCKET_LISTENERS)) socket.off(event, this[listener]);
    socket.setTimeout(0);
    return socket;
  }
}
