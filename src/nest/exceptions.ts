import type { ExecutionContext } from "@nestjs/common";
import { HttpException } from "@nestjs/common";
import type { RateLimitExceededError, StoreError } from "../core/errors.js";
import type { Rejection } from "../http/pipeline.js";

/**
 * A refusal as an exception of Nest, which its exception filters turn into a response, and do not log: 429, or 503 if the service is
 * short of capacity or the store failed. By default the body is `{ "statusCode": 429, "message": "…" }`.
 *
 * @example
 * \@Catch(RateLimitException)
 * class RefusalFilter implements ExceptionFilter<RateLimitException> { … }
 */
export class RateLimitException extends HttpException {
  /**
   * The error behind the exception: a `RateLimitExceededError` with the decision, or a `StoreError` if the store failed. Undefined if
   * the client has disconnected.
   */
  declare readonly cause: RateLimitExceededError | StoreError | undefined;

  /** The body of the other adapters, of the type `application/problem+json`; undefined if the client has disconnected. */
  readonly problem: string | undefined;

  constructor({ status, body }: Rejection, cause: RateLimitExceededError | StoreError | undefined) {
    super(messageOf(cause), status, { cause });
    this.problem = body;
  }
}

/**
 * Returns the exception for a refusal: a {@link RateLimitException}, or, in a WebSocket, the `WsException` that its exception filters
 * need in place of an `HttpException`.
 */
export async function exceptionOf(context: ExecutionContext, rejection: Rejection): Promise<Error> {
  const cause = rejection.error?.();
  if (context.getType() !== "ws") return new RateLimitException(rejection, cause);
  // Only applications with WebSockets have this package.
  const { WsException } = await import("@nestjs/websockets");
  const retryAfter = cause !== undefined && "retryAfter" in cause ? cause.retryAfter : Infinity;
  const wait = retryAfter < Infinity ? { retryAfter } : {};
  return Object.assign(new WsException({ status: "error", message: messageOf(cause), ...wait }), { cause });
}

function messageOf(cause: Error | undefined): string {
  return cause?.message ?? "The client has disconnected";
}
