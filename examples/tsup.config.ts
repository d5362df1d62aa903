import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["examples/*.ts", "examples/fleet/instance.ts", "!examples/tsup.config.ts"],
  outDir: "examples/dist",
  format: "esm",
  target: "es2022",
  // The examples import the package by its name, as a reader would: its own `exports` lead back to dist.
  external: [/^sluicegate/, "express", "fastify", "ioredis"],
  // There is no `test` without `node:`.
  removeNodeProtocol: false,
  splitting: false,
  clean: true,
  silent: true,
});
