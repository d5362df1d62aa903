export type { HttpOptions } from "../http/options.js";
export { clientKey } from "../http/client-key.js";
export type { FastifyOptions } from "./fastify-types.js";
export type { FastifyLike } from "./rate-limit.js";
export { rateLimit } from "./rate-limit.js";
export type { RouteOptions } from "./route-options.js";
