// Verifies signed requests with the package of npm, as a receiver would: [{secret, body, headers}] on standard input.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// ./dev test installs it there.
const require = createRequire(new URL("../../.dev/tools/node/", import.meta.url));
const { Webhook } = require("standardwebhooks");

const cases = JSON.parse(readFileSync(0, "utf8"));
for (const { secret, body, headers } of cases) {
  const receiver = new Webhook(secret);
  receiver.verify(body, headers);
  let accepted = true;
  try {
    receiver.verify(body + " ", headers);
  } catch {
    accepted = false;
  }
  if (accepted) throw new Error("another body was accepted");
}
console.log(cases.length, "verified");
