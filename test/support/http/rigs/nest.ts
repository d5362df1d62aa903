import type { ArgumentsHost, ExecutionContext } from "@nestjs/common";
import { All, Catch, Controller, HttpException, Req, Res } from "@nestjs/common";
import type { AbstractHttpAdapter } from "@nestjs/core";
import { APP_GUARD, BaseExceptionFilter } from "@nestjs/core";
import { ExpressAdapter } from "@nestjs/platform-express";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import express from "express";
import type { NestOptions, NestRequest } from "sluicegate/nest";
import { RateLimitException, RateLimitGuard, RateLimitModule, requestOf } from "sluicegate/nest";
import { RouteLimits } from "../../../../src/nest/route-limits.js";
import { createApp, decorateClass, decorateMethod, listen } from "../nest.js";
import type { Handler, Protocol, Rig } from "../rig.js";
import { disconnecter } from "../rig.js";

/** The fields that every response has before the limits. */
type Fields = Readonly<Record<string, string>>;

/** The members of a response of Express or Fastify that the rig uses. */
interface Response {
  status(code: number): Response;
  header(name: string, value: string): unknown;
  send(body: string | Uint8Array): unknown;
}

/** Responds with the problem of a refusal, and with the text of any other exception of Nest. */
class ProblemFilter extends BaseExceptionFilter {
  override catch(exception: unknown, host: ArgumentsHost): void {
    if (!(exception instanceof HttpException)) return super.catch(exception, host);
    const response = host.switchToHttp().getResponse<Response>();
    const problem = exception instanceof RateLimitException ? exception.problem : undefined;
    if (problem !== undefined) response.header("Content-Type", "application/problem+json");
    // Bytes, because fastify adds a charset to a text.
    response.status(exception.getStatus()).send(Buffer.from(problem ?? exception.message));
  }
}
decorateClass(ProblemFilter, Catch());

function controllerOf(handler: Handler, everyPath: string): new () => object {
  class AnyController {
    async handle(request: NestRequest, response: Response): Promise<void> {
      const { status, body } = await handler(request.url ?? "", request.rateLimit);
      response.status(status).send(body);
    }
  }
  decorateMethod(AnyController, "handle", All(["/", everyPath]));
  Req()(AnyController.prototype, "handle", 0);
  Res()(AnyController.prototype, "handle", 1);
  decorateClass(AnyController, Controller());
  return AnyController;
}

/** @param everyPath - the path of a route for every path but `/`. */
function rigOn(everyPath: string, createAdapter: (protocol: Protocol, before: Fields) => AbstractHttpAdapter): Rig {
  return {
    // The handler is decorated with `@All`.
    isPlain: true,
    header: (context: ExecutionContext, name) => requestOf(context)?.headers[name] as string | undefined,
    respond: (_, body) => new HttpException(body, 429),
    serve: async (limits, handler, protocol, before = {}) => {
      const [first = {}, ...others] = limits as readonly NestOptions[];
      const app = await createApp(
        {
          imports: [RateLimitModule.forRoot(first)],
          controllers: [controllerOf(handler, everyPath)],
          providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
        },
        createAdapter(protocol, before),
        { bodyParser: false },
      );
      app.useGlobalGuards(...others.map((options) => new RateLimitGuard(new RouteLimits(options))));
      app.useGlobalFilters(new ProblemFilter(app.getHttpAdapter()));
      const server = app.getHttpServer() as Parameters<typeof disconnecter>[0];
      const disconnect = disconnecter(server);
      return {
        port: await listen(app),
        disconnect,
        close: () => {
          disconnect();
          return app.close();
        },
      };
    },
  };
}

export const onNestWithExpress = rigOn("*path", (_, before) => {
  const app = express();
  app.use((_request, response, next) => {
    response.set(before);
    next();
  });
  return new ExpressAdapter(app);
});

export const onNestWithFastify = rigOn("*", (protocol, before) => {
  const adapter = protocol === "HTTP/1.1" ? new FastifyAdapter() : new FastifyAdapter({ http2: true } as never);
  const app = adapter.getInstance();
  app.addHook("onRequest", async (_, reply) => void reply.headers(before));
  // The guard runs after the body is parsed, and clients of the suite hang up within a body.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _body, done) => done(null));
  return adapter;
});
