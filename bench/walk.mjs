// How far one call travels: the files of the package that it enters, and the functions and calls in them, by V8's precise coverage.
// `npm run build && node bench/walk.mjs`
import { Session } from "node:inspector/promises";
import { AsyncRateLimiter } from "../dist/esm/index.js";
import { rateLimit } from "../dist/esm/http/adapters/express.js";
import { RedisRateLimiter } from "../dist/esm/redis/index.js";
import { table } from "./stats.mjs";

const session = new Session();
session.connect();
await session.post("Profiler.enable");
await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });

/** What runs of the package while `run` does. */
async function walk(name, run) {
  await session.post("Profiler.takePreciseCoverage");
  await run();
  const { result } = await session.post("Profiler.takePreciseCoverage");
  const entered = result
    .filter(({ url }) => url.includes("/dist/esm/"))
    .map(({ functions }) => functions.filter(({ functionName, ranges }) => functionName !== "" && ranges[0].count > 0))
    .filter((functions) => functions.length > 0);
  const functions = entered.flat();
  const calls = functions.reduce((sum, { ranges }) => sum + ranges[0].count, 0);
  return [name, String(entered.length), String(functions.length), String(calls)];
}

const limiter = new AsyncRateLimiter({ maxCalls: 4, period: "1h", bypass: false });
const ignore = () => undefined;
const request = () => ({ method: "GET", url: "/", headers: {}, socket: { remoteAddress: "203.0.113.7" } });
const response = () => ({
  statusCode: 200,
  headersSent: false,
  getHeader: ignore,
  setHeader: ignore,
  once: ignore,
  end: ignore,
});
const middleware = rateLimit({ limiter: new AsyncRateLimiter({ maxCalls: 4, period: "1h", bypass: false }) });
const serve = () => new Promise((resolve) => middleware(request(), response(), resolve));
// Answers as the script does to a call that is admitted.
const client = async ([, , , , , verb]) => (verb === "admit" ? 1 : "1 1 1000 0 1 0 3600000");
const redis = new RedisRateLimiter({ maxCalls: 4, period: "1h", client, bypass: false });

await limiter.isAllowed("ada");
await limiter.check("ada");
await serve();
await redis.check("ada").catch((error) => console.error(error));
const rows = [
  await walk("isAllowed, admitted", () => limiter.isAllowed("ada")),
  await walk("check, admitted", () => limiter.check("ada")),
  await walk("isAllowed, refused", () => limiter.isAllowed("ada", { cost: 4 })),
  await walk("an express request, admitted", serve),
  await walk("RedisRateLimiter.check, admitted", () => redis.check("ada")),
];
console.log(table(["call", "files", "functions", "calls"], rows));
