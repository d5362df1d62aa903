// The conformance file in a runtime with a command line. Usage: RUNTIME main.mjs [--no-environment]
import { conform } from "./conformance.mjs";

const { argv } = globalThis.process;
console.log(JSON.stringify(await conform({ obeysTesting: !argv.includes("--no-environment") })));
