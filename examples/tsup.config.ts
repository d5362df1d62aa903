import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["examples/*.ts", "examples/fleet/instance.ts", "!examples/tsup.config.ts"],
  outDir: "examples/dist",
  format: "esm",
  target: "es2022",
  // The examples import the package by its name; its own `exports` resolve to dist.
  external: [/^sluicegate/, "express", "fastify", "ioredis"],
  // `node:test` does not exist without the prefix.
  removeNodeProtocol: false,
  splitting: false,
  clean: true,
  silent: true,
});
