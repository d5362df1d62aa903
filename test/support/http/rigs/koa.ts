import type { Context } from "koa";
import Koa from "koa";
import Koa2 from "koa2";
import type { RateLimitState } from "sluicegate/koa";
import { rateLimit } from "sluicegate/koa";
import type { Rig } from "../rig.js";
import { createServerFor, served } from "../rig.js";

const rigOf = (App: typeof Koa): Rig => ({
  isPlain: true,
  header: (context: Context, name) => context.get(name) || undefined,
  respond: (context: Context, body) => {
    context.body = body;
  },
  serve: (limits, handler, protocol, before = {}) => {
    const app = new App<RateLimitState>();
    app.silent = true;
    app.use((context, next) => {
      context.set(before);
      return next();
    });
    for (const options of limits) app.use(rateLimit(options));
    app.use(async (context) => {
      const { status, body } = await handler(context.path, context.state.rateLimit);
      context.status = status;
      context.body = body;
    });

    return served(createServerFor(protocol, app.callback()));
  },
});

export const onKoa = rigOf(Koa);
export const onKoa2 = rigOf(Koa2);
