import type { NextFunction, Request, Response } from "express";
import express from "express";
import express4 from "express4";
import { rateLimit } from "sluicegate/express";
import type { Rig } from "../rig.js";
import { createServerFor, served } from "../rig.js";

const rigOf = (createApp: typeof express): Rig => ({
  header: (request: Request, name) => request.get(name),
  respond: (_, body, [response]: readonly Response[]) => response?.send(body),
  serve: (limits, handler, protocol, before = {}) => {
    const app = createApp();
    app.use((_: Request, response: Response, next: () => void) => {
      response.set(before);
      next();
    });
    for (const options of limits) app.use(rateLimit(options));
    app.use((request: Request, response: Response, next: NextFunction) => {
      // Express 4 ignores a promise that a handler returns.
      Promise.resolve(handler(request.path, request.rateLimit)).then(
        ({ status, body }) => response.status(status).send(body),
        next,
      );
    });
    return served(createServerFor(protocol, app));
  },
});

export const onExpress = rigOf(express);
export const onExpress4 = rigOf(express4);
