import tseslint from "typescript-eslint";

export default tseslint.config(
  {
    ignores: ["dist", "examples/dist", "bench/*/dist", "coverage", "bench/node_modules", "docs/api", "docs/.vitepress"],
  },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", package: "node:test", name: ["describe", "it", "test"] }] },
      ],
      "@typescript-eslint/consistent-type-imports": "error",
      // `isolatedDeclarations` needs the types that this rule removes.
      "@typescript-eslint/no-inferrable-types": "off",
      // This rule asks for `x!`, which `no-non-null-assertion` forbids.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      // A middleware adds to the types of express with `declare global`.
      "@typescript-eslint/no-namespace": ["error", { allowDeclarations: true }],
      // Allows `return refuse(response)` at the end of a handler.
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // `reset()` and `reset(key)` stay separate: an optional key would accept `undefined` by mistake.
      "@typescript-eslint/unified-signatures": "off",
      // The reason of a signal and the error of a store are passed on unchanged.
      "@typescript-eslint/prefer-promise-reject-errors": ["error", { allowThrowingUnknown: true }],
      // A method can be `async` only so that its errors become rejections.
      "@typescript-eslint/require-await": "off",
    },
  },
  {
    files: ["test/**"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      // Tests await values that are promises only sometimes.
      "@typescript-eslint/await-thenable": "off",
    },
  },
  { files: ["**/*.js", "**/*.mjs"], extends: [tseslint.configs.disableTypeChecked] },
);
