export type { IoredisLike, NodeRedisLike, RedisClient, Send } from "./client.js";
export type { RedisRateLimiterOptions } from "./redis-rate-limiter.js";
export { RedisRateLimiter } from "./redis-rate-limiter.js";
export type { RedisStoreOptions } from "./redis-store.js";
export { RedisStore } from "./redis-store.js";
