import type { CanActivate, ExecutionContext } from "@nestjs/common";
import { Inject, Injectable } from "@nestjs/common";
import { memberOf, typeError } from "../core/validate.js";
import type { HeaderEntry } from "../http/headers.js";
import type { Outcome } from "../http/pipeline.js";
import { appendHeader, callbackError } from "../http/pipeline.js";
import { closeSignal, whenSent } from "../http/response-end.js";
import type { NestResponse } from "./context.js";
import { nodeResponseOf, responseOf } from "./context.js";
import { exceptionOf } from "./exceptions.js";
import type { NestLimiter } from "./route-limits.js";
import { RouteLimits } from "./route-limits.js";

/** The property of a context that holds the limits which have counted the call. A WeakMap would slow the garbage collector. */
const COUNTED_BY = Symbol("sluicegate counted by");

/**
 * The guard that limits calls, by the options of `RateLimitModule`: bind it to the application by `APP_GUARD`, or to classes
 * and methods by `@UseGuards(RateLimitGuard)`. A call counts once, however often the guard is bound to it.
 *
 * A refusal is a `RateLimitException`. Errors of your code, such as an invalid `key`, are thrown as they are: Nest logs them, and
 * responds with 500.
 *
 * The headers show the limits in HTTP and GraphQL. The decision is `request.rateLimit`.
 *
 * @example
 * providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }]
 */
export class RateLimitGuard implements CanActivate {
  static {
    // What the decorators of a class compiled by TypeScript do. The types of the parameters are not emitted.
    Injectable()(this);
    Inject(RouteLimits)(this, undefined, 0);
  }

  readonly #limits: RouteLimits;

  constructor(limits: RouteLimits) {
    this.#limits = limits;
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const limiter = this.#limits.of(context.getHandler(), context.getClass());
    if (limiter === undefined) return true;
    const request = this.#limits.requestOf(context);
    if (request === undefined) return true;
    // Nest passes one context to all guards of a call.
    if (Reflect.get(context, COUNTED_BY) === this.#limits) return true;
    Reflect.set(context, COUNTED_BY, this.#limits);
    const response = responseOf(context);
    const signal = limiter.waits && response !== undefined ? closeSignal(nodeResponseOf(response)) : undefined;
    const outcome = await withErrors(() => limiter.handle(context, signal));
    if (outcome.decision !== undefined) request.rateLimit = outcome.decision;
    if (response !== undefined) applyTo(response, outcome, context);
    if (outcome.rejection === undefined) return true;
    throw (await ownException(limiter, outcome, context)) ?? (await exceptionOf(context, outcome.rejection));
  }
}

/** Calls `onRefused`; undefined if there is none, or no limit refused the call. */
async function ownException(
  { onRefused }: NestLimiter,
  { decision }: Outcome,
  context: ExecutionContext,
): Promise<Error | undefined> {
  if (onRefused === undefined || decision === undefined) return undefined;
  const exception = await withErrors(() => onRefused(context, decision));
  if (exception instanceof Error) return exception;
  throw typeError("onRefused(context, decision)", "an exception", exception);
}

/** Sets the fields of the response, and reports when it has been sent. */
function applyTo(response: NestResponse, { fields, rejection, onResponse }: Outcome, context: ExecutionContext): void {
  const nodeResponse = nodeResponseOf(response);
  if (nodeResponse.headersSent) return;
  for (const field of fields) {
    // The resolvers of a GraphQL operation share a response: each would add the same limits to the lists again.
    const isLatest = context.getType<string>() === "graphql" && field[0].startsWith("RateLimit");
    setField(response, field[0], isLatest ? field[1] : appendHeader(field, response.getHeader(field[0])));
  }
  for (const [name, value] of rejection?.fields ?? []) setField(response, name, value);
  if (onResponse !== undefined) whenSent(nodeResponse, onResponse);
}

function setField(response: NestResponse, ...field: HeaderEntry): void {
  if (memberOf(response, "setHeader") === undefined) response.header?.(...field);
  else response.setHeader?.(...field);
}

/** Converts any value that `run` throws to an error. */
async function withErrors<T>(run: () => T | PromiseLike<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw callbackError(error);
  }
}
