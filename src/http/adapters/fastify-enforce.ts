import { utf8 } from "../../core/bytes.js";
import type { Decision } from "../../core/decision.js";
import { memberOf } from "../../core/validate.js";
import type { HeaderEntry } from "../headers.js";
import { EXPOSE_HEADERS } from "../headers.js";
import { warnIfUnanswered } from "../misuse.js";
import type { HttpOptions } from "../options.js";
import type { Outcome } from "../pipeline.js";
import { HttpRateLimiter, PROBLEM_TYPE, appendHeader, callbackError, closing, runWithCallback } from "../pipeline.js";
import type { RequestView } from "../request-view.js";
import { nodeRequestView } from "../request-view.js";
import { whenSent } from "../response-end.js";
import type { FastifyReply, FastifyRequest } from "./fastify-types.js";

/** A limiter of the requests of fastify. */
export type FastifyLimiter = HttpRateLimiter<FastifyRequest, readonly [reply: FastifyReply]>;

/** Continues after a hook, or calls the error handler. */
export type Done = (error?: Error) => void;

const requestView: RequestView<FastifyRequest> = {
  ...nodeRequestView,
  // A route of several methods, such as `app.all`, has an array here; a route of one method a string, a not-found handler nothing.
  isPlain: ({ routeOptions }) => {
    const methods = memberOf(routeOptions, "method");
    return Array.isArray(methods) && methods.some((method) => method !== "OPTIONS");
  },
};

/** Creates a limiter. @throws TypeError or RangeError for invalid options. */
export function fastifyLimiter(
  options: HttpOptions<FastifyRequest, string, readonly [reply: FastifyReply]>,
): FastifyLimiter {
  return new HttpRateLimiter(options, requestView);
}

/**
 * Enforces a limiter on a request: continues, or responds. It uses a callback, because each promise of a hook slows fastify
 * noticeably.
 */
export function enforce(limiter: FastifyLimiter, request: FastifyRequest, reply: FastifyReply, done: Done): void {
  runWithCallback(limiter, request, reply.raw, (outcome) => proceed(limiter, outcome, request, reply, done), done);
}

function proceed(
  limiter: FastifyLimiter,
  { decision, fields, rejection, onResponse }: Outcome,
  request: FastifyRequest,
  reply: FastifyReply,
  done: Done,
): void {
  const isFirst = request.rateLimit === null;
  if (decision !== undefined) request.rateLimit = decision;
  // Other code has responded meanwhile, and the request ends there.
  if (reply.sent) return;
  setFields(reply, fields, isFirst);
  if (rejection === undefined) {
    if (onResponse !== undefined) whenSent(reply.raw, onResponse);
    return done();
  }
  setFields(reply, rejection.fields, true);
  if (limiter.throws && rejection.error !== undefined) return done(rejection.error((name) => reply.getHeader(name)));
  if (limiter.onRefused !== undefined && decision !== undefined) {
    const { raw } = reply;
    const before = raw.statusCode;
    // `reply.code` cannot be undone: fastify would prefer this status to that of a redirect or an error.
    raw.statusCode = rejection.status;
    callOnRefused(limiter.onRefused, request, decision, reply)
      .then(() => {
        if (limiter.warns && !reply.sent) warnIfUnanswered(raw);
      })
      .catch((error: unknown) => {
        if (raw.statusCode === rejection.status) raw.statusCode = before;
        done(callbackError(error));
      })
      .catch(closing(raw));
    return;
  }
  reply.code(rejection.status);
  reply.header("Content-Type", PROBLEM_TYPE);
  // Sent as bytes: fastify adds a charset to a text, and `application/problem+json` has no such parameter.
  reply.send(rejection.body === undefined ? undefined : utf8(rejection.body));
}

/** Calls `onRefused`, which sends the response or returns its payload. */
async function callOnRefused(
  onRefused: NonNullable<FastifyLimiter["onRefused"]>,
  request: FastifyRequest,
  decision: Decision,
  reply: FastifyReply,
): Promise<void> {
  const payload = await onRefused(request, decision, reply);
  // As with a handler of fastify, undefined means that the callback sends the response itself, now or later.
  if (payload !== undefined && payload !== reply && !reply.sent) reply.send(payload);
}

/** @param isFirst - no other limiter has set fields, so there are none to append to but those of CORS. */
function setFields(reply: FastifyReply, fields: readonly HeaderEntry[], isFirst: boolean): void {
  for (const field of fields) {
    const isOnly = isFirst && field[0] !== EXPOSE_HEADERS;
    reply.header(field[0], isOnly ? field[1] : appendHeader(field, reply.getHeader(field[0])));
  }
}
