// Asks for a page of orders by GraphQL.

import type { operations } from "../types/api.js";

type Query = operations["graphql_query"];
type Answer = Query["responses"][200]["content"]["application/json"];

export const sent: Query["requestBody"]["content"]["application/json"] = {
  query: "query ($first: Int) { orders(first: $first) { edges { node { number } } } }",
  variables: { first: 10 },
};

export function spent({ data, errors, extensions }: Answer): number {
  for (const { message, path, extensions } of errors ?? []) {
    throw new Error(`${extensions.code} at ${path.join(".")}: ${message}`);
  }
  return data === null ? 0 : extensions.cost.requested;
}
