/**
 * Paces outgoing calls to an API that admits 5 calls a second. Twelve calls start at the same time; each waits until it is admitted, and
 * the program prints when it reached the server.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AsyncRateLimiter, rateLimited } from "sluicegate";

const arrivals: number[] = [];
const api = createServer((request, response) => {
  arrivals.push(performance.now());
  response.end(`forecast for ${request.url ?? ""}`);
}).listen(0, "127.0.0.1");
await once(api, "listening");
const host = `127.0.0.1:${(api.address() as AddressInfo).port}`;

// Warm up: the first call of a process takes much longer to reach the server than later ones.
await (await fetch(`http://${host}/`)).text();
arrivals.length = 0;

// Slightly below the limit of the API, because the time to reach the server varies.
const outgoing = new AsyncRateLimiter({ maxCalls: 5, period: "1300ms", bypass: false });
const forecast = rateLimited(outgoing, (host: string) => host, { wait: { timeout: "10s" } })(
  async (host: string, city: string) => (await fetch(`http://${host}/${city}`)).text(),
);

const cities = Array.from({ length: 12 }, (_, at) => `city-${at + 1}`);
await Promise.all(cities.map((city) => forecast(host, city)));
api.close();
api.closeAllConnections();

const [first = 0] = arrivals;
for (const [at, arrival] of arrivals.entries()) {
  const ms = Math.round(arrival - first);
  console.log(`${String(at + 1).padStart(2)} ${String(ms).padStart(5)} ms ${" ".repeat(Math.round(ms / 50))}*`);
}
const most = Math.max(...arrivals.map((start) => arrivals.filter((at) => at >= start && at < start + 1000).length));
console.log(`Most calls in any second: ${most} of 5 allowed.`);
process.exitCode = most > 5 ? 1 : 0;
