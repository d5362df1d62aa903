// Types only. Fastify requires plugins to declare what they add by merging into its interfaces.
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
import type { CommonOptions, HttpOptions } from "../options.js";

declare module "fastify" {
  interface FastifyRequest {
    /** The latest decision on this request; null if no limit applied. */
    rateLimit: Decision | null;
  }
  interface FastifyContextConfig {
    /**
     * Options of this route, or of this not-found handler, which override those of the nearest registration of `rateLimit`. The
     * registrations further out count its requests as well. `false` switches off all of them.
     */
    rateLimit?: FastifyOptions | false | undefined;
  }
  // Merged interfaces must have the same type parameters.
  interface FastifyInstance<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
  > {
    /** Sets the not-found handler with a `config`, which fastify accepts but its types omit. */
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

/** Options of a route, which override those of the plugin. All are optional. */
export type RouteOptions<R, P, K extends string = string> =
  | HttpOptions<R, K, readonly [reply: P]>
  | (CommonOptions<R, readonly [reply: P]> & {
      /** The function that returns the key of a request for the limiter of the plugin. */
      readonly key?: ((request: R) => K | null | PromiseLike<K | null>) | undefined;
      readonly limiter?: undefined;
      readonly limiters?: undefined;
    });

/**
 * Options of the plugin, and of a route in `config.rateLimit`. If the plugin has no limiter, it limits only routes that have one.
 *
 * The type of keys is `any`: fastify infers the types of options only from plugins without type parameters, and with `string`
 * a limiter of narrower keys would not be assignable.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as explained above
export type FastifyOptions = RouteOptions<FastifyRequest, FastifyReply, any>;

export type { FastifyContextConfig, FastifyReply, FastifyRequest };
