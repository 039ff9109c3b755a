/** Where the API server is and who we are to it: the result of reading a kubeconfig or the in-cluster files. */

/** A bearer token that may change while we run. */
export interface TokenSource {
  /** The token to send now. */
  read(): Promise<string | undefined>;
  /** Told that the server answered 401: the next `read` looks again. */
  refused(): void;
}

export interface Connection {
  /** https://host:port, without a trailing slash; a path prefix is kept. */
  server: string;
  /** Namespace of the context, or of the pod; `default` when neither says. */
  namespace: string;
  tls: {
    ca?: string;
    cert?: string;
    key?: string;
    /** Name to verify instead of the server's host. */
    serverName?: string;
    insecureSkipVerify?: boolean;
  };
  token?: TokenSource;
}

/** Thrown when a kubeconfig or the in-cluster files cannot be used; the message names file, field and remedy. */
export class ConnectionConfigError extends Error {
  override readonly name = 'ConnectionConfigError';
}

export interface ConnectionSources {
  /** Path given on the command line; it must exist. */
  kubeconfig?: string | undefined;
  context?: string | undefined;
  env?: Record<string, string | undefined>;
  /** Where the in-cluster token, ca.crt and namespace lie. */
  serviceAccountDirectory?: string;
}

/**
 * The usual order: an explicit kubeconfig, `KUBECONFIG`, in-cluster files, `~/.kube/config`.
 * Throws {@link ConnectionConfigError}.
 */
export declare function loadConnection(sources?: ConnectionSources): Promise<Connection>;
