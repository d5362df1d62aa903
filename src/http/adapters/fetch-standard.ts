import { typeError, memberOf } from "../../core/validate.js";
import { continuesAfterHeaders, hasHungUp, remoteAddressOf } from "../request-view.js";
import type { NodeResponse } from "../response-end.js";
import { whenSent } from "../response-end.js";

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
 * the request's `signal` is aborted. Await its promise before you return the response, because a worker may stop after that.
 *
 * @returns a function to call with the status of the handler's response.
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

/** The socket of Node's request, which `@hono/node-server` passes as `incoming`. */
function socketOf(env: unknown): unknown {
  return memberOf(memberOf(env, "incoming"), "socket");
}

function addressByServer(server: unknown, request: unknown): unknown {
  if (typeof memberOf(server, "requestIP") !== "function") return undefined;
  return memberOf((server as { requestIP(request: unknown): unknown }).requestIP(request), "address");
}
