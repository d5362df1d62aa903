import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the built package, `dist`. */
    distribution: string;
    /** The packed package. */
    tarball: string;
    /** A project whose only dependency is the packed package. */
    consumer: string;
  }
}

/** Builds and packs the package, and installs the tarball into an empty project. `PACKED`, the path of a tarball, skips the build. */
export default function setup(project: TestProject): () => void {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "sluicegate-consumer-"));
  const npm = (cwd: string, ...args: string[]): string =>
    execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

  let tarball = process.env["PACKED"];
  if (tarball === undefined) {
    npm(root, "run", "build");
    tarball = join(folder, npm(root, "pack", "--silent", "--ignore-scripts", "--pack-destination", folder).trim());
  }
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true }));
  npm(folder, "install", "--offline", "--no-audit", "--no-fund", "--no-package-lock", tarball);

  project.provide("distribution", join(root, "dist"));
  project.provide("tarball", tarball);
  project.provide("consumer", folder);
  return () => {
    rmSync(folder, { recursive: true, force: true });
  };
}
