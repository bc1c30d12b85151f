// Check an AsyncAPI document, the files it refers to included, with AsyncAPI's own parser: node check.mjs FILE
import { Parser, fromFile } from "@asyncapi/parser";

const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
for (const { path, range, message, severity } of diagnostics) {
  console.error(`${severity === 0 ? "error" : "warning"} line ${range.start.line + 1} ${path.join(".")}: ${message}`);
}
if (!document || diagnostics.some(({ severity }) => severity <= 1)) process.exit(1);
console.log(document.allMessages().all().map((message) => message.name()).sort().join("\n"));
