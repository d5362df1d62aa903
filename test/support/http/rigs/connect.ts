import type { IncomingMessage, ServerResponse } from "node:http";
import connect from "connect";
import type { ConnectRequest } from "sluicegate/node";
import { rateLimit } from "sluicegate/node";
import type { Rig } from "../rig.js";
import { createServerFor, served } from "../rig.js";

export const onConnect: Rig = {
  header: (request: IncomingMessage, name) => request.headers[name] as string | undefined,
  respond: (_, body, [response]: readonly ServerResponse[]) => response?.end(body),
  serve: (limits, handler, protocol, before = {}) => {
    const app = connect();
    app.use((_, response, next: () => void) => {
      for (const [name, value] of Object.entries(before)) response.setHeader(name, value);
      next();
    });
    for (const options of limits) app.use(rateLimit(options));
    app.use((request, response, next: (error: unknown) => void) => {
      Promise.resolve(handler(request.url ?? "", (request as ConnectRequest).rateLimit)).then(({ status, body }) => {
        response.statusCode = status;
        response.end(body);
      }, next);
    });
    return served(createServerFor(protocol, app));
  },
};
