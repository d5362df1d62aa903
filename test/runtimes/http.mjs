import { makeReport } from "./report.mjs";

/**
 * Checks a route with a limit of two requests an hour for each client, which responds with the number of requests that are left.
 *
 * @param {(headers: Record<string, string>) => Promise<Response>} send - sends a request to the route.
 * @param {Record<string, string>[]} clients - the headers of each client, without any request yet.
 */
export async function conformHttp(send, clients) {
  const { is, result } = makeReport();
  for (const headers of clients) {
    for (const left of [1, 0]) {
      const passed = await send(headers);
      is("an allowed request", [passed.status, await passed.text()], [200, String(left)]);
      is("its limit", passed.headers.get("ratelimit"), `"2-in-1h";r=${left};t=3600`);
    }
    const refused = await send(headers);
    const { status } = JSON.parse(await refused.text());
    is("a refused request", [refused.status, status], [429, 429]);
    const fields = ["content-type", "retry-after", "cache-control", "ratelimit-policy"];
    is(
      "its fields",
      fields.map((name) => refused.headers.get(name)),
      ["application/problem+json", "3600", "no-store", `"2-in-1h";q=2;w=3600`],
    );
  }
  return result;
}

/** Two clients, by the header that the routes read. */
export const CLIENTS = [{ "x-client": "203.0.113.7" }, { "x-client": "2001:db8::1" }];
