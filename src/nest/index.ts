export { clientKey } from "../http/client-ip.js";
export type { NestRequest, RequestOf } from "./context.js";
export { requestOf } from "./context.js";
export type { DeclaredLimitOptions, LimiterStore } from "./declared-limit.js";
export { RateLimit, SkipRateLimit } from "./decorators.js";
export { RateLimitException } from "./exceptions.js";
export { RateLimitGuard } from "./guard.js";
export { RateLimitModule } from "./module.js";
export type { DefaultLimits, NestAsyncOptions, NestOptions } from "./options.js";
