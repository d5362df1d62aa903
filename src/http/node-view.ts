import { headerOf } from "./header-bag.js";
import type { RequestView } from "./request-view.js";

/** A socket as far as it is looked at here. */
export interface NodeSocket {
  readonly remoteAddress?: string | undefined;
  readonly localAddress?: string | undefined;
  readonly destroyed?: boolean | undefined;
}

/** A request as Node's HTTP server makes it, and as the frameworks on top of it pass it on. */
export interface NodeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket: NodeSocket;
}

/** How the guard looks at requests of Node's HTTP server. */
export const nodeView: RequestView<NodeRequest> = {
  method: ({ method }) => method ?? "GET",
  header: ({ headers }, name) => headerOf(headers, name),
  address: ({ socket }) => socket.remoteAddress,
  isGone: ({ socket }) => hasHungUp(socket),
};

/**
 * Whether the client of a socket has hung up. After a reset the socket is not closed yet and has no remote address any more;
 * it still has a local one, which a pipe never had.
 */
export function hasHungUp({ destroyed, remoteAddress, localAddress }: NodeSocket): boolean {
  return destroyed === true || (remoteAddress === undefined && localAddress !== undefined);
}
