export type { HttpOptions } from "../http/options.js";
export { clientKey } from "../http/client-key.js";
export type { KoaContext, KoaMiddleware, RateLimitState } from "./rate-limit.js";
export { rateLimit } from "./rate-limit.js";
