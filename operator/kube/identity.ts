/** Where the API server is and who we are to it: what reading a kubeconfig or the in-cluster files yields. */

/** A bearer token that may change while we run. */
export interface TokenSource {
  /** The token to send now. Throws ConnectionConfigError when there is none. */
  read(): Promise<string | undefined>;
  /** Told that the server answered 401: the next `read` looks again. */
  refused(): void;
}

export interface TlsSettings {
  /** PEM. */
  ca?: string;
  cert?: string;
  key?: string;
  /** Name to verify instead of the server's host. */
  serverName?: string;
  insecureSkipVerify?: boolean;
}

export interface Connection {
  /** https://host:port, without a trailing slash; a path prefix is kept. */
  server: string;
  /** Namespace of the context, or of the pod; `default` when neither says. */
  namespace: string;
  tls: TlsSettings;
  token?: TokenSource;
  /**
   * Reads the TLS files again: asked after a handshake failed, because the cluster's CA may have been rotated, and where
   * there is no token after a refusal, because the client certificate may have run out.
   */
  reloadTls?: () => Promise<TlsSettings>;
}

/** Thrown when a kubeconfig or the in-cluster files cannot be used; the message names file, field and remedy. */
export class ConnectionConfigError extends Error {
  override readonly name = 'ConnectionConfigError';
}
