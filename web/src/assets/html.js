// The only place where text becomes markup: pages of our own, fetched again.

const policy = window.trustedTypes?.createPolicy("millrace", { createHTML: (text) => text });

/** @param {string} text @returns {Document} */
export function parse(text) {
  return new DOMParser().parseFromString(/** @type {string} */ (policy ? policy.createHTML(text) : text), "text/html");
}

/**
 * An element with a text or children.
 * @param {string} name @param {Record<string, string>} attributes @param {(Node | string)[]} children
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** @param {string} name @param {string} value */
export function remember(name, value) {
  document.cookie = `${name}=${value}; Path=/; SameSite=Lax; Max-Age=31536000${location.protocol === "https:" ? "; Secure" : ""}`;
}
