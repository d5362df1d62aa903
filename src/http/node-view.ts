import { headerOf } from "./header-bag.js";
import type { RequestView } from "./request-view.js";

/** The parts of a socket that are read here. */
export interface NodeSocket {
  readonly remoteAddress?: string | undefined;
  readonly localAddress?: string | undefined;
  readonly destroyed?: boolean | undefined;
}

/** A request of Node's HTTP server, or of a framework on top of it. A test or a gateway may make one without a socket. */
export interface NodeRequest extends Http2Request {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** The path that routers of express have taken off `url`. */
  readonly baseUrl?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket?: NodeSocket | null | undefined;
}

/** Where Node's request is: fastify has it in `raw`, koa in `req`. */
interface Wrapper {
  readonly raw?: Http2Request | undefined;
  readonly req?: Http2Request | undefined;
}

/** The part of a request of Node that tells whether a body follows. */
export interface Http2Request {
  /** Over HTTP/2 alone. */
  readonly stream?: { readonly endAfterHeaders?: boolean | undefined } | undefined;
}

/** The view of requests of Node's HTTP server whose handlers are selected by a router. */
export const nodeView: RequestView<NodeRequest> = {
  method: ({ method }) => method ?? "GET",
  header: ({ headers }, name) => headerOf(headers, name),
  address: ({ socket }) => socket?.remoteAddress,
  isGone: ({ socket }) => hasHungUp(socket),
  mayHaveUnannouncedBody: (request: NodeRequest & Wrapper) =>
    continuesAfterHeaders(request.raw ?? request.req ?? request),
  isPlain: () => false,
  target,
  identity: (request) => JSON.stringify([request.method, target(request), request.headers]),
};

function target({ baseUrl = "", url = "" }: NodeRequest): string {
  return baseUrl + url;
}

/**
 * Whether the client of a socket has hung up. After a reset the socket is not closed yet and has no remote address any more;
 * it still has a local one, which a pipe never had.
 */
export function hasHungUp(socket: NodeSocket | null | undefined): boolean {
  if (socket === undefined || socket === null) return false;
  const { destroyed, remoteAddress, localAddress } = socket;
  return destroyed === true || (remoteAddress === undefined && localAddress !== undefined);
}

/** Whether the stream of a request did not end with its headers. Over HTTP/1.1 there is no stream, and headers announce a body. */
export function continuesAfterHeaders({ stream }: Http2Request): boolean {
  return stream !== undefined && stream.endAfterHeaders !== true;
}
