import { getRequestListener } from "@hono/node-server";
import type { RateLimitExceededError } from "sluicegate";
import type { FetchHandler } from "sluicegate/fetch";
import { rateLimit, rateLimitOf } from "sluicegate/fetch";
import type { Rig } from "../rig.js";
import { createServerFor, served } from "../rig.js";

export const onFetch: Rig = {
  isPlain: true,
  header: (request: Request, name) => request.headers.get(name) ?? undefined,
  respond: (_, body) => new Response(body, { status: 429 }),
  serve: (limits, handler, protocol, before = {}) => {
    let fetch: FetchHandler<Request, Response, readonly [env: unknown]> = async (request) => {
      const { status, body } = await handler(new URL(request.url).pathname, rateLimitOf(request));
      return new Response(body, { status, headers: before });
    };
    for (const options of [...limits].reverse()) fetch = rateLimit(options)(fetch);
    return served(
      createServerFor(
        protocol,
        getRequestListener(async (request, env) => {
          try {
            return await fetch(request, env);
          } catch (error) {
            const { status = 500, headers = {} } = error as Partial<RateLimitExceededError> & { headers?: object };
            return new Response("failed\n", { status, headers: { ...headers } });
          }
        }),
      ),
    );
  },
};
