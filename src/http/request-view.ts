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
  /**
   * What the request asks for now, where that can be rewritten before it is dispatched again. Without it, a request stays the
   * same for as long as its object does.
   */
  readonly target?: ((request: R) => string | undefined) | undefined;
  /**
   * Everything that a handler may tell requests apart by, method, target and headers: equal for equal requests. Without it,
   * limiters that are made for each request are not noticed.
   */
  readonly identity?: ((request: R) => string) | undefined;
}
