import { headerOf } from "./header-bag.js";
import type { RequestView } from "./request-view.js";

/** A request as Node's HTTP server makes it, and as the frameworks on top of it pass it on. */
export interface NodeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket: { readonly remoteAddress?: string | undefined; readonly destroyed?: boolean | undefined };
}

/** How the guard looks at requests of Node's HTTP server. */
export const nodeView: RequestView<NodeRequest> = {
  method: ({ method }) => method ?? "GET",
  header: ({ headers }, name) => headerOf(headers, name),
  address: ({ socket }) => socket.remoteAddress,
  isGone: ({ socket }) => socket.destroyed === true,
};
