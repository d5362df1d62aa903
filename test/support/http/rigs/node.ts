import type { IncomingMessage, ServerResponse } from "node:http";
import type { RateLimitExceededError } from "sluicegate";
import type { ConnectRequest } from "sluicegate/node";
import { rateLimit } from "sluicegate/node";
import type { Rig } from "../rig.js";
import { createServerFor, served } from "../rig.js";

export const onNode: Rig = {
  isPlain: true,
  header: (request: IncomingMessage, name) => request.headers[name] as string | undefined,
  respond: (_, body, [response]: readonly ServerResponse[]) => response?.end(body),
  serve: (limits, handler, protocol, before = {}) => {
    const chain = limits.map((options) => rateLimit(options));
    const server = createServerFor(protocol, (request, response) => {
      const failed = (error: unknown): void => {
        const { status = 500, headers = {} } = error as Partial<RateLimitExceededError & { headers: object }>;
        if (response.headersSent) response.destroy();
        else response.writeHead(status, { ...headers }).end("failed\n");
      };
      const step = (at: number): void => {
        const limit = chain[at];
        if (limit !== undefined) {
          return limit(request, response, (error) => (error === undefined ? step(at + 1) : failed(error)));
        }
        // A handler that throws before it returns throws out of `next`.
        Promise.resolve(handler(request.url ?? "", (request as ConnectRequest).rateLimit)).then(({ status, body }) => {
          response.writeHead(status).end(body);
        }, failed);
      };
      for (const [name, value] of Object.entries(before)) response.setHeader(name, value);
      step(0);
    });
    return served(server);
  },
};
