import type { ExecutionContext, FactoryProvider, ModuleMetadata } from "@nestjs/common";
import type { Decision } from "../core/decision.js";
import type { ByClient, ByKey, BySeveral, CommonOptions, MaybePromise } from "../http/options.js";
import type { WaitOptions } from "../limiter/acquire-options.js";
import type { RequestOf } from "./context.js";
import type { LimiterStore } from "./declared-limit.js";

/**
 * Options of `RateLimitModule`. The callbacks receive the `ExecutionContext`; `requestOf(context)` is its request.
 *
 * @typeParam K - the keys of the limiter.
 */
export type NestOptions<K extends string = string> = DefaultLimits<K> &
  Omit<CommonOptions<ExecutionContext, readonly []>, "onRefused" | "throw" | "wait"> & {
    /**
     * Delays a call of `limiter` until it is admitted, in place of refusing it: an object with a `timeout`, the longest wait, and a
     * `maxQueue`, the most calls of a key that may wait. Limits that decorators select do not wait. It is a `TypeError` together
     * with `limiters`.
     * @default a call does not wait
     */
    readonly wait?: WaitOptions | undefined;
    /**
     * The store of the limits that decorators declare, such as a `RedisStore`.
     * @default the memory of the process
     */
    readonly store?: LimiterStore | undefined;
    /**
     * A function that returns the exception for a refusal, or a promise of it: `(context, decision) => new HttpException(…)`. It is
     * not called if the store fails.
     * @default a `RateLimitException`, or a `WsException` in a WebSocket
     */
    readonly onRefused?: ((context: ExecutionContext, decision: Decision) => MaybePromise<Error>) | undefined;
    /**
     * A function that returns the request of a context. It may be called several times for one context. If it returns undefined, the
     * call passes uncounted: return `{ headers: {} }` to count a context that has no request, by a `key`.
     * @default `requestOf`: the request of HTTP, GraphQL and WebSockets, and undefined for any other type of context
     */
    readonly requestOf?: RequestOf | undefined;
  };

/** The limits of handlers without `@RateLimit`: one limiter, those of `limiters`, or none. */
export type DefaultLimits<K extends string> =
  | ((ByClient<ExecutionContext> | ByKey<ExecutionContext, K>) & { readonly default?: undefined })
  | (BySeveral<ExecutionContext> & {
      /**
       * The names of the limits of handlers without `@RateLimit`.
       * @default all of `limiters`
       */
      readonly default?: readonly string[] | undefined;
    })
  | {
      readonly limiter?: undefined;
      readonly limiters?: undefined;
      readonly maxCalls?: undefined;
      readonly default?: undefined;
      /** The function that returns the key of a call, for the limits that decorators declare. */
      readonly key?: ((context: ExecutionContext) => MaybePromise<K | null>) | undefined;
    };

/** Options of `RateLimitModule.forRootAsync`. */
export interface NestAsyncOptions<K extends string = string> extends Pick<ModuleMetadata, "imports"> {
  /** The providers that `useFactory` receives. @default none */
  readonly inject?: FactoryProvider["inject"];
  /** A function that returns the options, or a promise of them. Required. */
  readonly useFactory: (...injected: never[]) => MaybePromise<NestOptions<K>>;
}
