import { memberOf } from "../core/validate.js";

/** Reads the requests of one framework for `HttpRateLimiter`. */
export interface RequestView<R> {
  /** The method, in upper case. */
  readonly method: (request: R) => string;
  /** The value of a header; undefined if the request has none. @param name - in lower case. */
  readonly header: (request: R, name: string) => string | undefined;
  /** The remote address of the connection; undefined if it is unknown. */
  readonly address: (request: R) => string | undefined;
  /** Whether the client has disconnected. Its address is unknown from then on. */
  readonly isDisconnected: (request: R) => boolean;
  /** Whether the request may have a body that no header announces, as HTTP/2 permits. */
  readonly mayHaveUnannouncedBody: (request: R) => boolean;
  /** Whether the handler receives requests of other methods besides `OPTIONS`, because no router selects it by method. */
  readonly isPlain: (request: R) => boolean;
  /**
   * The current target of the request, for a framework that can rewrite a request and dispatch it again. If it is absent, one
   * request object is one request.
   */
  readonly target?: ((request: R) => string | undefined) | undefined;
  /**
   * A text of everything that a handler may distinguish requests by: method, target and headers. Equal requests have equal
   * identities. If it is absent, limiters that are created for each request are not detected.
   */
  readonly identity?: ((request: R) => string) | undefined;
}

/** The headers of a request: an object as in Node, with names in lower case, or a `Headers` of the Fetch standard. */
export type HeaderBag =
  | {
      /** The value of a header by its name, in any case, with several lines joined by commas; null if there is none. */
      readonly get: (name: string) => string | null;
    }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/** The value of a header, with several lines joined by commas; undefined if there is none. @param name - in lower case. */
export function headerOf(headers: HeaderBag, name: string): string | undefined {
  if (typeof memberOf(headers, "get") === "function") {
    return (headers as { get(name: string): string | null }).get(name) ?? undefined;
  }
  const value = Object.hasOwn(headers, name) ? (headers as Record<string, unknown>)[name] : undefined;
  return Array.isArray(value) ? value.join(", ") : (value as string | undefined);
}

/** The members of a socket that are read here. */
export interface NodeSocket {
  readonly remoteAddress?: string | undefined;
  readonly localAddress?: string | undefined;
  readonly destroyed?: boolean | undefined;
}

/** A request of Node's HTTP server, or of a framework on top of it. A test or a gateway may create one without a socket. */
export interface NodeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** The path that the routers of express have removed from `url`. */
  readonly baseUrl?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket?: NodeSocket | null | undefined;
}

/**
 * Reads the requests of Node's HTTP server, for handlers that a router selects.
 *
 * Members that a request may lack are read by {@link memberOf}, which ignores those of `Object.prototype`.
 */
export const nodeRequestView: RequestView<NodeRequest> = {
  method: ({ method }) => method ?? "GET",
  header: ({ headers }, name) => headerOf(headers, name),
  address: (request) => remoteAddressOf(memberOf(request, "socket")),
  isDisconnected: (request) => hasHungUp(memberOf(request, "socket")),
  // Fastify holds the request of Node in `raw`, koa in `req`.
  mayHaveUnannouncedBody: (request) =>
    continuesAfterHeaders(memberOf(request, "raw") ?? memberOf(request, "req") ?? request),
  isPlain: () => false,
  target,
  identity: (request) => JSON.stringify([request.method, target(request), request.headers]),
};

function target(request: NodeRequest): string {
  return `${(memberOf(request, "baseUrl") as string | undefined) ?? ""}${request.url ?? ""}`;
}

/** The remote address of a socket; undefined if it has none. */
export function remoteAddressOf(socket: unknown): string | undefined {
  return memberOf(socket, "remoteAddress") as string | undefined;
}

/**
 * Whether the client of a socket has disconnected.
 *
 * After a reset, the socket is still open for a moment and has lost its remote address. It keeps its local address, which a
 * pipe never has.
 */
export function hasHungUp(socket: unknown): boolean {
  if (memberOf(socket, "destroyed") === true) return true;
  return remoteAddressOf(socket) === undefined && memberOf(socket, "localAddress") !== undefined;
}

/** Whether the stream of a request continues after its headers; false over HTTP/1.1, where headers announce every body. */
export function continuesAfterHeaders(request: unknown): boolean {
  const stream = memberOf(request, "stream");
  return stream !== undefined && memberOf(stream, "endAfterHeaders") !== true;
}
