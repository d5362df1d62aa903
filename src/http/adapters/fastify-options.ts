import { ownCopy } from "../../core/validate.js";
import type { AnswerOptions, HttpOptions } from "../options.js";

/** Options of a route, which override those of the plugin. All are optional. */
export type RouteOptions<R, P, K extends string = string> =
  | HttpOptions<R, K, readonly [reply: P]>
  | (AnswerOptions<R, readonly [reply: P]> & {
      readonly key?: ((request: R) => K | null | PromiseLike<K | null>) | undefined;
      readonly limiter?: undefined;
      readonly limiters?: undefined;
    });

/**
 * Merges the options of a route over those of the plugin. The choice of limiters is one option: `limiter` replaces `limiters`,
 * and vice versa.
 */
export function mergeRouteOptions<O extends RouteOptions<never, never>>(plugin: O, route: O): O {
  const { limiter, limiters, key, ...rest } = ownCopy(plugin);
  const own = ownCopy(route);
  const inherited = own.limiter !== undefined ? { key } : own.limiters !== undefined ? {} : { limiter, limiters, key };
  return ownCopy({ ...rest, ...inherited, ...own });
}
