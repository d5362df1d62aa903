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

  /** What GraphQL servers show beside the message. */
  readonly extensions: RefusalDetails;

  constructor({ status, body }: Rejection, cause: RateLimitExceededError | StoreError | undefined) {
    super(messageOf(cause), status, { cause });
    this.problem = body;
    this.extensions = detailsOf(cause);
  }
}

/** What a client can read from a refusal where there are no header fields. */
export interface RefusalDetails {
  /** The code of the error, such as `"RATE_LIMIT_EXCEEDED"`; absent if the client has disconnected. */
  readonly code?: string;
  /** Whole seconds to wait; absent if no wait helps or is known. */
  readonly retryAfter?: number;
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
  const exception = new WsException({ status: "error", message: messageOf(cause), ...detailsOf(cause) });
  return Object.assign(exception, { cause });
}

function messageOf(cause: Error | undefined): string {
  return cause?.message ?? "The client has disconnected";
}

function detailsOf(cause: RateLimitExceededError | StoreError | undefined): RefusalDetails {
  if (cause === undefined) return {};
  const { code } = cause;
  return code === "RATE_LIMIT_EXCEEDED" && cause.retryAfter < Infinity
    ? { code, retryAfter: cause.retryAfter }
    : { code };
}
