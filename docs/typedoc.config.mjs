import { Application, Converter, ReflectionKind } from "typedoc";
import manifest from "../package.json" with { type: "json" };

/** The source of each entry point of the package. */
const sources = Object.entries(manifest.exports)
  .filter(([, formats]) => typeof formats !== "string")
  .map(([entry, formats]) => [
    manifest.name + entry.slice(1),
    formats.import.default.replace("./dist/esm/", "").replace(/\.js$/, ""),
  ]);

/** Views of the types of a framework or client, whose own documentation explains the members. */
const isView = ({ name }) =>
  /Like$|^(Express|Connect|Koa|Hono|Fetch|Nest)(Request|Response|Context)$|^(ClientRequest|WaitSignal)$/.test(name);

const isWithin = (reflection, test) =>
  reflection.parent !== undefined && (test(reflection.parent) || isWithin(reflection.parent, test));

/** Names the entry points as they are imported, and reports each export and each member of it that has no doc comment. */
function documented(app) {
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (_, reflection) => {
    if (!reflection.kindOf(ReflectionKind.Module)) return;
    reflection.name =
      sources.find(([, source]) => source.replace(/\/index$/, "") === reflection.name)?.[0] ?? reflection.name;
  });
  app.on(Application.EVENT_VALIDATE_PROJECT, (project) => {
    const { Accessor, CallSignature, Class, Interface, Property, TypeAlias, Variable } = ReflectionKind;
    const kinds = Accessor | CallSignature | Class | Interface | Property | TypeAlias | Variable;
    for (const reflection of project.getReflectionsByKind(kinds)) {
      if ((reflection.getSignature ?? reflection).hasComment() || isWithin(reflection, isView)) continue;
      // The comment of a variable or property covers the object that it holds.
      if (isWithin(reflection, (parent) => parent.kindOf(Property | Variable | CallSignature))) continue;
      // An option that must be absent says so by its type.
      if (reflection.type?.name === "undefined") continue;
      // A function type is covered by the comment of the member or type that has it.
      if (reflection.kindOf(CallSignature) && reflection.parent?.name === "__type") continue;
      app.logger.validationWarning(`${reflection.getFullName()} has no doc comment`);
    }
  });
}

/** @type {import("typedoc").TypeDocOptions & import("typedoc-plugin-markdown").PluginOptions} */
export default {
  name: "API",
  entryPoints: sources.map(([, source]) => `../src/${source}.ts`),
  tsconfig: "../src/tsconfig.json",
  plugin: ["typedoc-plugin-markdown", "typedoc-vitepress-theme", documented],
  docsRoot: ".",
  out: "api",
  readme: "none",
  // The source has no address until the package has a repository.
  disableSources: true,
  excludeExternals: true,
  excludePrivate: true,
  excludeProtected: true,
  validation: { notExported: false, invalidLink: true },
  treatValidationWarningsAsErrors: true,
};
