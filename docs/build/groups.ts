import type { Groups } from "./llms.js";

/** The pages of the site by group. `llms.txt` lists them in the same order. */
export const groups: Groups = [
  [
    "Start",
    [
      ["Quick start", "guide/quick-start"],
      ["Choosing a limiter", "guide/choosing-a-limiter"],
    ],
  ],
  [
    "Guides",
    [
      ["Limit an API", "guide/limit-an-api"],
      ["Protect a login", "guide/protect-a-login"],
      ["Password reset", "guide/password-reset"],
      ["Several limits", "guide/several-limits"],
      ["Locks", "guide/locks"],
      ["Users and tiers", "guide/users-and-tiers"],
      ["A limit for each tenant", "guide/a-limit-for-each-tenant"],
      ["Behind a proxy or CDN", "guide/behind-a-proxy"],
      ["Outgoing calls", "guide/outgoing-calls"],
      ["Overload", "guide/overload"],
      ["Memory and key caps", "guide/memory-and-key-caps"],
      ["Any key-value store", "guide/key-value-stores"],
      ["Redis", "guide/redis"],
      ["Redis in production", "guide/redis-in-production"],
      ["How far it scales", "guide/how-far-it-scales"],
      ["Testing your code", "guide/testing"],
    ],
  ],
  [
    "Frameworks",
    [
      ["Express", "frameworks/express"],
      ["Fastify", "frameworks/fastify"],
      ["Koa", "frameworks/koa"],
      ["Hono", "frameworks/hono"],
      ["NestJS", "frameworks/nestjs"],
      ["Next.js", "frameworks/nextjs"],
      ["node:http", "frameworks/node-http"],
      ["Fetch handlers", "frameworks/fetch"],
    ],
  ],
  [
    "Recipes",
    [
      ["WebSocket", "recipes/websocket"],
      ["Socket.IO", "recipes/socket-io"],
      ["GraphQL", "recipes/graphql"],
      ["tRPC", "recipes/trpc"],
      ["Workers", "recipes/workers"],
      ["Queues", "recipes/queues"],
      ["MCP tools", "recipes/mcp"],
    ],
  ],
  [
    "Migrating",
    [
      ["Overview", "migrating/index"],
      ["express-rate-limit", "migrating/express-rate-limit"],
      ["rate-limiter-flexible", "migrating/rate-limiter-flexible"],
      ["@fastify/rate-limit", "migrating/fastify-rate-limit"],
      ["@nestjs/throttler", "migrating/nestjs-throttler"],
      ["@upstash/ratelimit", "migrating/upstash-ratelimit"],
      ["hono-rate-limiter", "migrating/hono-rate-limiter"],
      ["bottleneck and p-throttle", "migrating/bottleneck-and-p-throttle"],
    ],
  ],
  [
    "Reference",
    [
      ["Guarantees", "guarantees"],
      ["Errors and warnings", "errors"],
      ["FAQ", "faq"],
      ["Benchmarks", "benchmarks"],
      ["Writing a store", "writing-a-store"],
    ],
  ],
  [
    "Inside",
    [
      ["Architecture", "architecture"],
      ["Glossary", "glossary"],
      ["Decisions", "decisions/README"],
    ],
  ],
];
