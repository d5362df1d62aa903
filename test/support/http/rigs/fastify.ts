import type { AddressInfo } from "node:net";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import fastify from "fastify";
import fastify4 from "fastify4";
import { rateLimit } from "sluicegate/fastify";
import type { Rig } from "../rig.js";
import { disconnecter } from "../rig.js";

const rigOf = (createApp: typeof fastify): Rig => ({
  isPlain: true,
  header: (request: FastifyRequest, name) => request.headers[name] as string | undefined,
  respond: (_, body, [reply]: readonly FastifyReply[]) => reply?.send(body),
  serve: async (limits, handler, protocol, before = {}) => {
    const app = (protocol === "HTTP/1.1" ? createApp() : createApp({ http2: true })) as FastifyInstance;
    const disconnect = disconnecter(app.server);
    app.addHook("onRequest", async (_, reply) => void reply.headers(before));
    for (const options of limits) await app.register(rateLimit, options);
    app.all("/*", async (request, reply) => {
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

export const onFastify = rigOf(fastify);
export const onFastify4 = rigOf(fastify4 as unknown as typeof fastify);
