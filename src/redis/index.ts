export type {
  BunRedisLike,
  GlideLike,
  IoredisClusterLike,
  IoredisLike,
  NodeRedisClusterLike,
  NodeRedisLike,
  NodeRedisSentinelLike,
  RedisClient,
  Send,
  UpstashLike,
} from "./clients.js";
export type { RedisRateLimiterOptions } from "./redis-rate-limiter.js";
export { RedisRateLimiter } from "./redis-rate-limiter.js";
export type { RedisStoreOptions } from "./redis-store.js";
export { RedisStore } from "./redis-store.js";
export { hashTagged } from "./redis-backend.js";
