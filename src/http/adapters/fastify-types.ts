// Types alone, and nothing of it is left when this is compiled: this is where fastify has plugins declare what they add.
import type {
  ContextConfigDefault,
  FastifyBaseLogger,
  FastifyContextConfig,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  FastifyTypeProvider,
  FastifyTypeProviderDefault,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RawServerDefault,
  RouteGenericInterface,
  RouteHandlerMethod,
} from "fastify";
import type { Decision } from "../../core/decision.js";
import type { RouteOptions } from "./fastify-options.js";

declare module "fastify" {
  interface FastifyRequest {
    /** The latest decision on this request; null where none was asked for. */
    rateLimit: Decision | null;
  }
  interface FastifyContextConfig {
    /**
     * Options of this route, or of this not-found handler, over those of the nearest registration of `rateLimit`; the
     * registrations further out count its requests as well. `false` switches off all of them.
     */
    rateLimit?: FastifyOptions | false | undefined;
  }
  // The type parameters are those of fastify, as the merging of interfaces requires.
  interface FastifyInstance<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
  > {
    /** Sets the 404 handler with a `config`, which fastify takes and its own types leave out. */
    setNotFoundHandler(
      options: { config: FastifyContextConfig },
      handler: RouteHandlerMethod<
        RawServer,
        RawRequest,
        RawReply,
        RouteGenericInterface,
        ContextConfigDefault,
        FastifySchema,
        TypeProvider,
        Logger
      >,
    ): this;
  }
}

/**
 * Options of the plugin, without a limiter for one that leaves all to the routes, and of a route, in `config.rateLimit`.
 *
 * What `key` returns is a string of any kind: fastify infers the types of options from plugins that have no type parameter,
 * and a limiter of narrower keys would be refused here together with the key that it asks for.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as said
export type FastifyOptions = RouteOptions<FastifyRequest, FastifyReply, any>;

export type { FastifyContextConfig, FastifyReply, FastifyRequest };
