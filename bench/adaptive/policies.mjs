import { availableParallelism, freemem, loadavg, totalmem } from "node:os";
import { AdaptiveRateLimiter } from "../../dist/esm/index.js";
import { LoadMonitor } from "../../dist/esm/load/index.js";

/** One key for all calls, as for a limit of the whole process. */
const KEY = "all";

/**
 * The compared policies. Each creates a limiter with a base limit in calls per second. The picture shows `factor`.
 *
 * @type {Record<string, (perSecond: number) => { admits: () => Promise<boolean>, factor: () => number }>}
 */
export const POLICIES = {
  "no limiter": () => ({ admits: async () => true, factor: () => 1 }),

  "thresholds on os.loadavg": (perSecond) => {
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: Math.round(perSecond), period: "1s", bypass: false });
    const follow = () =>
      limiter.adjustForLoad(Math.min(1, loadavg()[0] / availableParallelism()), 1 - freemem() / totalmem());
    setInterval(follow, 1000).unref();
    return { admits: () => limiter.isAllowed(KEY), factor: () => limiter.loadFactor };
  },

  "LoadMonitor, period 1s": (perSecond) => monitored(Math.round(perSecond), "1s"),
  "LoadMonitor, period 100ms": (perSecond) => monitored(Math.round(perSecond / 10), "100ms"),
};

function monitored(baseMaxCalls, period) {
  const limiter = new AdaptiveRateLimiter({ baseMaxCalls, period, load: new LoadMonitor(), bypass: false });
  return { admits: () => limiter.isAllowed(KEY), factor: () => limiter.loadFactor };
}
