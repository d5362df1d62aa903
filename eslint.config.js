import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "examples/dist", "coverage", "bench/node_modules"] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      // `isolatedDeclarations` wants the types that this rule would have us leave out.
      "@typescript-eslint/no-inferrable-types": "off",
      // Its `x!` is what `no-non-null-assertion` forbids; a cast that names the type says what is known.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      // A verb is asynchronous so that its errors reject, whether or not it has anything to wait for.
      "@typescript-eslint/require-await": "off",
    },
  },
  { files: ["**/*.js", "**/*.mjs"], extends: [tseslint.configs.disableTypeChecked] },
);
