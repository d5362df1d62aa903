import type { Request, Response } from "express";
import express from "express";
import { rateLimit } from "sluicegate/express";
import type { Rig } from "../rig.js";
import { createServerFor, served } from "../rig.js";

export const onExpress: Rig = {
  header: (request: Request, name) => request.get(name),
  respond: (_, body, [response]: readonly Response[]) => response?.send(body),
  serve: (limits, handler, protocol) => {
    const app = express();
    for (const options of limits) app.use(rateLimit(options));
    app.use(async (request: Request, response: Response) => {
      const { status, body } = await handler(request.path, request.rateLimit);
      response.status(status).send(body);
    });
    return served(createServerFor(protocol, app));
  },
};
