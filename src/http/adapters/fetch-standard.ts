import { typeError, memberOf } from "../../core/validate.js";
import type { WaitSignal } from "../../limiter/abort.js";
import { continuesAfterHeaders, hasHungUp, remoteAddressOf } from "../request-view.js";
import type { NodeResponse } from "../response-end.js";
import { closeSignal, whenSent } from "../response-end.js";

// What the adapters of fetch and hono share.

/** A `Request` of the Fetch standard. */
export interface FetchRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

/** A text of everything that a handler may distinguish requests by: method, URL and headers. */
export function identityOf({ method, url, headers }: FetchRequest): string {
  return JSON.stringify([method, url, [...(headers as unknown as Iterable<unknown>)]]);
}

/** A `Response` of the Fetch standard. */
export interface FetchResponse {
  readonly status: number;
  readonly body: unknown;
  readonly headers: { get(name: string): string | null; set(name: string, value: string): void };
}

/** Whether a value is a `Response` of any realm or platform. */
export function isResponse(value: unknown): value is FetchResponse {
  return (
    typeof memberOf(value, "status") === "number" && typeof memberOf(memberOf(value, "headers"), "set") === "function"
  );
}

/** Checks that `onRefused` returned a response, and returns it. @throws TypeError if not: the request would seem to have passed. */
export function responseOf(value: unknown): FetchResponse {
  if (isResponse(value)) return value;
  throw typeError("onRefused(request, decision)", "a Response, or a promise of one", value);
}

/**
 * The remote address of a connection, from the value that the platform passes together with the request; undefined if it is
 * unknown.
 *
 * `@hono/node-server` passes the request of Node, Deno passes the address, and Bun passes its server, or an object that has it
 * as `server`.
 */
export function peerAddress(env: unknown, request: unknown): string | undefined {
  const address =
    remoteAddressOf(socketOf(env)) ??
    memberOf(memberOf(env, "remoteAddr"), "hostname") ??
    addressByServer(env, request) ??
    addressByServer(memberOf(env, "server"), request);
  return typeof address === "string" ? address : undefined;
}

/** Whether the client has disconnected; false if the platform does not report it. */
export function isPeerGone(env: unknown): boolean {
  return hasHungUp(socketOf(env));
}

/** Whether the request may have a body that no header announces; false if the platform does not report it, as on Deno. */
export function mayPeerSendBody(env: unknown): boolean {
  return continuesAfterHeaders(memberOf(env, "incoming"));
}

/**
 * Arranges that `onResponse` is called with the status of a response: on Node when the whole response has been sent, and never
 * if it is cut off.
 *
 * Other platforms do not report when a response has been sent. There the returned function calls `onResponse` at once, unless
 * the request's `signal` is aborted, and the response does not wait for it. A worker may stop after the response, so it is
 * passed to the `waitUntil` of the platform, if there is one.
 *
 * @param rest - what the platform passes together with the request.
 * @returns a function to call with the status of the handler's response.
 */
export function outcomeReporter(
  rest: readonly unknown[],
  request: unknown,
  onResponse: (status: number) => Promise<void>,
): (status: number) => void {
  const outgoing = outgoingOf(rest[0]);
  if (outgoing !== undefined) {
    whenSent(outgoing, onResponse);
    return () => undefined;
  }
  return (status) => {
    if (memberOf(memberOf(request, "signal"), "aborted") === true) return;
    const reported = onResponse(status);
    const worker = rest.find((value): value is WorkerContext => typeof memberOf(value, "waitUntil") === "function");
    worker?.waitUntil(reported);
  };
}

/** The context of a worker, or the event of a Next.js middleware. */
interface WorkerContext {
  waitUntil(work: Promise<unknown>): void;
}

/** Returns a signal that is aborted when the client disconnects: on Node that of the response, elsewhere that of the request. */
export function hangUpSignal(env: unknown, request: unknown): WaitSignal | undefined {
  const outgoing = outgoingOf(env);
  return outgoing === undefined ? (memberOf(request, "signal") as WaitSignal | undefined) : closeSignal(outgoing);
}

/** The response of Node, which `@hono/node-server` passes as `outgoing`. */
function outgoingOf(env: unknown): NodeResponse | undefined {
  const outgoing = memberOf(env, "outgoing");
  return typeof memberOf(outgoing, "once") === "function" ? (outgoing as NodeResponse) : undefined;
}

/** The socket of Node's request, which `@hono/node-server` passes as `incoming`. */
function socketOf(env: unknown): unknown {
  return memberOf(memberOf(env, "incoming"), "socket");
}

function addressByServer(server: unknown, request: unknown): unknown {
  if (typeof memberOf(server, "requestIP") !== "function") return undefined;
  return memberOf((server as { requestIP(request: unknown): unknown }).requestIP(request), "address");
}
