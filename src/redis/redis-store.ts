import { parseOptions } from "../core/validate.js";
import type { RemoteStoreOptions } from "../store/remote/remote-store.js";
import { REMOTE_OPTIONS, REMOTE_RENAMED, RemoteStore } from "../store/remote/remote-store.js";
import type { RedisClient } from "./clients.js";
import { connectionOf } from "./clients.js";
import { RedisBackend } from "./redis-backend.js";

/** Options of a {@link RedisStore}, and of a `RedisRateLimiter` about its store. */
export interface RedisStoreOptions extends RemoteStoreOptions {
  /**
   * A client of ioredis, iovalkey, node-redis, valkey-glide, Upstash or Bun, of one server, a sentinel or a cluster; or a
   * function that sends a command. Its connection stays yours.
   */
  readonly client: RedisClient;
}

/** The names of a {@link RedisStoreOptions}. */
export const REDIS_OPTIONS: readonly string[] = ["client", ...REMOTE_OPTIONS];

/** Options of other packages, with their names here. */
export const REDIS_RENAMED: Readonly<Record<string, string>> = {
  storeClient: "client",
  redis: "client",
  ...REMOTE_RENAMED,
};

/**
 * Keeps the logs of a fleet in Redis (6.2 or newer): one exact limit for all processes, by the server's clock.
 *
 * Each method is one run of one script, on one key, in one round trip, however many limits there are; so is `allOf`, on all of
 * its keys. Every key expires with its newest call. While Redis is unreachable, `whenDown` decides, with `source: "fallback"`;
 * Redis does not learn of the calls that it admits. After three consecutive failures no command is sent for one second.
 *
 * @example
 * const store = new RedisStore({ client: new Redis() });
 * const guard = new DOSProtectionLimiter({ store });
 */
export class RedisStore extends RemoteStore {
  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: RedisStoreOptions) {
    const checked = parseOptions("options", options, REDIS_OPTIONS, REDIS_RENAMED);
    super(checked, checked.client, (client) => new RedisBackend(connectionOf(client)));
  }
}
