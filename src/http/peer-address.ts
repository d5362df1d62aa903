import type { NodeSocket } from "./node-view.js";
import { hasHungUp } from "./node-view.js";

/** Where platforms of the Fetch standard keep the address at the other end of a connection. */
interface Platforms {
  /** Node, by `@hono/node-server`. */
  readonly incoming?: { readonly socket?: NodeSocket };
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
  const socket = platformsOf(env).incoming?.socket;
  return socket !== undefined && hasHungUp(socket);
}

function platformsOf(env: unknown): Platforms {
  return typeof env === "object" && env !== null ? env : {};
}
