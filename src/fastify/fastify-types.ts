// Types alone, and nothing of it is left when this is compiled: this is where fastify has plugins declare what they add.
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Decision } from "../core/decision.js";
import type { RouteOptions } from "./route-options.js";

declare module "fastify" {
  interface FastifyRequest {
    /** The latest decision on this request; null where none was asked for. */
    rateLimit: Decision | null;
  }
  interface FastifyContextConfig {
    /**
     * Options of this route, over those of the nearest `rateLimit` that its app has registered; false switches that off.
     */
    rateLimit?: FastifyOptions | false | undefined;
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

export type { FastifyReply, FastifyRequest };
