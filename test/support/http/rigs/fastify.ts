import type { AddressInfo } from "node:net";
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from "fastify";
import fastify from "fastify";
import fastify4 from "fastify4";
import { rateLimit } from "sluicegate/fastify";
import type { AnyOptions, Rig } from "../rig.js";
import { disconnecter } from "../rig.js";

/** Adds the limits to an app, and returns the options of its route. */
type AddLimits = (app: FastifyInstance, limits: readonly AnyOptions[]) => Promise<RouteShorthandOptions>;

const byPlugin: AddLimits = async (app, limits) => {
  for (const options of limits) await app.register(rateLimit, options);
  return {};
};

const byHooksOfRoute: AddLimits = async (app, limits) => {
  await app.register(rateLimit);
  return { preParsing: limits.map((options) => app.rateLimit(options)) };
};

const rigOf = (createApp: typeof fastify, addLimits: AddLimits): Rig => ({
  isPlain: true,
  header: (request: FastifyRequest, name) => request.headers[name] as string | undefined,
  respond: (_, body, [reply]: readonly FastifyReply[]) => reply?.send(body),
  serve: async (limits, handler, protocol, before = {}) => {
    const app = (protocol === "HTTP/1.1" ? createApp() : createApp({ http2: true })) as FastifyInstance;
    const disconnect = disconnecter(app.server);
    app.addHook("onRequest", async (_, reply) => void reply.headers(before));
    app.all("/*", await addLimits(app, limits), async (request, reply) => {
      const { status, body } = await handler(request.url, request.rateLimit);
      return reply.code(status).send(body);
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    return {
      port: (app.server.address() as AddressInfo).port,
      disconnect,
      close: () => {
        disconnect();
        return app.close();
      },
    };
  },
});

export const onFastify = rigOf(fastify, byPlugin);
export const onFastifyRoute = rigOf(fastify, byHooksOfRoute);
export const onFastify4 = rigOf(fastify4 as unknown as typeof fastify, byPlugin);
