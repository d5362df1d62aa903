import { ownCopy } from "../../core/validate.js";
import type { AnswerOptions, HttpOptions } from "../options.js";

/** Options of which any may be left out, because they go over others. */
export type RouteOptions<R, P, K extends string = string> =
  | HttpOptions<R, K, readonly [reply: P]>
  | (AnswerOptions<R, readonly [reply: P]> & {
      readonly key?: ((request: R) => K | null | PromiseLike<K | null>) | undefined;
      readonly limiter?: undefined;
      readonly limiters?: undefined;
    });

/** Options of a route over those of the plugin: who is asked is one of them, so one way of asking replaces the other. */
export function over<O extends RouteOptions<never, never>>(plugin: O, route: O): O {
  const { limiter, limiters, key, ...rest } = ownCopy(plugin);
  const own = ownCopy(route);
  const asking = own.limiter !== undefined ? { key } : own.limiters !== undefined ? {} : { limiter, limiters, key };
  return ownCopy({ ...rest, ...asking, ...own });
}
