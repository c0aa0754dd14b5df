// Prints one JSON array: the Khronos validator's report on each file named on the command line.
"use strict";

const fs = require("fs");
const validator = require("gltf-validator");

async function report(path) {
  const bytes = new Uint8Array(fs.readFileSync(path));
  try {
    return await validator.validateBytes(bytes, { maxIssues: 0, writeTimestamp: false });
  } catch (refusal) {
    // It rejects what it cannot even recognise as glTF.
    return { issues: { numErrors: 1, numWarnings: 0, numInfos: 0, numHints: 0, messages: [{ message: String(refusal) }] } };
  }
}

Promise.all(process.argv.slice(2).map(report)).then((reports) => process.stdout.write(JSON.stringify(reports)));
