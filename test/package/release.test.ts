import { execFile } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import released from "../../package.json" with { type: "json" };

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
const script = ".github/set-repository.sh";

describe("the release workflow", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluicegate-release-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const manifest = (): Record<string, unknown> =>
    JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, unknown>;

  it("sets the repository that the workflow runs in, in a form that npm does not change", async () => {
    for (const file of ["package.json", "README.md"]) copyFileSync(join(root, file), join(folder, file));
    const before = manifest();
    const env = { ...process.env, GITHUB_SERVER_URL: "https://github.com", GITHUB_REPOSITORY: "somebody/a-fork" };
    await run("bash", [join(root, script)], { cwd: folder, env });
    const expected = {
      ...before,
      repository: { type: "git", url: "git+https://github.com/somebody/a-fork.git" },
      homepage: "https://github.com/somebody/a-fork#readme",
      bugs: { url: "https://github.com/somebody/a-fork/issues" },
    };
    expect(manifest()).toEqual(expected);
    await run("npm", ["pkg", "fix"], { cwd: folder });
    expect(manifest()).toEqual(expected);
  });

  it("makes every link and image of the README absolute, in the released version", () => {
    const targetsIn = (folder: string): string[] =>
      [...readFileSync(join(folder, "README.md"), "utf8").matchAll(/\]\(([^)]*)\)/g)].map(([, target = ""]) => target);
    const address = `https://github.com/somebody/a-fork`;
    const relative = targetsIn(root);
    expect(relative).toContain("docs/guide/redis.md");
    expect(targetsIn(folder)).toEqual(
      relative.map((target) => `${address}/${target.endsWith(".svg") ? "raw" : "blob"}/v${released.version}/${target}`),
    );
  });

  it("builds warnings with the address of their page in the released version", async () => {
    for (const file of ["package.json", "README.md", "tsup.config.ts"])
      copyFileSync(join(root, file), join(folder, file));
    for (const name of ["src", "node_modules", "tsconfig.json"]) symlinkSync(join(root, name), join(folder, name));
    const env = { ...process.env, GITHUB_SERVER_URL: "https://github.com", GITHUB_REPOSITORY: "somebody/a-fork" };
    await run("bash", [join(root, script)], { cwd: folder, env });
    await run("npx", ["tsup"], { cwd: folder });
    for (const format of ["esm", "cjs"]) {
      const built = readFileSync(join(folder, `dist/${format}/core/callbacks.js`), "utf8");
      expect(built).toContain(`"https://github.com/somebody/a-fork/blob/v${released.version}/docs/errors.md"`);
    }
  });

  it("fails and changes nothing if the repository is unknown", async () => {
    for (const file of ["package.json", "README.md"]) copyFileSync(join(root, file), join(folder, file));
    const before = manifest();
    const env = { ...process.env, GITHUB_SERVER_URL: "https://github.com", GITHUB_REPOSITORY: "" };
    await expect(run("bash", [join(root, script)], { cwd: folder, env })).rejects.toThrow("GITHUB_REPOSITORY");
    expect(manifest()).toEqual(before);
  });

  it("sets the repository between its checks and the publication", () => {
    const steps = [...readFileSync(join(root, ".github/workflows/release.yml"), "utf8").matchAll(/- run: (.*)/g)];
    expect(steps.map(([, command]) => command)).toEqual([
      "bash .ci/run",
      `bash ${script}`,
      "npm run build",
      "npm publish --provenance --access public",
    ]);
  });
});
