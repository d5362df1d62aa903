import type { Http2Request, NodeSocket } from "./node-view.js";
import { continuesAfterHeaders, hasHungUp } from "./node-view.js";
import type { NodeResponse } from "./outcome.js";
import { whenSent } from "./outcome.js";

/** Where platforms of the Fetch standard keep the address at the other end of a connection. */
interface Platforms {
  /** Node, by `@hono/node-server`. */
  readonly incoming?: Http2Request & { readonly socket?: NodeSocket };
  readonly outgoing?: NodeResponse;
  /** Deno. */
  readonly remoteAddr?: { readonly hostname?: unknown };
  /** Bun, whose server is handed over as it is, or by its name. */
  readonly server?: BunServer;
  readonly requestIP?: BunServer["requestIP"];
}

interface BunServer {
  requestIP?(request: unknown): { readonly address?: unknown } | null;
}

/** The address at the other end of a connection, by what the platform handed over beside the request; undefined where nobody knows. */
export function peerAddress(env: unknown, request: unknown): string | undefined {
  const platforms = platformsOf(env);
  const bun = typeof platforms.requestIP === "function" ? (platforms as BunServer) : platforms.server;
  const address =
    platforms.incoming?.socket?.remoteAddress ??
    platforms.remoteAddr?.hostname ??
    (typeof bun?.requestIP === "function" ? bun.requestIP(request)?.address : undefined);
  return typeof address === "string" ? address : undefined;
}

/** Whether the client has hung up, as far as the platform says. */
export function isPeerGone(env: unknown): boolean {
  return hasHungUp(platformsOf(env).incoming?.socket);
}

/** Whether the request may have a body that no header announces; false where the platform does not tell, as on Deno. */
export function mayPeerSendBody(env: unknown): boolean {
  return continuesAfterHeaders(platformsOf(env).incoming ?? {});
}

/**
 * Prepares to report the status of an answer to `ended`: on Node once the whole answer has been sent, and never if it is cut off.
 *
 * Other platforms do not tell when an answer has been sent. There the function that is returned reports at once, unless the
 * client is known to have hung up. Its promise is to be awaited before the answer is returned, because a worker may stop then.
 *
 * @returns what is to be called with the status that the handler has answered with.
 */
export function outcomeReporter(
  env: unknown,
  request: unknown,
  ended: (status: number) => Promise<void>,
): (status: number) => Promise<void> | undefined {
  const { outgoing } = platformsOf(env);
  if (typeof outgoing?.once === "function") {
    whenSent(outgoing, ended);
    return () => undefined;
  }
  return (status) => {
    const { signal } = request as { signal?: { aborted?: unknown } };
    return signal?.aborted === true ? undefined : ended(status);
  };
}

function platformsOf(env: unknown): Platforms {
  return typeof env === "object" && env !== null ? env : {};
}
