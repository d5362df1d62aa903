import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "examples/dist", "coverage", "bench/node_modules"] },
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
      // `isolatedDeclarations` wants the types that this rule would have us leave out.
      "@typescript-eslint/no-inferrable-types": "off",
      // Its `x!` is what `no-non-null-assertion` forbids; a cast that names the type says what is known.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      // `declare global` is how the types of express are told what a middleware adds.
      "@typescript-eslint/no-namespace": ["error", { allowDeclarations: true }],
      // `return refuse(response)` ends a handler in one line.
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // `reset()` and `reset(key)` are two wishes: an optional key would take undefined, a key that got lost.
      "@typescript-eslint/unified-signatures": "off",
      // What a signal was aborted with, and what a store failed with, is passed on as it is.
      "@typescript-eslint/prefer-promise-reject-errors": ["error", { allowThrowingUnknown: true }],
      // A verb is asynchronous so that its errors reject, whether or not it has anything to wait for.
      "@typescript-eslint/require-await": "off",
    },
  },
  {
    files: ["test/**"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      // Tests hold in their hands what is a promise only sometimes: `Mutex.run`.
      "@typescript-eslint/await-thenable": "off",
    },
  },
  { files: ["**/*.js", "**/*.mjs"], extends: [tseslint.configs.disableTypeChecked] },
);
