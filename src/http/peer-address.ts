import { memberOf } from "../core/expected.js";
import type { Http2Request, NodeSocket } from "./node-view.js";
import { continuesAfterHeaders, hasHungUp } from "./node-view.js";
import type { NodeResponse } from "./outcome.js";
import { whenSent } from "./outcome.js";

/**
 * The address at the other end of a connection, by what the platform handed over beside the request; undefined where nobody
 * knows: `@hono/node-server` has the request of Node, Deno the address, and Bun a server, as it is or by its name.
 */
export function peerAddress(env: unknown, request: unknown): string | undefined {
  const address =
    incomingOf(env)?.socket?.remoteAddress ??
    memberOf(memberOf(env, "remoteAddr"), "hostname") ??
    addressByServer(env, request) ??
    addressByServer(memberOf(env, "server"), request);
  return typeof address === "string" ? address : undefined;
}

/** Whether the client has hung up, as far as the platform says. */
export function isPeerGone(env: unknown): boolean {
  return hasHungUp(incomingOf(env)?.socket);
}

/** Whether the request may have a body that no header announces; false where the platform does not tell, as on Deno. */
export function mayPeerSendBody(env: unknown): boolean {
  return continuesAfterHeaders(incomingOf(env) ?? {});
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
  const outgoing = memberOf(env, "outgoing") as NodeResponse | undefined;
  if (typeof outgoing?.once === "function") {
    whenSent(outgoing, ended);
    return () => undefined;
  }
  return (status) => {
    const { signal } = request as { signal?: { aborted?: unknown } };
    return signal?.aborted === true ? undefined : ended(status);
  };
}

/** The request of Node, by `@hono/node-server`. */
function incomingOf(env: unknown): (Http2Request & { readonly socket?: NodeSocket }) | undefined {
  return memberOf(env, "incoming") as (Http2Request & { readonly socket?: NodeSocket }) | undefined;
}

function addressByServer(server: unknown, request: unknown): unknown {
  if (typeof memberOf(server, "requestIP") !== "function") return undefined;
  return memberOf((server as { requestIP(request: unknown): unknown }).requestIP(request), "address");
}
