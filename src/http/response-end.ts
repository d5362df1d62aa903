import { memberOf } from "../core/validate.js";
import type { WaitSignal } from "../limiter/abort.js";

/** A global of Node that the ES2022 types omit. */
declare const AbortController: new () => { readonly signal: WaitSignal; abort(reason: unknown): void };

/** A response of Node's HTTP server, over HTTP/1.1 or HTTP/2. */
export interface NodeResponse {
  readonly statusCode: number;
  readonly headersSent: boolean;
  /** Whether the handler has ended the response. */
  readonly writableEnded: boolean;
  /** The request. Over HTTP/1.1 its socket shows whether the connection is lost. */
  readonly req?: NodeResponseRequest | undefined;
  /** The stream of the response over HTTP/2. */
  readonly stream?: NodeHttp2Stream | undefined;
  /** Whether the connection of the response is closed, over HTTP/1.1. */
  readonly destroyed?: boolean | undefined;
  once(event: "finish" | "close", listener: () => void): unknown;
}

/** The members of the request of a response that show how its connection ended. */
interface NodeResponseRequest {
  readonly socket?: { readonly destroyed?: boolean | undefined } | null | undefined;
  once?(event: "close", listener: () => void): unknown;
}

/** The members of a stream of Node's HTTP/2 server that show how the stream ended. */
export interface NodeHttp2Stream {
  /** The code that the server or the client closed the stream with; 0 for no error. */
  readonly rstCode?: number | undefined;
  readonly writableFinished?: boolean | undefined;
  readonly destroyed?: boolean | undefined;
}

/**
 * Calls `onResponse` with the status of a response when the whole response has been sent, and never if it is cut off.
 *
 * The `finish` event alone does not show that. Over HTTP/2 Node emits it whenever the stream closes, even before a handler has
 * set a status. Over HTTP/1.1 Node up to version 22 emits it as well if the connection is lost before the end of the body is sent.
 */
export function whenSent(response: NodeResponse, onResponse: (status: number) => Promise<void>): void {
  response.once("finish", () => {
    if (isSent(response)) void onResponse(response.statusCode);
  });
}

/** The reason of {@link closeSignal}. One object, because each `Error` captures a stack trace. */
const CLOSED = new Error("The response was closed");

/** Returns a signal that is aborted when a response is closed: the client has disconnected, or other code has responded. */
export function closeSignal(response: NodeResponse): WaitSignal {
  const controller = new AbortController();
  const close = (): void => controller.abort(CLOSED);
  if (memberOf(response, "destroyed") === true || isConnectionLost(response)) {
    close();
    return controller.signal;
  }
  response.once("close", close);
  // Node emits no `close` for the response to a pipelined request until those before it are sent. The `close` of the request is
  // emitted as well when its body has been read.
  const request = memberOf(response, "req") as NodeResponseRequest | undefined;
  request?.once?.("close", () => {
    if (isConnectionLost(response)) close();
  });
  return controller.signal;
}

function isConnectionLost(response: NodeResponse): boolean {
  const stream = memberOf(response, "stream");
  const connection = stream ?? memberOf(memberOf(response, "req"), "socket");
  return memberOf(connection, "destroyed") === true;
}

function isSent(response: NodeResponse): boolean {
  const stream = memberOf(response, "stream");
  if (stream === undefined) return !isConnectionLost(response);
  // Node ends the stream of a client that resets it without an error code, so the stream alone does not show that the handler
  // ended the response. A session that this server destroys closes its streams without an error code, even if they have data
  // left to send.
  return response.writableEnded && memberOf(stream, "rstCode") === 0 && memberOf(stream, "writableFinished") === true;
}
