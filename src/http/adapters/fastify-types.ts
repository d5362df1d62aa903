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
     * registrations further out count its requests as well, unless `replaces` says otherwise. `false` switches off all of them.
     */
    rateLimit?: FastifyRouteOptions | false | undefined;
  }
  // Merged interfaces must have the same type parameters.
  interface FastifyInstance<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
  > {
    /**
     * Creates a hook that limits one handler, in addition to the registrations around it:
     * `preHandler: [authenticate, app.rateLimit({ limiter, key })]`. Options that are absent are those of the nearest registration.
     *
     * Without options, it is the limit of the nearest registration itself, which counts a request once: for a route whose
     * `config.rateLimit` is `false`.
     *
     * @throws TypeError for an option that is unknown or of the wrong type, or if neither the options nor the registration has a
     *   limiter; RangeError for an option out of range.
     */
    rateLimit(options?: FastifyHandlerOptions): FastifyLimitHook;

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
 * Options of `app.rateLimit`.
 *
 * The type of keys is `any`: fastify infers the types of options only from plugins without type parameters, and with `string`
 * a limiter of narrower keys would not be assignable.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as explained above
export type FastifyHandlerOptions = RouteOptions<FastifyRequest, FastifyReply, any>;

/** The phases of a request in which a limit can run, in their order. */
export type HookName = "onRequest" | "preParsing" | "preValidation" | "preHandler";

/** Options of the plugin. If the plugin has no limiter, it limits only routes that have one. */
export type FastifyOptions = FastifyHandlerOptions & {
  /**
   * The phase in which the limit runs, after the hooks of the app that were added before the plugin and before the hooks of a
   * route. From `preParsing` on `onRequest` hooks have run, from `preValidation` on `request.body` is read, and in `preHandler`
   * it is validated: an invalid request is then refused without being counted.
   * @default "onRequest"
   */
  readonly hook?: HookName | undefined;
};

/** Options of a route in `config.rateLimit`. */
export type FastifyRouteOptions = FastifyHandlerOptions & {
  /**
   * The phase in which the limit of this route runs, after the hooks that the route itself has in this phase. In a not-found
   * handler it is a `TypeError` for each request: there `app.rateLimit` creates a hook.
   * @default the phase of the registration, before the hooks of the route
   */
  readonly hook?: HookName | undefined;
  /**
   * Which limits around the route the limit of the route replaces: `"nearest"` for that of the nearest registration, `"all"` for
   * those of all registrations, `"none"` if it counts in addition to all of them. With `"none"`, a limiter is required.
   * @default "nearest"
   */
  readonly replaces?: "nearest" | "all" | "none" | undefined;
};

/** A hook that `app.rateLimit` creates, for each of the phases of {@link HookName}. */
export type FastifyLimitHook = (request: object, reply: object, ...rest: unknown[]) => void;

export type { FastifyContextConfig, FastifyReply, FastifyRequest };
