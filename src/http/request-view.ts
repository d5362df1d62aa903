/** How the guard looks at a request of one framework. */
export interface RequestView<R> {
  /** In capitals. */
  readonly method: (request: R) => string;
  /** @param name - in lower case. */
  readonly header: (request: R, name: string) => string | undefined;
  /** The address at the other end of the connection; undefined where nobody knows. */
  readonly address: (request: R) => string | undefined;
  /** Whether the client has hung up: then its address is not known any more. */
  readonly isGone: (request: R) => boolean;
  /** Whether the request may have a body that no header announces, which HTTP/2 permits. */
  readonly mayHaveUnannouncedBody: (request: R) => boolean;
  /** Whether the handler gets requests of every method, `OPTIONS` too, because no router selects by method. */
  readonly isPlain: (request: R) => boolean;
}
