// The one Trusted Types policy: HTML from our own server, parsed and never run.

const policy = globalThis.trustedTypes?.createPolicy("millrace", { createHTML: (text) => text });

/** @param {string} text */
export function parse(text) {
  return new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
}

/** A page of this server; throws where it is another one or none. @param {string} address */
export async function load(address) {
  const answer = await fetch(address, { headers: { accept: "text/html" }, credentials: "same-origin" });
  if (!answer.ok || new URL(answer.url).origin !== location.origin) throw new Error(`${answer.status}`);
  return parse(await answer.text());
}
