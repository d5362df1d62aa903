import { memberOf } from "../core/validate.js";
import type { NodeResponse } from "./response-end.js";
import { whenSent } from "./response-end.js";

/** How the guard looks at a request of one framework. */
export interface RequestAdapter<R> {
  /** In capitals. */
  readonly method: (request: R) => string;
  /** @param name - in lower case. */
  readonly header: (request: R, name: string) => string | undefined;
  /** The address at the other end of the connection; undefined where nobody knows. */
  readonly address: (request: R) => string | undefined;
  /** Whether the client has hung up: then its address is not known any more. */
  readonly isDisconnected: (request: R) => boolean;
  /** Whether the request may have a body that no header announces, which HTTP/2 permits. */
  readonly mayHaveUnannouncedBody: (request: R) => boolean;
  /** Whether the handler gets requests of other methods as well as `OPTIONS`, because no router selects it by method. */
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

/** The headers of a request, as Node keeps them (names in lower case) or as the Fetch standard does. */
export type HeaderBag =
  { readonly get: (name: string) => string | null } | Readonly<Record<string, string | readonly string[] | undefined>>;

/** The value of a header, its lines joined as HTTP joins them. @param name - in lower case. */
export function headerOf(headers: HeaderBag, name: string): string | undefined {
  if (typeof memberOf(headers, "get") === "function") {
    return (headers as { get(name: string): string | null }).get(name) ?? undefined;
  }
  const value = Object.hasOwn(headers, name) ? (headers as Record<string, unknown>)[name] : undefined;
  return Array.isArray(value) ? value.join(", ") : (value as string | undefined);
}

/** The parts of a socket that are read here. */
export interface NodeSocket {
  readonly remoteAddress?: string | undefined;
  readonly localAddress?: string | undefined;
  readonly destroyed?: boolean | undefined;
}

/** A request of Node's HTTP server, or of a framework on top of it. A test or a gateway may make one without a socket. */
export interface NodeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** The path that routers of express have taken off `url`. */
  readonly baseUrl?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket?: NodeSocket | null | undefined;
}

/**
 * The adapter of requests of Node's HTTP server whose handlers are selected by a router.
 *
 * Every member that a request may lack is read by {@link memberOf}.
 */
export const nodeRequestAdapter: RequestAdapter<NodeRequest> = {
  method: ({ method }) => method ?? "GET",
  header: ({ headers }, name) => headerOf(headers, name),
  address: (request) => remoteAddressOf(memberOf(request, "socket")),
  isDisconnected: (request) => hasHungUp(memberOf(request, "socket")),
  // Fastify has the request of Node in `raw`, koa in `req`.
  mayHaveUnannouncedBody: (request) =>
    continuesAfterHeaders(memberOf(request, "raw") ?? memberOf(request, "req") ?? request),
  isPlain: () => false,
  target,
  identity: (request) => JSON.stringify([request.method, target(request), request.headers]),
};

function target(request: NodeRequest): string {
  return `${(memberOf(request, "baseUrl") as string | undefined) ?? ""}${request.url ?? ""}`;
}

/** The address at the other end of a socket. */
export function remoteAddressOf(socket: unknown): string | undefined {
  return memberOf(socket, "remoteAddress") as string | undefined;
}

/**
 * Whether the client of a socket has hung up. After a reset the socket is not closed yet and has no remote address any more;
 * it still has a local one, which a pipe never had.
 */
export function hasHungUp(socket: unknown): boolean {
  if (memberOf(socket, "destroyed") === true) return true;
  return remoteAddressOf(socket) === undefined && memberOf(socket, "localAddress") !== undefined;
}

/** Whether the stream of a request did not end with its headers. Over HTTP/1.1 there is no stream, and headers announce a body. */
export function continuesAfterHeaders(request: unknown): boolean {
  const stream = memberOf(request, "stream");
  return stream !== undefined && memberOf(stream, "endAfterHeaders") !== true;
}

/**
 * The address at the other end of a connection, by what the platform handed over beside the request; undefined where nobody
 * knows: `@hono/node-server` has the request of Node, Deno the address, and Bun a server, as it is or by its name.
 */
export function peerAddress(env: unknown, request: unknown): string | undefined {
  const address =
    remoteAddressOf(socketOf(env)) ??
    memberOf(memberOf(env, "remoteAddr"), "hostname") ??
    addressByServer(env, request) ??
    addressByServer(memberOf(env, "server"), request);
  return typeof address === "string" ? address : undefined;
}

/** Whether the client has hung up, as far as the platform says. */
export function isPeerGone(env: unknown): boolean {
  return hasHungUp(socketOf(env));
}

/** Whether the request may have a body that no header announces; false where the platform does not tell, as on Deno. */
export function mayPeerSendBody(env: unknown): boolean {
  return continuesAfterHeaders(memberOf(env, "incoming"));
}

/**
 * Prepares to report the status of an answer to `onResponse`: on Node once the whole answer has been sent, and never if it is cut off.
 *
 * Other platforms do not tell when an answer has been sent. There the function that is returned reports at once, unless the
 * client is known to have hung up. Its promise is to be awaited before the answer is returned, because a worker may stop then.
 *
 * @returns what is to be called with the status that the handler has answered with.
 */
export function outcomeReporter(
  env: unknown,
  request: unknown,
  onResponse: (status: number) => Promise<void>,
): (status: number) => Promise<void> | undefined {
  const outgoing = memberOf(env, "outgoing") as NodeResponse | undefined;
  if (outgoing !== undefined && typeof memberOf(outgoing, "once") === "function") {
    whenSent(outgoing, onResponse);
    return () => undefined;
  }
  return (status) => {
    return memberOf(memberOf(request, "signal"), "aborted") === true ? undefined : onResponse(status);
  };
}

/** The socket of Node's request, which `@hono/node-server` has in `incoming`. */
function socketOf(env: unknown): unknown {
  return memberOf(memberOf(env, "incoming"), "socket");
}

function addressByServer(server: unknown, request: unknown): unknown {
  if (typeof memberOf(server, "requestIP") !== "function") return undefined;
  return memberOf((server as { requestIP(request: unknown): unknown }).requestIP(request), "address");
}
