export type { HttpOptions } from "../http/options.js";
export { clientKey } from "../http/client-key.js";
export type { HonoContext, HonoMiddleware, HonoResponse, RateLimitVariables } from "./rate-limit.js";
export { rateLimit } from "./rate-limit.js";
