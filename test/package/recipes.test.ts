import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request as httpRequest, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import fc from "fast-check";
import { buildSchema, executeSync, getIntrospectionQuery, parse } from "graphql";
import ts from "typescript";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { freePort } from "../support/free-port.js";
import { type Block, folderOf, readPages, scriptOf, writeProject } from "./pages.js";

const run = promisify(execFile);
const pages = readPages();
const project = join(inject("consumer"), "recipes");
/** The first program of the documentation that contains a text, wherever it is, with the folder that it is written to. */
function programWith(text: string): Block & { readonly folder: string } {
  for (const page of pages) {
    const block = page.blocks.find(({ code }) => code.includes(text));
    if (block !== undefined) return { ...block, folder: folderOf(project, page) };
  }
  throw new Error(`No program of the documentation contains ${text}`);
}

beforeAll(() => writeProject(project, inject("consumer"), pages));

describe("programs of the documentation, in cases that their pages cannot show", () => {
  it("serves every request without load, and responds with 503 to some under overload", async () => {
    const { folder, file } = programWith("of the limit\\n`");
    const port = await freePort();
    const service = spawn(process.execPath, [join(folder, scriptOf(file))], {
      env: { ...process.env, PORT: String(port) },
      stdio: "inherit",
    });
    const origin = `http://127.0.0.1:${port}`;
    try {
      const quiet = await patiently(() => fetch(origin));
      expect(await quiet.text()).toBe("Done, at 1.00 of the limit\n");
      const statuses = new Set<number>();
      const ask = async (): Promise<void> => {
        while (!statuses.has(503)) {
          const answer = await fetch(origin);
          await answer.text();
          statuses.add(answer.status);
        }
      };
      await Promise.all(Array.from({ length: 64 }, ask));
      expect([...statuses].sort()).toEqual([200, 503]);
    } finally {
      service.kill();
    }
  });

  it.each([
    ["Express", "ExpressAdapter", "@nestjs/platform-express"],
    ["Fastify", "FastifyAdapter", "@nestjs/platform-fastify"],
  ])("limits NestJS on %s, with refusals that are not logged", async (_, adapter, platform) => {
    const { folder } = programWith("RateLimitModule.forRoot(");
    const program = `
      import { Controller, Get, Module, Req } from "@nestjs/common";
      import { APP_GUARD, NestFactory } from "@nestjs/core";
      import { ${adapter} } from "${platform}";
      import { AsyncRateLimiter, StoreError } from "sluicegate";
      import { RateLimitGuard, RateLimitModule } from "sluicegate/nest";
      class Hello { hello(request) { return "remaining " + request.rateLimit?.remaining; } }
      Get()(Hello.prototype, "hello", Object.getOwnPropertyDescriptor(Hello.prototype, "hello"));
      Req()(Hello.prototype, "hello", 0);
      Controller()(Hello);
      let logged = 0;
      process.stderr.write = (text) => (logged += text.length, true);
      const pause = () => new Promise((resolve) => setTimeout(resolve, 1));
      const limiters = {
        memory: (memory) => memory,
        later: (memory) => ({ check: async (key, options) => (await pause(), memory.check(key, options)) }),
        down: () => ({ check: async () => (await pause(), Promise.reject(new StoreError("connection lost"))) }),
        broken: () => ({ check: async () => (await pause(), Promise.reject(new TypeError("no key"))) }),
      };
      for (const [name, wrapped] of Object.entries(limiters)) {
        const limiter = wrapped(new AsyncRateLimiter({ maxCalls: 100, period: "1m" }));
        logged = 0;
        class App {}
        Module({
          imports: [RateLimitModule.forRoot({ limiter })],
          controllers: [Hello],
          providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
        })(App);
        const app = await NestFactory.create(App, new ${adapter}(), { logger: ["fatal", "error", "warn"] });
        await app.listen(0, "127.0.0.1");
        const answers = [];
        for (let requests = 0; requests < 200; requests += 1) {
          const answer = await fetch(await app.getUrl());
          const [field = ""] = answer.headers.get("ratelimit")?.match(/r=\\d+/) ?? [];
          answers.push([answer.status, field, await answer.text()].join(" "));
        }
        console.log(JSON.stringify({ name, answers: [answers[0], answers[99], answers.at(-1)], logged }));
        await app.close();
      }
    `;
    const file = join(folder, `nest-${adapter}.js`);
    writeFileSync(file, program);
    const { stdout, stderr } = await run(process.execPath, [file], { cwd: folder });
    const passed = ["200 r=99 remaining 99", "200 r=0 remaining 0"];
    const refused = /^429 r=0 \{"statusCode":429,"message":"Rate limit exceeded: retry after \d+ s"\}$/;
    const down = /^503 {2}\{"statusCode":503,"message":"The store failed, so the request was refused"\}$/;
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
      { name: "memory", answers: [...passed, expect.stringMatching(refused)], logged: 0 },
      { name: "later", answers: [...passed, expect.stringMatching(refused)], logged: 0 },
      { name: "down", answers: Array(3).fill(expect.stringMatching(down)), logged: 0 },
      { name: "broken", answers: Array(3).fill(expect.stringMatching(/^500 /)), logged: expect.any(Number) as number },
    ]);
    expect(lines.at(-1)).not.toContain('"logged":0');
    expect(stderr).toBe("");
  });

  describe("prices GraphQL operations", () => {
    type CostOf = (body: unknown) => number;
    interface Operation {
      readonly query: string;
      readonly operationName?: string;
    }
    interface Yoga {
      fetch(request: Request, context: object): Promise<Response>;
    }
    const yogaUrl = "http://localhost/graphql";
    const costly = `{${"name ".repeat(1500)}}`;
    const posted = (type: string, body: string): Request =>
      new Request(yogaUrl, { method: "POST", headers: { "content-type": type }, body });
    let app: RequestListener;
    let costOf: CostOf;
    let budget: number;
    let resolved = 0;
    const root = Object.fromEntries(
      ["name", "age", "self"].map((field) => [
        field,
        (): unknown => {
          resolved += 1;
          // Execution can stop beyond the budget.
          if (resolved > 20 * budget) throw new Error("enough");
          return field === "self" ? root : 1;
        },
      ]),
    );
    const schema = buildSchema("type Query { name: String, age: Int, self: Query }");
    /** The number of fields that the executor of graphql resolves. Invalid documents are executed as well. */
    const resolvedBy = ({ query, operationName }: Operation): number => {
      resolved = 0;
      executeSync({ schema, document: parse(query), operationName, rootValue: root });
      return resolved;
    };
    const of = (query: string, operationName?: string): Operation => ({
      query,
      ...(operationName !== undefined && { operationName }),
    });
    const fragments = (levels: number, body: (next: string) => string, last: string): string =>
      Array.from({ length: levels }, (_, i) => `fragment F${i} on Query { ${body(`...F${i + 1}`)} }`).join(" ") + last;

    beforeAll(async () => {
      const cost = programWith("function costOf(");
      const { code, folder } = programWith("createHandler(");
      const [service = ""] = code.split(/^app\.listen\(/m);
      expect(service).not.toBe(code);
      const exported = `${service}\nexport { app };`;
      const { outputText } = ts.transpileModule(exported, { compilerOptions: { module: ts.ModuleKind.ESNext } });
      writeFileSync(join(folder, "graphql-app.js"), outputText);
      const load = (file: string): Promise<unknown> => import(pathToFileURL(join(folder, file)).href);
      ({ app } = (await load("graphql-app.js")) as { app: RequestListener });
      ({ BUDGET: budget, costOf } = (await load(scriptOf(cost.file))) as { BUDGET: number; costOf: CostOf });
    });

    it.each<[string, unknown, number]>([
      ["a field", of("{ name }"), 1],
      ["fields in fields", of("{ name self { name age } }"), 4],
      ["aliases", of("{ a: name b: name c: name }"), 3],
      ["a fragment at each spread", of("{ ...A self { ...A } } fragment A on Query { name age }"), 7],
      ["inline fragments", of("{ ... { name } ... on Query { age } }"), 4],
      [
        "the operation that is named",
        of("query A { name } query B { ...F self { ...F } } fragment F on Query { name age a: name b: name }", "B"),
        11,
      ],
      ["each operation when none is named", of("query A { name } query B { name age }"), 3],
      ["each operation when the name is unknown", of("query A { name } query B { name age }", "C"), 3],
      ["each operation of a batch", [of("{ name }"), of("{ name age }"), of("{ self { name } }")], 5],
      ["a batch of nothing", [], 1],
      ["a batch of no operations", [null, 1, "{ name }", [of("{ name }")], {}], 5],
      ["no body", undefined, 1],
      ["null", null, 1],
      ["no query", { operationName: "A" }, 1],
      ["a query that is no string", { query: ["{ name age }"] }, 1],
      ["a syntax error", of("{ name"), 1],
      ["a document without an operation", of("fragment A on Query { name age }"), 2],
      ["fields of an unselected operation", of("query A { name } query B { name age self { name } }", "A"), 5],
      ["fields of an unused fragment", of("{ name } fragment F on Query { self { name } age }"), 4],
      [
        "fields of an unused fragment in each operation of a batch",
        [of("{ name } fragment F on Query { age }"), of("{ name }")],
        3,
      ],
      ["the introspection of clients", of(getIntrospectionQuery()), expect.toSatisfy((cost) => cost < 500) as number],
    ])("by their selections: %s", (_, body, cost) => {
      expect(costOf(body)).toEqual(cost);
    });

    it.each<[string, () => unknown]>([
      [
        "fragments that double",
        () =>
          of(
            `{ ...F0 } ${fragments(12, (next) => `a: self { ${next} } b: self { ${next} }`, " fragment F12 on Query { name }")}`,
          ),
      ],
      [
        "fragments that double without a field",
        () => of(`{ ...F0 } ${fragments(18, (next) => `${next} ${next}`, "")}`),
      ],
      [
        "many fragments that double",
        () => of(`{ ...F0 } ${fragments(150, (next) => `${next} ${next}`, " fragment F150 on Query { name }")}`),
      ],
      ["a fragment that is spread in itself", () => of("{ ...A } fragment A on Query { self { ...A } ...A }")],
      [
        "a cycle of fragments",
        () => of("{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }"),
      ],
      ["10,000 aliases", () => of(`{ ${Array.from({ length: 10_000 }, (_, i) => `a${i}: name`).join(" ")} }`)],
      ["2,000 short aliases", () => of(`{${"name ".repeat(1999)}}`)],
      ["30 levels", () => of("{ self ".repeat(30) + "{ name }" + "}".repeat(30))],
      [
        "30 levels of fragments",
        () => of(`{ ...F0 } ${fragments(30, (next) => next, " fragment F30 on Query { name }")}`),
      ],
      ["1,500 levels", () => of("{self".repeat(1500) + "{name}" + "}".repeat(1500))],
      ["30,000 levels", () => of("{self".repeat(30_000) + "{name}" + "}".repeat(30_000))],
      ["2,000 levels of inline fragments", () => of("{...".repeat(2000) + "{name}" + "}".repeat(2000))],
      ["a list of 4,900 levels", () => of(`{ name(a: ${"[".repeat(4900)}${"]".repeat(4900)}) }`)],
      [
        "an unused fragment of 2,200 nested fields",
        () => of(`{ name } fragment F on Query { ${"self{age}".repeat(1100)} }`),
      ],
      ["an unselected operation of 2,400 fields", () => of(`query A{name} query B{${"age ".repeat(2400)}}`, "A")],
      [
        "an unused fragment of 1,600 levels",
        () => of(`{name} fragment F on Query${"{self".repeat(1600)}${"}".repeat(1600)}`),
      ],
      [
        "an unselected operation of 30 levels",
        () => of(`query A{name} query B${"{self".repeat(30)}${"}".repeat(30)}`, "A"),
      ],
      [
        "a batch of unused fragments",
        () => Array<Operation>(10).fill(of(`{name} fragment F on Query{${"age ".repeat(150)}}`)),
      ],
      ["a batch of 50,000 numbers", () => Array<number>(50_000).fill(1)],
      ["a batch of 5,000 operations", () => Array<Operation>(5000).fill(of("{ name }"))],
      ["a batch of 100 long operations", () => Array<Operation>(100).fill(of(`{${"name ".repeat(900)}}`))],
      [
        "a batch of doubling fragments",
        () =>
          Array<Operation>(100).fill(
            of(`{ ...F0 } ${fragments(9, (next) => `${next} ${next}`, " fragment F9 on Query { name }")}`),
          ),
      ],
    ])("above the budget, in less than a second, under attack: %s", (_, attack) => {
      const body = attack();
      const startedAt = performance.now();
      expect(costOf(body)).toBeGreaterThan(budget);
      expect(performance.now() - startedAt).toBeLessThan(1000);
    });

    it.each(["application/json", "application/ json", "application/json; charset=utf-8"])(
      "before the handler reads them, with the content type %s",
      async (type) => {
        const server = createServer(app).listen(0, "127.0.0.1");
        await once(server, "listening");
        const sent = httpRequest({
          port: (server.address() as AddressInfo).port,
          method: "POST",
          path: "/graphql",
          headers: { "Content-Type": type },
        }).end(JSON.stringify(of(`{${"name ".repeat(1500)}}`)));
        const [answer] = (await once(sent, "response")) as [IncomingMessage];
        expect(answer.statusCode).toBe(429);
        answer.destroy();
        server.close();
      },
    );

    it.each<[string, () => Request]>([
      ["GET", () => new Request(`${yogaUrl}?query=${encodeURIComponent(costly)}`)],
      ["a JSON body", () => posted("application/json", JSON.stringify({ query: costly }))],
      ["a batch", () => posted("application/json", JSON.stringify([{ query: "{ name }" }, { query: costly }]))],
      ["a form", () => posted("application/x-www-form-urlencoded", new URLSearchParams({ query: costly }).toString())],
      ["a body that is the query", () => posted("application/graphql", costly)],
    ])("in Yoga, however the client sends them: by %s", async (_, sent) => {
      const { code, folder } = programWith("createYoga<");
      const [program = ""] = code.split(/^createServer\(yoga\)/m);
      expect(program).not.toBe(code);
      const { outputText } = ts.transpileModule(`${program}\nexport { yoga };`, {
        compilerOptions: { module: ts.ModuleKind.ESNext },
      });
      writeFileSync(join(folder, "yoga-app.js"), outputText);
      const { yoga } = (await import(pathToFileURL(join(folder, "yoga-app.js")).href)) as { yoga: Yoga };
      const answer = await yoga.fetch(sent(), { req: { socket: { remoteAddress: "203.0.113.7" } } });
      expect(await answer.text()).toContain(`"code":"RATE_LIMIT_EXCEEDED"`);
    });

    it("never below what graphql's executor resolves", () => {
      const fields = [
        "name",
        "age",
        "a: name",
        "b: age",
        "__typename",
        "name @skip(if: false)",
        "age @include(if: false)",
      ];
      const nesting = ["self", "a: self", "b: self", "self @include(if: true)", "...", "... on Query"];
      const selectionSet = (...spreads: string[]): fc.Arbitrary<string> =>
        fc.letrec<{ selection: string; set: string }>((tie) => ({
          selection: fc.oneof(
            { depthSize: "medium", withCrossShrink: true },
            fc.constantFrom(...fields, ...spreads, ...spreads),
            fc.tuple(fc.constantFrom(...nesting), tie("set")).map((parts) => parts.join(" ")),
          ),
          set: fc.array(tie("selection"), { minLength: 1, maxLength: 4 }).map((all) => `{ ${all.join(" ")} }`),
        })).set;
      const document = fc.record({
        operations: fc.array(
          fc.tuple(
            fc.constantFrom("query X", "query Y", "query Z", "query"),
            selectionSet("...A", "...B", "...C @include(if: true)"),
          ),
          { minLength: 1, maxLength: 3 },
        ),
        fragments: fc.tuple(selectionSet("...B", "...C"), selectionSet("...C"), selectionSet()),
        operationName: fc.constantFrom(undefined, "X", "Y", "Z", "W"),
      });
      let executed = 0;
      fc.assert(
        fc.property(document, (drawn) => {
          const operations = drawn.operations.map((parts) => parts.join(" "));
          const sets = drawn.fragments.map((set, at) => `fragment ${"ABC"[at]} on Query ${set}`);
          const operation = of([...operations, ...sets].join(" "), drawn.operationName);
          const cost = costOf(operation);
          const resolved = resolvedBy(operation);
          if (resolved > 10) executed += 1;
          expect(cost > budget || cost >= resolved).toBe(true);
        }),
        { numRuns: 2000 },
      );
      expect(executed).toBeGreaterThan(100);

      for (const [levels, isCheap] of [
        [5, true],
        [7, true],
        [9, false],
        [12, false],
      ] as const) {
        const doubling = of(
          `{ ...F0 } ${fragments(levels, (next) => `a: self { ${next} } b: self { ${next} }`, ` fragment F${levels} on Query { name }`)}`,
        );
        const cost = costOf(doubling);
        expect(resolvedBy(doubling)).toBeGreaterThan(2 ** levels);
        expect(cost <= budget).toBe(isCheap);
        if (isCheap) expect(cost).toBeGreaterThanOrEqual(resolvedBy(doubling));
      }
    });
  });
});

/** Retries until the service listens. */
async function patiently(ask: () => Promise<Response>): Promise<Response> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
