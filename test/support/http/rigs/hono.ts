import { getRequestListener } from "@hono/node-server";
import type { Context } from "hono";
import { Hono } from "hono";
import type { RateLimitVariables } from "sluicegate/hono";
import { rateLimit } from "sluicegate/hono";
import type { Rig } from "../rig.js";
import { createServerFor, served } from "../rig.js";

export const onHono: Rig = {
  header: (context: Context, name) => context.req.header(name),
  respond: (context: Context, body) => context.text(body),
  serve: (limits, handler, protocol, before = {}) => {
    const app = new Hono<{ Variables: RateLimitVariables }>();
    app.use(async (context, next) => {
      for (const [name, value] of Object.entries(before)) context.res.headers.set(name, value);
      await next();
    });
    for (const options of limits) app.use(rateLimit(options));
    app.all("*", async (context) => {
      const { status, body } = await handler(context.req.path, context.get("rateLimit"));
      return context.text(body, status as 200);
    });
    return served(createServerFor(protocol, getRequestListener(app.fetch)));
  },
};

/** Handlers that create their response without the context. Hono then drops fields that were set on the context. */
export const onHonoWithResponses: Rig = {
  ...onHono,
  respond: (_, body) => new Response(body, { status: 429 }),
  serve: (limits, handler, protocol, before = {}) => {
    const app = new Hono<{ Variables: RateLimitVariables }>();
    app.use(async (context, next) => {
      for (const [name, value] of Object.entries(before)) context.res.headers.set(name, value);
      await next();
    });
    for (const options of limits) app.use(rateLimit(options));
    app.all("*", async (context) => {
      const { status, body } = await handler(context.req.path, context.get("rateLimit"));
      return new Response(body, { status });
    });
    return served(createServerFor(protocol, getRequestListener(app.fetch)));
  },
};
